"""Families of text models: a tiny checkpoint of each, and how far our answers are from transformers' own."""
