"""Chooses the cells that calibration sees and the smears that the gate judges on, kept apart."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

import numpy as np

from vexas_edge import read_case
from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.manifest import Model
from vexas_edge.cells.background import Background, background_of_cell, middle_background
from vexas_edge.cells.canvas import AS_IT_IS, Canvas, decode_cell, decoded_cells
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.errors import InputError
from vexas_edge.host.process import default_threads
from vexas_edge.results.values import UsedCell
from vexas_edge.runtime.session import Sessions
from vexas_edge.smear.case import Case, Cell
from vexas_edge.smear.cohort import CohortCase, cases_of_split
from vexas_edge.smear.options import ReadOptions
from vexas_edge.talk import Progress

BATCH = 8

# The share of a gate's cells that may be unreadable.
MOST_UNREAD = 0.02

# One of this many sampled cells is kept for the rehearsal; ranges are found without it.
_REHEARSED = 5
_MOST_REHEARSED = 128


@dataclass(frozen=True, kw_only=True)
class Smear:
    """One opened case of the cohort.

    identities: of each cell whose image can be read, by path.
    backgrounds: the bare slide in the image of each of these cells, by path.
    lost: the other cells, unreadable or rejected.
    """

    row: CohortCase
    case: Case
    identities: dict[str, bytes]
    backgrounds: dict[str, Background]
    lost: tuple[UsedCell, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """A line of text per lost cell."""
        return tuple(f"{self.row.sample}: {cell.path}: {cell.detail}" for cell in self.lost)

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Of these lines, those of cells that cannot be read."""
        of_cells = zip(self.faults, self.lost, strict=True)
        return tuple(fault for fault, cell in of_cells if cell.status == "unreadable")


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
        return np.stack(_readable(placed))

    def with_progress(self, progress: Progress, label: str) -> "Callable[[], Iterator[np.ndarray]]":
        """A function like `batches` that reports how many cells are done."""

        def batches() -> Iterator[np.ndarray]:
            done = 0
            for batch in self.batches():
                yield batch
                done += len(batch)
                progress(label, done, len(self.cells))

        return batches


def open_smears(
    rows: Sequence[CohortCase], split: str, options: ReadOptions, stack: ExitStack
) -> tuple[Smear, ...]:
    """The cohort's cases of one split, all cells identified, open until the stack is closed.

    Raises:
        InputError: the split has no case, or one cannot be read.
    """
    return tuple(_opened(row, options, stack) for row in cases_of_split(rows, split))


def check_read(gate: Sequence[Smear]) -> None:
    """Check that hardly any cell of the gate is lost: it is to judge the cohort, not what is left.

    Raises:
        InputError: over `MOST_UNREAD` of the cells, or all cells of a smear, cannot be read.
    """
    for smear in gate:
        if smear.unreadable and not smear.identities:
            raise InputError(
                f"no cell of the gate's smear {smear.row.sample!r} can be read (the first: "
                f"{smear.unreadable[0]}); a graph is not judged without it"
            )
    lost = [fault for smear in gate for fault in smear.unreadable]
    n_cells = len(lost) + sum(len(smear.identities) for smear in gate)
    if len(lost) > MOST_UNREAD * n_cells:
        raise InputError(
            f"{len(lost)} of the gate's {n_cells} cells cannot be read (the first: {lost[0]}); a "
            f"graph is judged if at most {MOST_UNREAD:.0%} cannot"
        )


def _opened(row: CohortCase, options: ReadOptions, stack: ExitStack) -> Smear:
    case = stack.enter_context(read_case(row.path, options))
    classes = {cell.cell_class for cell in case.cells}
    identities, backgrounds, lost = {}, {}, []
    with closing(decoded_cells(case, classes, AS_IT_IS, threads=default_threads())) as decoded:
        for cell in decoded:
            if cell.pixels is not None:
                identities[cell.record.path] = cell.identity
                backgrounds[cell.record.path] = background_of_cell(cell.pixels)
            else:
                lost.append(cell.record)
    return Smear(
        row=row, case=case, identities=identities, backgrounds=backgrounds, lost=tuple(lost)
    )


def check_apart(calibration: Sequence[Smear], gate: Sequence[Smear]) -> None:
    """Check that calibration and gate share no patient and no cell.

    Raises:
        InputError: they do; the message names the patient, or both files.
    """
    patients = {smear.row.patient for smear in calibration}
    seen = {
        identity: f"{smear.row.sample}: {path}"
        for smear in calibration
        for path, identity in smear.identities.items()
    }
    for smear in gate:
        if smear.row.patient in patients:
            raise InputError(
                f"patient {smear.row.patient!r} is in calibration and in the gate; a graph must be "
                "judged on patients that its calibration never saw"
            )
        for path, identity in smear.identities.items():
            if identity in seen:
                raise InputError(
                    f"one cell is in calibration ({seen[identity]}) and in the gate "
                    f"({smear.row.sample}: {path}); a graph must be judged on cells that its "
                    "calibration never saw"
                )


@contextmanager
def canvas_of(bundle: Bundle, name: str) -> Iterator[Canvas]:
    """The canvas of one of the bundle's models, with its mask network in the reference engine."""
    on_cpu = EngineOptions(engine="onnxruntime", device="cpu")
    with Sessions(bundle, on_cpu, "fp32") as sessions:
        yield sessions.canvas(name)


def cells_of(smear: Smear, model: Model) -> list[Cell]:
    """The smear's readable cells of the model's classes; cells with the same pixels count once."""
    first: dict[bytes, Cell] = {}
    for cell in smear.case.cells:
        identity = smear.identities.get(cell.path)
        if identity is not None and cell.cell_class in model.cells:
            first.setdefault(identity, cell)
    return list(first.values())


def canvas_of_smear(smear: Smear, model: Model, canvas: Canvas) -> Canvas:
    """The canvas for the smear's cells, which normalises them where the model wants that.

    Args:
        canvas: the model's.
    """
    found = [smear.backgrounds[cell.path] for cell in cells_of(smear, model)]
    return canvas.for_background(middle_background(found)) if found else canvas


def draw_samples(
    smears: Sequence[Smear], model: Model, canvas: Canvas, n_cells: int, seed: int
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
            f"the cohort's calibration split holds no readable cell of {', '.join(model.cells)}"
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


def raw_images(smear: Smear, cells: Sequence[Cell]) -> list[np.ndarray]:
    """These cells as their images show them, uint8 (H, W, 3) each.

    Raises:
        InputError: one can no longer be read.
    """
    images = [decode_cell(smear.case.source, cell, AS_IT_IS).pixels for cell in cells]
    return _readable(images)


def _readable(images: Sequence[np.ndarray | None]) -> list[np.ndarray]:
    readable = [pixels for pixels in images if pixels is not None]
    if len(readable) < len(images):
        raise InputError(
            "a cell can no longer be read; run this again, without moving files meanwhile"
        )
    return readable


def _key(cells: Sequence[tuple[Smear, Cell]], canvases: Mapping[str, Canvas]) -> str:
    digest = hashlib.sha256()
    for smear, cell in cells:
        gains = canvases[smear.row.sample].gains
        digest.update(smear.identities[cell.path] + (b"" if gains is None else gains.tobytes()))
    return digest.hexdigest()


def _in_turns(smears: Sequence[Smear], model: Model, seed: int) -> list[tuple[Smear, Cell]]:
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
