"""What this machine can do: each thing that a run needs, looked at and judged. Changes nothing."""
