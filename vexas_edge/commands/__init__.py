"""The command line: only the modules here read it, choose paths and print."""
