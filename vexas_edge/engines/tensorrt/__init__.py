"""TensorRT on an NVIDIA GPU: plans, how they are built, and the proof of what they compute in."""
