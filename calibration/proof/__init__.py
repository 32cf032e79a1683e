"""Proves in which precision a graph computes, and finds what TensorRT would refuse in it."""
