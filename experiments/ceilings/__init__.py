"""What could be reached at most: the bare model, the empty handler, the device's roofline. Measured here.

How they are kept: results/ceilings.py; what is beside them: verdict/summary.py. Exports nothing: the
loop of the bare model is a program in processes like the workers, and must be as light.
"""
