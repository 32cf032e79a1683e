"""The engines that execute a graph on this PC: one small contract, and one file per engine."""
