"""Encodes a cohort's cells, and probes how well the encodings tell groups of cells apart."""
