"""The cohort's smears that a calibration works on: opened, with all cells identified."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.models import Model, Network
from vexas_edge.cells.background import Background, background_of_cell, middle_background
from vexas_edge.cells.canvas import AS_IT_IS, Canvas, decode_cell, decoded_cells
from vexas_edge.cells.likeness import near_copies, shows_nothing, signature_of
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.errors import InputError
from vexas_edge.host.process import default_threads
from vexas_edge.results.values import UsedCell
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.images.canvases import canvas_of
from vexas_edge.scoring.images.reading import empty_cell
from vexas_edge.smear.case import Case, Cell
from vexas_edge.smear.cohort import CohortCase, cases_of_split, read_row
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.vocabulary import CELL_CLASSES

# The share of a gate's cells that may be unreadable.
MOST_UNREAD = 0.02


class OpenedCells(Protocol):
    """One opened case of the cohort, a smear or a table."""

    @property
    def row(self) -> CohortCase: ...

    @property
    def identities(self) -> Mapping[str, bytes]:
        """Of each cell that can be read, by path."""

    @property
    def unreadable(self) -> tuple[str, ...]:
        """A line of text per cell that cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Smear:
    """One opened case of the cohort.

    identities: of each cell whose image can be read and shows something, by path.
    backgrounds: the bare slide in the image of each of these cells, by path.
    signatures: by which images of the same cell are known, int16 (8, 8, 3), by path.
    lost: the other cells, unreadable or rejected.
    """

    row: CohortCase
    case: Case
    identities: dict[str, bytes]
    backgrounds: dict[str, Background]
    signatures: dict[str, np.ndarray]
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


def open_smears(
    rows: Sequence[CohortCase], split: str, options: ReadOptions, stack: ExitStack
) -> tuple[Smear, ...]:
    """The cohort's cases of one split, all cells identified, open until the stack is closed.

    Raises:
        InputError: the split has no case, or one cannot be read.
    """
    return tuple(_opened(row, options, stack) for row in cases_of_split(rows, split))


def check_read(gate: Sequence[OpenedCells]) -> None:
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
    case = stack.enter_context(read_row(row, options))
    classes = {cell.cell_class for cell in case.cells}
    identities, backgrounds, signatures, lost = {}, {}, {}, []
    with closing(decoded_cells(case, classes, AS_IT_IS, threads=default_threads())) as decoded:
        for cell in decoded:
            path = cell.record.path
            if cell.pixels is None:
                lost.append(cell.record)
            elif shows_nothing(signature := signature_of(cell.pixels)):
                lost.append(empty_cell(cell.record))
            else:
                identities[path] = cell.identity
                backgrounds[path] = background_of_cell(cell.pixels)
                signatures[path] = signature
    return Smear(
        row=row,
        case=case,
        identities=identities,
        backgrounds=backgrounds,
        signatures=signatures,
        lost=tuple(lost),
    )


def check_apart(calibration: Sequence[OpenedCells], gate: Sequence[OpenedCells]) -> None:
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
def opened_canvas(bundle: Bundle, name: str) -> Iterator[Canvas]:
    """The canvas of one of the bundle's models, with its mask network in the reference engine.

    Where models take tables, it is one that changes nothing.
    """
    if bundle.manifest.takes_tables:
        yield AS_IT_IS
        return
    on_cpu = EngineOptions(engine="onnxruntime", device="cpu")
    with Sessions(bundle, on_cpu, "fp32") as sessions:
        yield canvas_of(sessions, name)


def classes_of(model: Network) -> Collection[str]:
    """The classes of the cells that a model is given; of one that names cells, all there are."""
    return model.cells if isinstance(model, Model) else CELL_CLASSES


def cells_of(smear: Smear, model: Network) -> list[Cell]:
    """The smear's cells of the model's classes that can be read; copies and near copies count once.

    They are those that scoring finds.
    """
    first: dict[bytes, Cell] = {}
    classes = classes_of(model)
    for cell in smear.case.cells:
        identity = smear.identities.get(cell.path)
        if identity is not None and cell.cell_class in classes:
            first.setdefault(identity, cell)
    ordered = sorted(first)
    copies = near_copies([smear.signatures[first[identity].path] for identity in ordered])
    left_out = {ordered[number] for number in copies}
    return [cell for identity, cell in first.items() if identity not in left_out]


def canvas_of_smear(smear: Smear, model: Network, canvas: Canvas) -> Canvas:
    """The canvas for the smear's cells, which normalises them where the model wants that.

    Args:
        canvas: the model's.
    """
    found = [smear.backgrounds[cell.path] for cell in cells_of(smear, model)]
    return canvas.for_background(middle_background(found)) if found else canvas


def raw_images(smear: Smear, cells: Sequence[Cell]) -> list[np.ndarray]:
    """These cells as their images show them, uint8 (H, W, 3) each.

    Raises:
        InputError: one can no longer be read.
    """
    images = [decode_cell(smear.case.source, cell, AS_IT_IS).pixels for cell in cells]
    return readable_images(images)


def readable_images(images: Sequence[np.ndarray | None]) -> list[np.ndarray]:
    """The images, all of which must be there.

    Raises:
        InputError: one is not.
    """
    readable = [pixels for pixels in images if pixels is not None]
    if len(readable) < len(images):
        raise InputError(
            "a cell can no longer be read; run this again, without moving files meanwhile"
        )
    return readable
