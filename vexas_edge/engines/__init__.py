"""What executes a graph on this PC: one small contract, one file for each engine."""
