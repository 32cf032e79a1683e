"""Cells to encodings: each thread decodes some cells and runs them; copies are dropped after.

Threads that each take a call of their own keep all cores busy. One call spread over all of them
would wait at every operator for the thread that shares its core with decoding.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vexas_edge.ahead import run_ahead
from vexas_edge.bundle.manifest import Model
from vexas_edge.cells.canvas import Canvas, decode_cell
from vexas_edge.engines.contract import Engine
from vexas_edge.results.values import UsedCell
from vexas_edge.runtime.session import Sessions, most_cells_a_call
from vexas_edge.scoring.draws import draw_cells
from vexas_edge.smear.case import Cell
from vexas_edge.smear.sources import Source

# Draws of one call's cells on which the fused graph and the head must agree.
CHECKED_DRAWS = 64

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class CheckedCall:
    """What the fused graph itself made of one call's cells, for the head to agree with.

    encodings: float32 (n, D). draws: int64 (A, K) over them. probabilities: float32 (A, C).
    """

    encodings: NDArray[np.float32]
    draws: NDArray[np.int64]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A model's usable cells. encodings: float32 (N, D). checked: absent without any cell."""

    records: tuple[UsedCell, ...]
    identities: list[bytes]
    encodings: NDArray[np.float32]
    checked: CheckedCall | None


@dataclass(frozen=True, kw_only=True)
class _Call:
    """One call's cells. encodings: of those whose record says "used", in their order."""

    records: list[UsedCell]
    encodings: NDArray[np.float32]
    checked: CheckedCall | None = None


def cells_a_call(canvas_px: int, n_cells: int, threads: int) -> int:
    """How many cells go into one call of the engine, so that every thread gets some."""
    return max(1, min(most_cells_a_call(canvas_px), -(-n_cells // threads)))


def encode_cells(
    source: Source,
    cells: Sequence[Cell],
    name: str,
    sessions: Sessions,
    chunk_cells: int | None,
    progress: Progress,
) -> Encoded:
    """The encodings of one model's cells, so many cells a call; None lets us choose.

    An engine that takes fewer cells a call gets as many as it takes.

    The first call that has a usable cell takes draws of its own cells along, for the head to agree
    with; each other takes one, since no engine skips the classifier when only encodings are wanted.
    """
    model, fused = sessions.bundle.manifest.models[name], sessions.fused(name)
    canvas = sessions.canvas(name)
    size = chunk_cells or cells_a_call(model.canvas_px, len(cells), fused.threads)
    size = min(size, fused.most_cells or size)
    chunks = [cells[start : start + size] for start in range(0, len(cells), size)]
    unchecked = threading.Lock()
    calls: list[_Call] = []
    first: dict[str, str] = {}
    n_done = 0
    work = run_ahead(
        lambda chunk: _call(source, chunk, model, canvas, fused, unchecked),
        chunks,
        threads=fused.threads,
    )
    with closing(work) as done:
        for call in done:
            calls.append(_without_repeats(call, first))
            n_done += len(call.records)
            progress(name, n_done, len(cells))
    return _joined(calls, model)


def _call(
    source: Source,
    cells: Sequence[Cell],
    model: Model,
    canvas: Canvas,
    fused: Engine,
    unchecked: threading.Lock,
) -> _Call:
    decoded = [decode_cell(source, cell, canvas) for cell in cells]
    records = [cell.record for cell in decoded]
    pixels = [cell.pixels for cell in decoded if cell.pixels is not None]
    if not pixels:
        return _Call(records=records, encodings=np.empty((0, model.encoding_width), np.float32))
    checked = unchecked.acquire(blocking=False)  # only ever taken once
    identities = [cell.identity for cell in decoded if cell.pixels is not None]
    draws = draws_of(identities, model, n_draws=CHECKED_DRAWS if checked else 1)
    outputs = fused.run({"cells": np.stack(pixels), "draws": draws})
    encodings, probabilities = outputs["encodings"], outputs["probabilities"]
    return _Call(
        records=records,
        encodings=encodings,
        checked=CheckedCall(encodings=encodings, draws=draws, probabilities=probabilities)
        if checked
        else None,
    )


def _without_repeats(call: _Call, first: dict[str, str]) -> _Call:
    """The same call, exact copies of earlier cells marked and without their encodings.

    Args:
        first: path of the first cell with each SHA-256; grows.
    """
    records, kept, row = [], [], 0
    for record in call.records:
        if record.status != "used":
            records.append(record)
            continue
        original = first.setdefault(record.sha256, record.path)
        if original == record.path:
            records.append(record)
            kept.append(row)
        else:
            records.append(_copied(record, original))
        row += 1
    return replace(call, records=records, encodings=call.encodings[kept])


def _copied(record: UsedCell, original: str) -> UsedCell:
    return replace(
        record,
        status="duplicate",
        reason="same_file_content",
        detail=f"same content as {original}",
    )


def _joined(calls: Iterable[_Call], model: Model) -> Encoded:
    calls = list(calls)
    records = tuple(record for call in calls for record in call.records)
    none = np.empty((0, model.encoding_width), np.float32)
    return Encoded(
        records=records,
        identities=[bytes.fromhex(r.sha256) for r in records if r.status == "used"],
        encodings=np.concatenate([none, *(call.encodings for call in calls)]),
        checked=next((call.checked for call in calls if call.checked), None),
    )


def draws_of(
    identities: Sequence[bytes], model: Model, n_draws: int | None = None
) -> NDArray[np.int64]:
    """Draws of the model's size and seed, int64 (n_draws, draw_size); as many as it scores with."""
    recipe = model.aggregation
    n_draws = recipe.score_draws if n_draws is None else n_draws
    return draw_cells(identities, n_draws, recipe.draw_size, recipe.seed)
