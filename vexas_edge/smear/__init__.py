"""Which file is which cell: from folders, zips and names to the cells of a smear."""
