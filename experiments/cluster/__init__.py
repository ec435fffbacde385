"""A sweep spread over many cards: which cell goes to which, and what each of them finds, on one disk.

The driver makes the plan and keeps the results; a program on each card's machine measures whole groups of
cells. Only `over_ray/` knows Ray. What a card measures is the campaign of measure/, unchanged.
"""
