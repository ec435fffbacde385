"""Hours under a mixed load on the shipped configuration: does anything grow, and is every answer right?

Here: the server as `torchserve --start` starts it (served.py), who asks it (answers.py, traffic.py), what is
done to it meanwhile (disturbances.py), what its processes take (samples.py), and whether that grows
(growth.py). Not here: how fast it is.
"""
