"""From the cells of a case to its score."""
