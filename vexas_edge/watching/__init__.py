"""A folder that smears arrive in: what has arrived whole, and what is to be tried again."""
