"""The canvas that a model's images are put on, and its self-test."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.contract import CELLS
from vexas_edge.bundle.graphs import GOLDEN, ISOLATE
from vexas_edge.cells.background import background_of_cell, middle_background
from vexas_edge.cells.canvas import Canvas
from vexas_edge.errors import BundleError, HostError
from vexas_edge.runtime.selftest import Check, golden_from_npz
from vexas_edge.scoring.images.isolator import Isolator

if TYPE_CHECKING:
    from vexas_edge.runtime.session import Sessions

# The images that a self-test's cells were made from, uint8 (N, H, W, 3), where they are normalised.
IMAGES = "images"


def canvas_of(sessions: "Sessions", model: str) -> Canvas:
    """The canvas that the model's cells are put on, as the model wants them.

    Where it normalises, a case's cells are put on the same canvas `for_background`.
    """
    images = sessions.bundle.manifest.networks[model].images
    isolate = None
    if images.isolation is not None:
        isolate = Isolator(engine=sessions.beside(model, ISOLATE), limits=images.isolation)
    return Canvas(
        canvas_px=images.canvas_px,
        larger=images.larger,
        isolate=isolate,
        background=images.background,
    )


def placed_images(images: NDArray[np.uint8], canvas: Canvas) -> NDArray[np.uint8]:
    """Images of one case as they lie on the canvas, uint8 (N, canvas_px, canvas_px, 3)."""
    slide = middle_background([background_of_cell(image) for image in images])
    uncut = replace(canvas, isolate=None).for_background(slide)
    return np.stack([uncut.place(image) for image in images])


def check_canvas(sessions: "Sessions", model: str) -> Check:
    """Normalise the self-test's images and compare them with its cells, bit for bit.

    Raises:
        HostError: they differ.
        BundleError: the self-test has no images.
    """
    golden: Mapping[str, NDArray[Any]] = golden_from_npz(sessions.bundle.model_file(model, GOLDEN))
    if IMAGES not in golden:
        raise BundleError(f"the bundle's {GOLDEN} lacks {IMAGES}; export the bundle again")
    placed, cells = placed_images(golden[IMAGES], canvas_of(sessions, model)), golden[CELLS]
    difference = float("inf")
    if placed.shape == cells.shape:
        difference = float(np.abs(placed.astype(np.float64) - cells).max())
    if difference:
        raise HostError(
            f"self-test of {model} {GOLDEN} failed on this PC: normalised cells differ by up to "
            f"{difference:g} levels from the reference; do not score with this bundle here"
        )
    return Check(model=model, file=GOLDEN, difference=difference, allowed=0.0)
