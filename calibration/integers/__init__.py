"""Converts a network in float32 to the same network in 8-bit integers."""
