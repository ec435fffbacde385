"""One server's life: TorchServe, its Java, its private folder, and the arms, without and with MPS.

What load it gets, and what is measured of it, is not known here.
"""
