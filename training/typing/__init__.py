"""Learns to tell the classes of cells apart, so that cells that nobody has named can be scored."""
