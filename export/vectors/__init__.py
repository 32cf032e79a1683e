"""Models whose cells are rows of numbers, such as counts of genes."""
