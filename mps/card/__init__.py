"""The GPU: what NVML says of it, its compute mode, its processes. Knows of no daemon, and starts none."""
