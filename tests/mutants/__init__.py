"""Mutation testing of the pure modules: does a test notice when a line says something else?

`made.py` makes mutants of a module, `tried.py` runs its tests on each in a process of its own (`child.py` is
what happens there), `modules.yaml` says which modules and which tests, `explained.yaml` why a mutant can't be
noticed. Nothing here is run by `make test` but the tests of `made.py` and of the two lists.
"""
