"""What a graph really computes in, and what TensorRT would refuse of it."""
