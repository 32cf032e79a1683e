"""Cells to encodings: decoded ahead, copies dropped, run through the engine call by call."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vexas_edge.case import Cell
from vexas_edge.decoding import Canvas, DecodedCell, decode_cells
from vexas_edge.draws import draw_cells
from vexas_edge.manifest import Model
from vexas_edge.results import UsedCell
from vexas_edge.sessions import Sessions
from vexas_edge.sources import Source

# Pixels a call: 8 cells of 272 px. Larger calls gain no speed and cost memory.
_PIXELS_A_CALL = 8 * 272 * 272
_MOST_CELLS_A_CALL = 64

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A model's usable cells. encodings: float32 (N, D). probabilities: of the fused graph, where
    the case fitted one call."""

    records: tuple[UsedCell, ...]
    identities: list[bytes]
    encodings: NDArray[np.float32]
    probabilities: NDArray[np.float32] | None


def cells_a_call(canvas_px: int) -> int:
    """How many cells go into one call of the engine."""
    return min(_MOST_CELLS_A_CALL, max(1, _PIXELS_A_CALL // canvas_px**2))


def encode_cells(
    source: Source,
    cells: Sequence[Cell],
    name: str,
    sessions: Sessions,
    size: int,
    progress: Progress,
) -> Encoded:
    """The encodings of one model's cells, `size` cells a call to the engine.

    A case that fits one call runs the fused graph once, with its real draws; a larger one goes
    through in calls with one dummy draw each.
    """
    model, fused = sessions.bundle.manifest.models[name], sessions.fused(name)
    canvas = Canvas(canvas_px=model.canvas_px, larger=model.larger)
    ahead = size + 8 * fused.threads
    decoding = decode_cells(source, cells, canvas, threads=fused.threads, ahead=ahead)
    records: list[UsedCell] = []
    identities: list[bytes] = []
    encodings = [np.empty((0, model.encoding_width), np.float32)]
    probabilities = None
    with closing(decoding) as decoded:
        for group in _groups(_without_repeats(decoded), size):
            records += [cell.record for cell in group]
            pixels = [cell.pixels for cell in group if cell.pixels is not None]
            new = [cell.identity for cell in group if cell.pixels is not None]
            fits_one_call = not identities and len(records) == len(cells)
            if new:
                draws = draws_of(new, model) if fits_one_call else _dummy_draw(model)
                outputs = fused.run({"cells": np.stack(pixels), "draws": draws})
                identities += new
                encodings.append(outputs["encodings"])
                probabilities = outputs["probabilities"] if fits_one_call else None
            progress(name, len(records), len(cells))
    return Encoded(
        records=tuple(records),
        identities=identities,
        encodings=np.concatenate(encodings),
        probabilities=probabilities,
    )


def _without_repeats(decoded: Iterable[DecodedCell]) -> Iterator[DecodedCell]:
    """The same cells, exact copies of earlier ones marked and without their pixels."""
    first: dict[bytes, str] = {}
    for cell in decoded:
        if cell.pixels is None:
            yield cell
        elif cell.identity in first:
            copied = replace(
                cell.record,
                status="duplicate",
                reason="same_file_content",
                detail=f"same content as {first[cell.identity]}",
            )
            yield replace(cell, record=copied, pixels=None)
        else:
            first[cell.identity] = cell.record.path
            yield cell


def _groups(cells: Iterable[DecodedCell], size: int) -> Iterator[list[DecodedCell]]:
    """Runs of cells, each with `size` usable ones but the last; the others ride along.

    A run ends before the next usable cell, not after its last, so that a case of `size` usable
    cells is one run whatever follows them.
    """
    group: list[DecodedCell] = []
    usable = 0
    for cell in cells:
        if usable == size and cell.pixels is not None:
            yield group
            group, usable = [], 0
        group.append(cell)
        usable += cell.pixels is not None
    if group:
        yield group


def draws_of(identities: list[bytes], model: Model) -> NDArray[np.int64]:
    """The draws that a model's score is the mean over, int64 (score_draws, draw_size)."""
    recipe = model.aggregation
    return draw_cells(identities, recipe.score_draws, recipe.draw_size, recipe.seed)


def _dummy_draw(model: Model) -> NDArray[np.int64]:
    # No engine skips the classifier when only encodings are wanted, and none takes zero draws.
    return np.zeros((1, model.aggregation.draw_size), np.int64)
