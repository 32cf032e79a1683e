"""Learning an encoder from cells without labels."""
