"""Encodes a cohort's cells exactly as `vexas-edge score` does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from export.backbones import prefix_words
from export.fuse import embedding_width, encoding_graph
from export.inputs import load_encoder
from export.preprocessing import CanvasScaling, preprocessing_named
from training.encodings.table import Encodings
from vexas_edge.ahead import run_ahead
from vexas_edge.bundle.contract import CELLS, ENCODINGS, encoding_contract
from vexas_edge.cells.background import Background
from vexas_edge.cells.canvas import Canvas, DecodedCell, canvas_of_case, decoded_cells
from vexas_edge.cells.limits import LargerCells
from vexas_edge.engines.contract import Engine, EngineOptions
from vexas_edge.engines.opening import open_engine
from vexas_edge.errors import InputError
from vexas_edge.host.process import default_threads
from vexas_edge.runtime.choice import cells_per_call
from vexas_edge.smear.case import Case
from vexas_edge.smear.cohort import CohortCase, read_row
from vexas_edge.smear.options import ReadOptions
from vexas_edge.talk import Say


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which cells are encoded, and how they are placed on the canvas.

    cells: canonical names of the classes.
    background: the bare slide that each case is brought to; None leaves cells as they are.
    reading: how a case's names are understood.
    """

    cells: tuple[str, ...]
    canvas_px: int
    larger: LargerCells
    background: Background | None = None
    reading: ReadOptions

    @property
    def canvas(self) -> Canvas:
        return Canvas(canvas_px=self.canvas_px, larger=self.larger, background=self.background)


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Encodings of a cohort.

    unreadable: a line of text per cell that could not be used.
    """

    found: Encodings
    unreadable: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Row:
    patient: str
    sample: str
    group: str
    cell: str
    identity: bytes
    encoding: np.ndarray


def encode_rows(
    rows: Sequence[CohortCase],
    wanted: Wanted,
    *,
    encoder: str,
    weights: Path | None,
    preprocessing: str,
    say: Say,
) -> Encoded:
    """The encodings of the cells of a cohort's rows.

    Args:
        encoder, weights, preprocessing: named as in a spec.
        say: is told of a prefix of the weights' names that was left out.

    Raises:
        UsageError, InputError: a case or the encoder cannot be found or read.
    """
    canvas_px = wanted.canvas_px
    loaded = load_encoder(
        encoder,
        Path.cwd(),
        canvas_px=canvas_px,
        weights=str(weights) if weights else None,
    )
    if prefix := loaded.source.get("weights_prefix"):
        say(prefix_words(prefix, f"{weights}"))
    scaling = CanvasScaling(preprocessing=preprocessing_named(preprocessing), canvas_px=canvas_px)
    graph = encoding_graph(loaded.model, scaling)
    content = graph.SerializeToString(deterministic=True)
    contract = encoding_contract(scaling.cells, embedding_width(loaded.model))
    options = EngineOptions(calls_at_once=default_threads())
    size = cells_per_call(options, scaling.cells)
    with open_engine(content, replace(options, rows=contract.rows(size))) as engine:
        return encode_cohort(rows, wanted, engine, size)


def encode_cohort(
    rows: Sequence[CohortCase], wanted: Wanted, engine: Engine, cells_per_call: int
) -> Encoded:
    """The encodings of every distinct cell of the wanted classes in the cohort's cases.

    Args:
        engine: runs an `export.fuse.encoding_graph`.

    Raises:
        InputError: a case cannot be read, or none has a cell of these classes.
    """
    encoded: list[_Row] = []
    unreadable: list[str] = []
    for row in rows:
        with read_row(row, wanted.reading) as case:
            found, lost = _encode_case(row, case, wanted, engine, cells_per_call)
        encoded += found
        unreadable += lost
    if not encoded:
        raise InputError(
            f"none of the {len(rows)} cases has a readable cell of {', '.join(wanted.cells)}"
        )
    return Encoded(
        found=Encodings(
            encodings=np.stack([row.encoding for row in encoded]),
            groups=tuple(row.group for row in encoded),
            patients=tuple(row.patient for row in encoded),
            samples=tuple(row.sample for row in encoded),
            cells=tuple(row.cell for row in encoded),
            identities=tuple(row.identity for row in encoded),
        ),
        unreadable=tuple(unreadable),
    )


def _encode_case(
    row: CohortCase, case: Case, wanted: Wanted, engine: Engine, cells_per_call: int
) -> tuple[list[_Row], list[str]]:
    canvas = canvas_of_case(case, wanted.cells, wanted.canvas, threads=engine.threads)
    decoded = list(decoded_cells(case, wanted.cells, canvas, threads=engine.threads))
    lost = [f"{row.sample}: {cell.fault}" for cell in decoded if not _used(cell)]
    first = {cell.identity: cell for cell in reversed(decoded) if _used(cell)}
    distinct = sorted(first.values(), key=lambda cell: cell.record.path)
    starts = range(0, len(distinct), cells_per_call)
    calls = [distinct[start : start + cells_per_call] for start in starts]
    work = run_ahead(lambda call: _run(call, engine), calls, threads=engine.threads)
    encodings = [encoding for call in work for encoding in call]
    found = [
        _Row(
            patient=row.patient,
            sample=row.sample,
            group=row.label,
            cell=cell.record.path,
            identity=cell.identity,
            encoding=encoding,
        )
        for cell, encoding in zip(distinct, encodings, strict=True)
    ]
    return found, lost


def _used(cell: DecodedCell) -> bool:
    return cell.pixels is not None


def _run(cells: Sequence[DecodedCell], engine: Engine) -> np.ndarray:
    pixels = np.stack([cell.pixels for cell in cells if cell.pixels is not None])
    return engine.run({CELLS: pixels})[ENCODINGS]
