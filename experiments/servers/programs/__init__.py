"""What runs inside other servers' environments: plain programs that import nothing of this repository, but
the handlers of the archive that they serve.

They differ in what a server wants of them. The model is the same `predict` everywhere: archived.py.
"""
