"""This PC: its hardware, its CPU's abilities, and what was measured or built on it."""
