"""Images -> pixels."""
