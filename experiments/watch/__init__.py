"""What is known of the machine while and where a trial runs: telemetry, counters, flags, the environment.

Exports nothing by itself: the sampler is a program beside the trial and must start in no time.
"""
