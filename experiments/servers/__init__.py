"""The same model behind several servers: TorchServe, Triton, LitServe, BentoML, behind one interface.

Here: environments of the others, made on demand, and the life of each server; what is sent and how an answer
is read. Not here: what load they get, and what is measured of it (benchmarks/servers.py).
"""
