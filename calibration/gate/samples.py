"""Chooses the cells that calibration sees and the smears that the gate judges on, kept apart."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from calibration.gate.smears import Smear, canvas_of_smear, cells_of, classes_of, readable_images
from calibration.gate.tables import CohortTable, rows_in_turns
from vexas_edge.bundle.models import Network
from vexas_edge.cells.canvas import Canvas, decode_cell
from vexas_edge.errors import InputError
from vexas_edge.scoring.vectors.reading import ReadRow
from vexas_edge.smear.case import Cell
from vexas_edge.talk import Progress

BATCH = 8
T = TypeVar("T")

# One of this many sampled cells is kept for the rehearsal; ranges are found without it.
_REHEARSED = 5
_MOST_REHEARSED = 128


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Cells for calibration, drawn evenly over patients and classes, placed whenever asked for.

    patients: of each cell.
    place: puts some of the cells, by their numbers, before the graph.
    key: a hash of the cells as they are placed, for a cache.
    unreadable: a line of text per cell that could not be used.
    """

    patients: tuple[str, ...]
    place: Callable[[Sequence[int]], np.ndarray]
    key: str
    unreadable: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.patients)

    def batches(self) -> Iterator[np.ndarray]:
        """The cells in batches, as the graph takes them."""
        for start in range(0, len(self), BATCH):
            yield self.place(range(start, min(start + BATCH, len(self))))

    def with_progress(self, progress: Progress, label: str) -> "Callable[[], Iterator[np.ndarray]]":
        """A function like `batches` that reports how many cells are done."""

        def batches() -> Iterator[np.ndarray]:
            done = 0
            for batch in self.batches():
                yield batch
                done += len(batch)
                progress(label, done, len(self))

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
    ranged, rehearsed = _parted(chosen)

    def placed(cells: Sequence[tuple[Smear, Cell]]) -> np.ndarray:
        found = [
            decode_cell(smear.case.source, cell, canvases[smear.row.sample]).pixels
            for smear, cell in cells
        ]
        return np.stack(readable_images(found))

    sample = Sample(
        patients=tuple(smear.row.patient for smear, _ in ranged),
        place=lambda numbers: placed([ranged[number] for number in numbers]),
        key=_key(ranged, canvases),
        unreadable=tuple(unreadable),
    )
    return sample, placed(rehearsed)


def draw_rows(
    tables: Sequence[CohortTable], name: str, n_cells: int, seed: int
) -> tuple[Sample, np.ndarray]:
    """The same of the cells of tables, as the model `name` takes them, float32 (n, n_features).

    Raises:
        InputError: no cell can be used.
    """
    wanted = n_cells + n_cells // (_REHEARSED - 1)
    chosen = rows_in_turns(tables, name, seed)[:wanted]
    if not chosen:
        raise InputError("the cohort's calibration split holds no cell that can be used")
    ranged, rehearsed = _parted(chosen)

    def placed(cells: Sequence[tuple[CohortTable, ReadRow]]) -> np.ndarray:
        rows = [table.of_models[name].placed([cell]) for table, cell in cells]
        return np.concatenate(rows)

    identities = "".join(cell.record.identity for _, cell in ranged)
    sample = Sample(
        patients=tuple(table.row.patient for table, _ in ranged),
        place=lambda numbers: placed([ranged[number] for number in numbers]),
        key=hashlib.sha256(identities.encode()).hexdigest(),
    )
    return sample, placed(rehearsed)


def _parted(chosen: Sequence[T]) -> tuple[list[T], list[T]]:
    """Cells to find ranges on, and cells for the rehearsal."""
    # With very few cells, the rehearsal uses the calibration's own; the gate judges on others.
    rehearsed = list(chosen[_REHEARSED - 1 :: _REHEARSED] or chosen)[:_MOST_REHEARSED]
    return [c for i, c in enumerate(chosen) if i % _REHEARSED != _REHEARSED - 1], rehearsed


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
