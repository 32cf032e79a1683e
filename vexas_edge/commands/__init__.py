"""The command line: the only room that reads it, chooses paths and prints."""
