"""Placements: several models on parts of GPUs, each with as much as its rate and its bound need.

Here: demands, profiles' latencies, rules, interference, strategies, the checker, the simulator, rates
that change. Not here: how profiles are measured (experiments/profile).
"""
