"""Ways to find a placement, behind one interface. What is found is checked elsewhere (../checker.py)."""
