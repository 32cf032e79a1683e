"""The self-test that a bundle carries: made-up cells, and the output of each graph for them."""

import io
from collections.abc import Mapping

import numpy as np

from export.execution import run_graph
from vexas_edge.bundle.contract import (
    CELLS,
    COVARIATES,
    CROPS,
    DRAWS,
    ENCODINGS,
    GOLDEN_CELLS,
    MEMBERS,
    HeadSizes,
    Tensor,
    fused_contract,
    head_contract,
)
from vexas_edge.bundle.graphs import FUSED, HEAD, ISOLATE
from vexas_edge.cells.background import Background
from vexas_edge.cells.canvas import Canvas
from vexas_edge.cells.limits import GRID_PX
from vexas_edge.scoring.images.canvases import IMAGES, placed_images

_DRAWS = 8
# The counts of a cell that was read very deeply.
_LARGEST_LIBRARY = 5_000_000
# The light on a self-test's slide in tenths of the training cohort's: no two gains are the same.
_SLIDE_TENTHS = (8, 9, 7)


def golden_cells(canvas_px: int) -> np.ndarray:
    """Made-up cells, uint8 (4, canvas_px, canvas_px, 3): two drawn, an empty canvas, noise.

    A bundle must not hold a patient's cell, so these are drawn: a pale disc with a dark one inside.
    """
    rng = np.random.Generator(np.random.PCG64(7))
    cells = np.zeros((GOLDEN_CELLS, canvas_px, canvas_px, 3), np.uint8)
    for cell, radius in zip(cells, (0.4, 0.3), strict=False):
        _paint_disc(cell, radius, (222, 200, 214), rng)
        _paint_disc(cell, radius * 0.6, (104, 68, 140), rng)
    # Noise in squares of 2 x 2 pixels, which compress to a quarter of the size in the bundle.
    specks = rng.integers(0, 256, (-(-canvas_px // 2), -(-canvas_px // 2), 3), dtype=np.uint8)
    cells[3] = specks.repeat(2, axis=0).repeat(2, axis=1)[:canvas_px, :canvas_px]
    return cells


def _paint_disc(
    cell: np.ndarray, radius: float, colour: tuple[int, int, int], rng: np.random.Generator
) -> None:
    axis = (np.arange(len(cell)) + 0.5) / len(cell) - 0.5
    inside = axis[:, None] ** 2 + axis**2 < radius**2
    cell[inside] = np.clip(rng.normal(colour, 8, (int(inside.sum()), 3)), 0, 255)


def golden_images(canvas_px: int, background: Background) -> np.ndarray:
    """The same cells on slides darker than `background`, which gains must bring there."""
    images = np.minimum(golden_cells(canvas_px), np.array(background, np.uint8))
    images[~images.any(axis=3)] = background
    return (images.astype(np.int64) * _SLIDE_TENTHS // 10).astype(np.uint8)


def golden_of_images(canvas_px: int, background: Background | None) -> dict[str, np.ndarray]:
    """The self-test's `cells`, and where they are normalised the `images` they were made from.

    Args:
        background: the bare slide that cells are brought to; None where they are not.
    """
    if background is None:
        return {CELLS: golden_cells(canvas_px)}
    images = golden_images(canvas_px, background)
    canvas = Canvas(canvas_px=canvas_px, background=background)
    return {IMAGES: images, CELLS: placed_images(images, canvas)}


def golden_of_vectors(n_features: int, seed: int, *, counts: bool) -> dict[str, np.ndarray]:
    """The self-test's `cells`, float32 (4, n_features): two drawn, an empty one, a very large one.

    Args:
        counts: whether they are counts, of which a cell may have millions.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    if counts:
        rows = rng.negative_binomial(1, 0.5, (GOLDEN_CELLS, n_features)).astype(np.float32)
        rows[3] *= np.ceil(_LARGEST_LIBRARY / max(1, n_features))
    else:
        rows = rng.normal(size=(GOLDEN_CELLS, n_features)).astype(np.float32)
        rows[3] *= 10
    rows[1, -1] = np.nan  # a feature that is missing
    rows[2] = 0
    return {CELLS: rows}


def golden_npz(
    files: Mapping[str, bytes], made: Mapping[str, np.ndarray], cells: Tensor, head: HeadSizes
) -> bytes:
    """The content of golden.npz: inputs, and each graph's outputs from onnxruntime's CPU.

    An output is called `<graph file>/<output>`. With a mask network, its `crops` are stored too.

    Args:
        files: the model's graphs by name.
        made: the cells, as `golden_of_images` and `golden_of_vectors` give them.
        cells: the fused graph's input of cells.
    """
    made = {**made, **_beside_cells(head)}
    contract = fused_contract(cells, head)
    outputs = _outputs(FUSED, files[FUSED], contract.feeds(made))
    encodings = outputs[f"{FUSED}/{ENCODINGS}"]
    feeds = head_contract(head).feeds({**made, ENCODINGS: encodings})
    outputs |= _outputs(HEAD, files[HEAD], feeds)
    if ISOLATE in files:
        crops = golden_cells(GRID_PX)
        outputs |= {CROPS: crops, **_outputs(ISOLATE, files[ISOLATE], {CROPS: crops})}
    return npz_from_arrays({**made, **outputs})


def _beside_cells(head: HeadSizes) -> dict[str, np.ndarray]:
    """What a fused graph takes beside the cells."""
    rng = np.random.Generator(np.random.PCG64(7))
    if head.draw_size is not None:
        return {DRAWS: rng.integers(0, GOLDEN_CELLS, (_DRAWS, head.draw_size), dtype=np.int64)}
    covariates = rng.normal(size=(1, head.n_covariates)).astype(np.float32)
    return {MEMBERS: np.arange(GOLDEN_CELLS)[::-1].copy(), COVARIATES: covariates}


def npz_from_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of an .npz file that holds these arrays by name, compressed."""
    stream = io.BytesIO()
    # By numpy's stub, one of the names could be its own parameter `allow_pickle`.
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def _outputs(file: str, graph: bytes, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{file}/{name}": value for name, value in run_graph(graph, feeds).items()}
