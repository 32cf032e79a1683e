"""A results folder: what was written once, and the tables made from it."""
