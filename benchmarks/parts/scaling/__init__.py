"""What the benchmark of autoscaling is made of: services and curves, a model that sleeps, the run live."""
