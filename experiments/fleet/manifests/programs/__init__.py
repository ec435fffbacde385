"""What runs in an instance, by its path: TorchServe's start, the gateway before it, and the probe of both."""
