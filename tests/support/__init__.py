"""What several tests use: builders of results, small archives and servers, scripted peers."""
