"""The main job and `torchserve --start` on machines as they are found, one after another."""
