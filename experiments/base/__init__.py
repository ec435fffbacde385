"""What everything stands on: errors as the user reads them, signals held back, cores and paths.

Imports nothing of this project. What is about a model, a server or a GPU is no business of this folder.
"""
