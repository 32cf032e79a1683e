"""Measures a training case for a model's reference: clean, and after each change of its images."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.measured.case import ChangedBag, MeasuredCase
from vexas_edge.ahead import run_ahead
from vexas_edge.bundle.contract import ENCODINGS
from vexas_edge.cells.background import background_of_cell, middle_background
from vexas_edge.cells.canvas import Canvas
from vexas_edge.errors import CellError
from vexas_edge.quality.statistics import (
    CELL_STATISTICS,
    MEASURED_CELLS,
    case_statistics,
    cell_statistics,
)
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.encoding import encode_cells
from vexas_edge.scoring.images.canvases import canvas_of
from vexas_edge.scoring.images.reading import read_cells
from vexas_edge.smear.case import Case
from vexas_edge.talk import Progress

_Pixels = NDArray[np.uint8]

# With fewer cells nothing can be said of how they vary.
LEAST_CELLS = 2


class NamedChange(Protocol):
    """A change of an image: `Change`, or `PairOfChanges`."""

    @property
    def name(self) -> str: ...

    @property
    def family(self) -> str: ...

    def __call__(self, pixels: _Pixels) -> _Pixels: ...


@dataclass(frozen=True, kw_only=True)
class Bench:
    """How cells of one model are placed and encoded.

    window_px: the side of the middle part that statistics are measured on.
    canvas: the model's, not yet for a case's background.
    encode: from cells on the canvas, uint8 (n, canvas_px, canvas_px, 3), to float32 (n, D).
    threads: how many call it at a time.
    """

    window_px: int
    canvas: Canvas
    encode: Callable[[_Pixels], NDArray[np.float32]]
    threads: int


def bench_of(sessions: Sessions, name: str) -> Bench:
    """The bench of a bundle's model."""
    engine = sessions.fused(name)
    contract = sessions.contract(name, sessions.graph.file)
    return Bench(
        window_px=sessions.bundle.manifest.models[name].images.canvas_px,
        canvas=canvas_of(sessions, name),
        encode=lambda cells: engine.run(contract.feeds_of_cells(cells))[ENCODINGS],
        threads=engine.threads,
    )


def measure_case(
    case: Case,
    name: str,
    sessions: Sessions,
    changes: Sequence[NamedChange],
    progress: Progress,
) -> MeasuredCase:
    """A case as the model `name` sees it, read and encoded as scoring does it.

    Of few cells, none is measured further than that.

    Args:
        progress: called with what is done, how much of it is, and how much there is.
    """
    classes = sessions.bundle.manifest.models[name].cells
    bench = bench_of(sessions, name)
    read = read_cells(case, name, classes, progress, threads=bench.threads)
    encoded = encode_cells(read, name, sessions, None, progress)
    order = sorted(range(len(encoded.identities)), key=encoded.identities.__getitem__)
    identities = tuple(encoded.identities[place] for place in order)
    by_identity = {one.record.identity: one for one in read.distinct}
    first = [
        read.decoded(by_identity[identity.hex()]).pixels for identity in identities[:MEASURED_CELLS]
    ]
    raw = [pixels for pixels in first if pixels is not None]
    n_measured = len(raw) if len(raw) >= LEAST_CELLS else 0
    return MeasuredCase(
        identities=identities,
        encodings=encoded.encodings[order],
        statistics=statistics_of_cells(raw, bench),
        changed=tuple(changed_bags(raw, bench, changes if n_measured else (), name, progress)),
    )


def statistics_of_cells(raw: Sequence[_Pixels], bench: Bench) -> NDArray[np.float64]:
    """The statistics of each raw image, float64 (n, S)."""

    def measured(pixels: _Pixels) -> NDArray[np.float64]:
        return cell_statistics(pixels, background_of_cell(pixels), bench.window_px)

    with closing(run_ahead(measured, raw, threads=bench.threads)) as found:
        rows = list(found)
    return np.array(rows, np.float64).reshape(len(raw), len(CELL_STATISTICS))


def changed_bags(
    raw: Sequence[_Pixels],
    bench: Bench,
    changes: Sequence[Callable[[_Pixels], _Pixels]],
    name: str,
    progress: Progress,
) -> list[ChangedBag | None]:
    """The cells after each change; None where the model can use fewer than two of them.

    Args:
        raw: the images of a case's first cells, uint8 (H, W, 3) each.
        name: the model's, for the progress.
    """
    bags: list[ChangedBag | None] = []
    work = run_ahead(
        lambda change: _changed_bag([change(pixels) for pixels in raw], bench),
        changes,
        threads=bench.threads,
    )
    with closing(work) as finished:
        for bag in finished:
            bags.append(bag)
            progress(f"{name} changed", len(bags), len(changes))
    return bags


def _changed_bag(images: Sequence[_Pixels], bench: Bench) -> ChangedBag | None:
    """The bag of a case whose raw images these are."""
    slides = [background_of_cell(image) for image in images]
    canvas = bench.canvas.for_background(middle_background(slides))
    placed = [_placed(image, canvas) for image in images]
    kept = [place for place, cell in enumerate(placed) if cell is not None]
    if len(kept) < LEAST_CELLS:
        return None
    statistics = [cell_statistics(images[k], slides[k], bench.window_px) for k in kept]
    return ChangedBag(
        kept=np.array([cell is not None for cell in placed]),
        encodings=bench.encode(np.stack([cell for cell in placed if cell is not None])),
        statistics=case_statistics(statistics),
    )


def _placed(image: _Pixels, canvas: Canvas) -> _Pixels | None:
    try:
        return canvas.place(image)
    except CellError:
        return None
