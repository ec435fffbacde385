"""What was asked for: plans, their cells, loads and trials, latency bounds, goals. Pure, quick to import.

Nothing here touches a server, a clock or a disk, but for reading a plan's YAML file.
"""
