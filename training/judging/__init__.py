"""Judges scores by patient, beside what covariates alone would say, on patients held out."""
