"""A plan carried out: trials on real servers, each on disk before the next, and the race that ends early.

The only part that touches the world. What the results say is found in verdict/.
"""
