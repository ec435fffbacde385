"""For all tests: property tests have no deadline, which on a busy machine would be a timed assertion."""

from hypothesis import settings

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
