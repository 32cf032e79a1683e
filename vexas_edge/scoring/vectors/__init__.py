"""Cells that are rows of numbers: read, put before the encoder, and looked at."""
