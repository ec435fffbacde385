"""The highest rate that keeps a latency bound: how it is searched, and what a sample proves.

How requests are sent lies in the folder above.
"""
