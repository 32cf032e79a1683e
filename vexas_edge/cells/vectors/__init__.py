"""Cells that are rows of numbers, such as counts of genes, and not images."""
