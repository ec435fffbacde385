"""The highest rate that keeps a latency bound: how it is searched, and what a sample proves.

How requests are sent lies in the folder above.
"""

from experiments.load.goodput.search import DEFAULT_START_RPS, Goodput, NoGoodputError, Send, as_json, find

__all__ = ["DEFAULT_START_RPS", "Goodput", "NoGoodputError", "Send", "as_json", "find"]
