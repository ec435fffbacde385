"""TorchServe 0.12.0: an instance of our own, its life, its management API, and every quirk it has."""
