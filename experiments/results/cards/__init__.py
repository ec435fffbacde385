"""Where the cards of a cluster measured: each card's own files, and whose runs count."""
