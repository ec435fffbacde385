"""Many mutated requests against a real server: made, sent, and each answer judged by a reader of its own.

`made.py` makes them, `reference.py` reads them as docs/serving-and-archiving.md says they are read,
`against.py` sends and judges. Nothing here calls the handlers' readers of requests.
"""
