"""The files of the gpu-let prototype (github casys-kaist/glet): its devices, its settings, its plans.

Its task files are read in ../demand.py, its latency files in ../readers.py. Not here: its models' formats.
"""

from experiments.placement.prototype.device import Device, read_device
from experiments.placement.prototype.plan import PLAN, read_plan, write_plan
from experiments.placement.prototype.rules import is_device, latencies_and_rules
from experiments.placement.prototype.settings import Settings, read_settings

__all__ = [
    "PLAN",
    "Device",
    "Settings",
    "is_device",
    "latencies_and_rules",
    "read_device",
    "read_plan",
    "read_settings",
    "write_plan",
]
