"""Decodes all cells of a cohort into one array, so that training never waits for files."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from training.pretraining.supply import kept_pixels
from vexas_edge.cells.background import Background
from vexas_edge.cells.canvas import Canvas, canvas_of_case, decoded_cells, place_on_canvas
from vexas_edge.errors import InputError
from vexas_edge.host.process import default_threads
from vexas_edge.smear.cohort import CohortCase, read_row
from vexas_edge.smear.options import ReadOptions


@dataclass(frozen=True, kw_only=True)
class CellStack:
    """Distinct cells, each in the middle of a black square.

    pixels: uint8 (N, S, S, 3) RGB.
    sizes: height and width of each cell's image, int64 (N, 2), on the CPU.
    patients, samples, labels: of each cell.
    identities: of the cells.
    """

    pixels: Tensor
    sizes: Tensor
    patients: tuple[str, ...]
    samples: tuple[str, ...]
    labels: tuple[str, ...]
    identities: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.identities)

    def on(self, device: torch.device) -> "CellStack":
        """The same cells with their pixels on that device, if there is room for them."""
        return replace(self, pixels=kept_pixels(self.pixels, device))

    @property
    def side_px(self) -> int:
        """S, the side of the squares."""
        return self.pixels.shape[1]

    def of_patients(self, patients: Collection[str]) -> "CellStack":
        """Only the cells of these patients."""
        rows = [row for row, name in enumerate(self.patients) if name in patients]
        names = ("patients", "samples", "labels", "identities")
        chosen = {name: tuple(getattr(self, name)[row] for row in rows) for name in names}
        return replace(self, pixels=self.pixels[rows], sizes=self.sizes[rows], **chosen)

    def sha256(self) -> str:
        """The hash of the cells and of what is shown of them, in hexadecimal."""
        content = b"".join(self.identities) + str(tuple(self.pixels.shape)).encode()
        digest = hashlib.sha256(content)
        for pixels in self.pixels.cpu():
            digest.update(pixels.numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class WantedCells:
    """Which cells are read.

    classes: their canonical names.
    canvas_px: the side of the square, to which larger images are cropped; None for the side of the
        largest image.
    skip_unreadable: whether cells that cannot be read are left out instead of being an error.
    background: the bare slide that each case is brought to; None leaves cells as they are.
    apart: whether a cell that two patients have is an error; else it is the first one's.
    reading: how a case's names are understood.
    """

    classes: tuple[str, ...]
    canvas_px: int | None = None
    skip_unreadable: bool = False
    background: Background | None = None
    apart: bool = False
    reading: ReadOptions


def stack_cells(
    rows: Sequence[CohortCase], wanted: WantedCells
) -> tuple[CellStack, tuple[str, ...]]:
    """Every distinct cell of the wanted classes in these cases, and a line per unreadable one.

    Raises:
        InputError: a case cannot be read, none has a cell of the classes, a cell is unreadable
            and such cells are not to be skipped, or two patients have one and must not.
    """
    owner: dict[bytes, CohortCase] = {}
    images: dict[bytes, np.ndarray] = {}
    lost: list[str] = []
    uncut, threads = Canvas(canvas_px=None, background=wanted.background), default_threads()
    for row in rows:
        with read_row(row, wanted.reading) as case:
            canvas = canvas_of_case(case, wanted.classes, uncut, threads=threads)
            for cell in decoded_cells(case, wanted.classes, canvas, threads=threads):
                if cell.pixels is None:
                    lost.append(f"{row.sample}: {cell.fault}")
                else:
                    first = owner.setdefault(cell.identity, row)
                    if wanted.apart and first.patient != row.patient:
                        raise InputError(
                            f"the same cell belongs to two patients, {first.patient!r} and "
                            f"{row.patient!r} ({cell.record.path})"
                        )
                    images.setdefault(cell.identity, cell.pixels)
    if lost and not wanted.skip_unreadable:
        raise InputError(f"{len(lost)} cells cannot be read; the first is {lost[0]}")
    if not images:
        raise InputError(
            f"none of the {len(rows)} cases has a readable cell of {', '.join(wanted.classes)}"
        )
    return _stacked(images, list(owner.values()), wanted.canvas_px), tuple(lost)


def _stacked(
    images: dict[bytes, np.ndarray], rows: list[CohortCase], canvas_px: int | None
) -> CellStack:
    side = canvas_px or max(max(image.shape[:2]) for image in images.values())
    pixels = np.zeros((len(images), side, side, 3), np.uint8)
    for place, image in zip(pixels, images.values(), strict=True):
        place[:] = place_on_canvas(image, side, "crop")
    sizes = [[min(side, length) for length in image.shape[:2]] for image in images.values()]
    return CellStack(
        pixels=torch.from_numpy(pixels),
        sizes=torch.tensor(sizes),
        patients=tuple(row.patient for row in rows),
        samples=tuple(row.sample for row in rows),
        labels=tuple(row.label for row in rows),
        identities=tuple(images),
    )
