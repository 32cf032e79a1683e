"""Cells that nobody has named: which class each is of, by a model."""
