"""`python -m tests.hosts`: main job and `torchserve --start` on hosts of every kind that has broken them."""
