"""The GPU, its MPS control daemon, and the command-line doors (`python -m mps.run`)."""
