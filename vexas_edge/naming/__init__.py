"""What cases are called, and how their ids are kept out of what leaves the house."""
