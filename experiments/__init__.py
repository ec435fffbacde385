"""What is measured, and how: plans, servers, load, trials, results."""
