"""A bundle on this PC: what runs it, and whether that can be trusted."""
