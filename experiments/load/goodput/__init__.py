"""The highest rate that keeps a latency bound: looks at rates, what a sample proves, the limit fitted through
all of them.

How requests are sent lies in the folder above.
"""

from experiments.load.goodput.found import Goodput, NoGoodputError, Probe, as_json
from experiments.load.goodput.looks import Send
from experiments.load.goodput.search import find

__all__ = ["Goodput", "NoGoodputError", "Probe", "Send", "as_json", "find"]
