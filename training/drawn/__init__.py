"""Draws made-up leukocytes, alone or on a slide, and writes smears and cohorts of them."""
