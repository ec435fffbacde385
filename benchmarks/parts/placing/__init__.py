"""What the benchmark of placements is made of: scenarios of others, and the bound of ours."""
