"""A bundle: its archive, its manifest, its graphs, and what they take and give."""
