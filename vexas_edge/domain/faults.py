"""What may be wrong with a slide, by what moved: what is seen, and what to check."""

# What a technician can act on, by what moved: what is seen, and what to check.
SEEN = {
    "focus": ("the images are less, or more, sharp than the training images", "the focus"),
    "exposure": (
        "light or noise differs from the training images",
        "lamp, exposure and camera",
    ),
    "colour": (
        "colours differ from the training images",
        "white balance and colour settings",
    ),
    "stain": ("the stain differs from the training images", "the staining batch"),
    "file format": (
        "the images were saved otherwise than the training images",
        "the export's format and quality",
    ),
    "size": (
        "cells appear at another size than in the training images",
        "the magnification and the export's size",
    ),
    "foreign cells": ("these are not the cells that the model was trained on", "their classes"),
    "duplicates": ("the cells are too much alike to be different cells", "for repeated images"),
}
