"""Cells that a model has named: how, and which models get them."""
