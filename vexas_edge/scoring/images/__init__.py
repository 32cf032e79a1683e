"""Cells that are images: read, put on a canvas, and looked at before the classifier is asked."""
