"""What a configuration could reach at most: how that is measured, kept and shown."""
