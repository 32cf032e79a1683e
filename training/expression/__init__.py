"""Learns what cells are, or are from, by the genes that they express."""
