"""The files of a results folder, and the values in them: written, and read back.

Nothing here measures or judges: what the figures say is found in verdict/, how they look in report/.
"""
