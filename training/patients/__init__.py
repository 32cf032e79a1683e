"""Fits the classifier on patients' encodings, and judges it by patient."""
