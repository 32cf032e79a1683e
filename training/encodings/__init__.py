"""A cohort's cells as encodings, and what a probe finds in them."""
