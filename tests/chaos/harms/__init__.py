"""What a kill does: to a process, to what the process lives on, or to its files."""
