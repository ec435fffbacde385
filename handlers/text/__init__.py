"""Texts -> tokens -> features, and vectors -> JSON."""
