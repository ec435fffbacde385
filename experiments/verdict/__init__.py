"""What results say: statistics, summary, diagnosis, advice; what others published. Pure functions.

Nothing here measures; how it looks on a page or a terminal is the business of report/.
"""
