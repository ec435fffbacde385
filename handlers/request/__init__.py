"""A batch in, an answer for each out: TorchServe's messages, what clients send, what a worker counts."""
