"""What a forward pass runs on, if not on torch: ONNX Runtime or OpenVINO, with a file of the archive.

An engine takes the place of transformers' model, called and answering as that is; the handlers notice nothing
else of it. Each is imported by the worker that uses it, and by no other. How the file is made:
archive/engines/exported.py.
"""
