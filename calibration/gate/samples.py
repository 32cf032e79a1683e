"""Chooses the cells that calibration sees and the smears that the gate judges on, kept apart."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.gate.smears import Smear, canvas_of_smear, cells_of, classes_of, readable_images
from vexas_edge.bundle.models import Network
from vexas_edge.cells.canvas import Canvas, decode_cell
from vexas_edge.errors import InputError
from vexas_edge.smear.case import Cell
from vexas_edge.talk import Progress

BATCH = 8

# One of this many sampled cells is kept for the rehearsal; ranges are found without it.
_REHEARSED = 5
_MOST_REHEARSED = 128


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Cells for calibration, drawn evenly over patients and classes, decoded whenever asked for.

    canvases: by the sample of their smear.
    key: a hash of the cells as they are placed, for a cache.
    unreadable: a line of text per cell that could not be used.
    """

    cells: tuple[tuple[Smear, Cell], ...]
    canvases: Mapping[str, Canvas]
    key: str
    unreadable: tuple[str, ...]

    def batches(self) -> Iterator[np.ndarray]:
        """The cells in batches uint8 (n, H, W, 3)."""
        for start in range(0, len(self.cells), BATCH):
            yield self.pixels(self.cells[start : start + BATCH])

    def pixels(self, cells: Sequence[tuple[Smear, Cell]]) -> np.ndarray:
        """These cells on the canvas, uint8 (n, H, W, 3)."""
        placed = [
            decode_cell(smear.case.source, cell, self.canvases[smear.row.sample]).pixels
            for smear, cell in cells
        ]
        return np.stack(readable_images(placed))

    def with_progress(self, progress: Progress, label: str) -> "Callable[[], Iterator[np.ndarray]]":
        """A function like `batches` that reports how many cells are done."""

        def batches() -> Iterator[np.ndarray]:
            done = 0
            for batch in self.batches():
                yield batch
                done += len(batch)
                progress(label, done, len(self.cells))

        return batches


def draw_samples(
    smears: Sequence[Smear], model: Network, canvas: Canvas, n_cells: int, seed: int
) -> tuple[Sample, np.ndarray]:
    """A sample to find ranges on, and further cells for the rehearsal, uint8 (n, H, W, 3).

    Patients and classes take turns with one cell each, so that none has many more than another.
    Which cells are chosen depends on their content and the seed, not on names or order.

    Raises:
        InputError: no cell can be used.
    """
    wanted = n_cells + n_cells // (_REHEARSED - 1)
    chosen: list[tuple[Smear, Cell]] = []
    unreadable: list[str] = []
    canvases = {smear.row.sample: canvas_of_smear(smear, model, canvas) for smear in smears}
    for smear, cell in _in_turns(smears, model, seed):
        if len(chosen) == wanted:
            break
        decoded = decode_cell(smear.case.source, cell, canvases[smear.row.sample])
        if decoded.pixels is None:
            unreadable.append(f"{smear.row.sample}: {decoded.fault}")
        else:
            chosen.append((smear, cell))
    if not chosen:
        raise InputError(
            "the cohort's calibration split holds no readable cell of "
            f"{', '.join(classes_of(model))}"
        )
    # With very few cells, the rehearsal uses the calibration's own; the gate judges on others.
    rehearsed = (chosen[_REHEARSED - 1 :: _REHEARSED] or chosen)[:_MOST_REHEARSED]
    ranged = [c for i, c in enumerate(chosen) if i % _REHEARSED != _REHEARSED - 1]
    sample = Sample(
        cells=tuple(ranged),
        canvases=canvases,
        key=_key(ranged, canvases),
        unreadable=tuple(unreadable),
    )
    return sample, sample.pixels(rehearsed)


def _key(cells: Sequence[tuple[Smear, Cell]], canvases: Mapping[str, Canvas]) -> str:
    digest = hashlib.sha256()
    for smear, cell in cells:
        gains = canvases[smear.row.sample].gains
        digest.update(smear.identities[cell.path] + (b"" if gains is None else gains.tobytes()))
    return digest.hexdigest()


def _in_turns(smears: Sequence[Smear], model: Network, seed: int) -> list[tuple[Smear, Cell]]:
    groups: dict[tuple[str, str], list[tuple[bytes, Smear, Cell]]] = defaultdict(list)
    for smear in smears:
        for cell in cells_of(smear, model):
            mixed = hashlib.sha256(f"{seed} ".encode() + smear.identities[cell.path]).digest()
            groups[smear.row.patient, cell.cell_class].append((mixed, smear, cell))
    ranked = [
        (turn, mixed, smear, cell)
        for group in groups.values()
        for turn, (mixed, smear, cell) in enumerate(sorted(group, key=lambda found: found[0]))
    ]
    ranked.sort(key=lambda found: found[:2])
    return [(smear, cell) for _, _, smear, cell in ranked]
