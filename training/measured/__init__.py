"""Measures training cases, clean and changed, and keeps what was measured."""
