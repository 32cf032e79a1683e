"""The words of `python -m training`, each a thin skin over a stage."""
