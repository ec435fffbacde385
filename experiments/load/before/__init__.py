"""What is settled before a load's first connection: bodies, target, the requests as bytes.

Nothing here sends.
"""
