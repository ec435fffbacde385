"""The published documents' experiments, to be run here: `python -m benchmarks.documents NAME`.

litserve.py: six experiments with an image classifier. triton.py: runtimes and servers with texts of 512
tokens. virtex.py: an open loop at rising rates, with several texts in a request. What they published lies in
experiments/verdict/published_figures/.
"""
