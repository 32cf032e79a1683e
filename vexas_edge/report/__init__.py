"""The page of a result, and the index of a results folder, as HTML that a person reads."""
