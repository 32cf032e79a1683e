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

# Draws of the first call's cells on which the fused graph and the head must agree.
CHECKED_DRAWS = 64

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class FirstCall:
    """What the fused graph itself made of the first call's cells, for the head to agree with.

    draws: int64 (A, K) over those cells. probabilities: float32 (A, C).
    """

    n_cells: int
    draws: NDArray[np.int64]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A model's usable cells. encodings: float32 (N, D). first_call: absent without any cell."""

    records: tuple[UsedCell, ...]
    identities: list[bytes]
    encodings: NDArray[np.float32]
    first_call: FirstCall | None


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

    The first call takes some draws of its own cells along, for the head to agree with; each other
    takes one, since no engine skips the classifier when only encodings are wanted.
    """
    model, fused = sessions.bundle.manifest.models[name], sessions.fused(name)
    canvas = Canvas(canvas_px=model.canvas_px, larger=model.larger)
    ahead = size + 8 * fused.threads
    decoding = decode_cells(source, cells, canvas, threads=fused.threads, ahead=ahead)
    records: list[UsedCell] = []
    identities: list[bytes] = []
    encodings = [np.empty((0, model.encoding_width), np.float32)]
    first_call = None
    with closing(decoding) as decoded:
        for group in _groups(_without_repeats(decoded), size):
            records += [cell.record for cell in group]
            pixels = [cell.pixels for cell in group if cell.pixels is not None]
            new = [cell.identity for cell in group if cell.pixels is not None]
            if new:
                draws = draws_of(new, model, n_draws=1 if identities else CHECKED_DRAWS)
                outputs = fused.run({"cells": np.stack(pixels), "draws": draws})
                first_call = first_call or FirstCall(
                    n_cells=len(new), draws=draws, probabilities=outputs["probabilities"]
                )
                identities += new
                encodings.append(outputs["encodings"])
            progress(name, len(records), len(cells))
    return Encoded(
        records=tuple(records),
        identities=identities,
        encodings=np.concatenate(encodings),
        first_call=first_call,
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


def draws_of(
    identities: list[bytes], model: Model, n_draws: int | None = None
) -> NDArray[np.int64]:
    """Draws of the model's size and seed, int64 (n_draws, draw_size); as many as it scores with."""
    recipe = model.aggregation
    n_draws = recipe.score_draws if n_draws is None else n_draws
    return draw_cells(identities, n_draws, recipe.draw_size, recipe.seed)
