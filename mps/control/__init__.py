"""NVIDIA's MPS control daemon: found, started, talked to, ended. What the GPU is like lies in card/."""
