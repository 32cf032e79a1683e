"""A bundle on this PC: what runs it, whether that can be trusted, and what is kept of it."""
