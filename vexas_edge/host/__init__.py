"""This PC: what it is, what its CPU can do, and what was measured or built on it."""
