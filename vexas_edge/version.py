"""The version of the package, as its metadata and every result state it."""

__version__ = "0.1.0"
