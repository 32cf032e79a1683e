"""Pretrains an encoder on cells without labels."""
