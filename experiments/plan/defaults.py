"""What a plan is like unless told otherwise. Imports nothing: reading a plan must not take a second."""

ARRIVALS = ("poisson", "constant")  # of an open loop; the first is the default
MOST_IN_FLIGHT = 512  # of an open loop
LONGEST_LOOK_S = 30.0  # at a rate, in a search for the highest that keeps a bound
CONFIDENCE = 0.95  # of what is decided: a race, an advice, a comparison
INPUT_STYLES = ("body", "form", "json")  # what load/before/body.py knows
