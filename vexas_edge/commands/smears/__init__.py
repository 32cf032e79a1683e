"""What scores smears: named ones, and those that arrive in a folder."""
