"""What everything stands on: errors and commands as the user reads them, signals held back, cores and CPU
quotas, paths.

Imports nothing of this project. What is about a model, a server or a GPU is no business of this folder.
"""
