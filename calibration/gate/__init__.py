"""Judges whether a cheaper graph is still the same model, on patients calibration never saw."""
