"""The mask network: what it learns from, how it learns, how well it finds cells."""
