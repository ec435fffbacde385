"""A campaign of kills: programs are harmed at random moments, go on, and must come to what they would have.

Here: which harm falls where (drawn.py, seeded), how it is done, and what is looked at afterwards. Not here:
what each program does when it is left alone, which its own tests show.
"""
