"""Programs to learn from: each is whole, short, and run by a test."""
