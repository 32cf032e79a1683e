"""A bundle: its archive, its manifest, its graphs, and their inputs and outputs."""
