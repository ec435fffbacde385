"""What several benchmarks use: turns taken in pairs, servers, models, inputs, rivals re-created."""
