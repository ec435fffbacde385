"""Strategies that look for the best cell, replayed on recorded grids: time against regret."""
