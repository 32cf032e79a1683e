"""Draws an epoch at once: its batches, and all that is random about their views.

The numbers are those of drawing each view when its turn comes, from one generator in the same
order. But a GPU gets them in one copy, and does not wait for any batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from training.pretraining.batches import BatchOptions, draw_batches
from training.pretraining.cell_stack import CellStack
from training.pretraining.supply import queued_to
from training.pretraining.views import ViewOptions, draw_numbers
from vexas_edge.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Views:
    """A view of each cell of a batch, before any pixel is touched.

    rows: of the cells, int64 (n,).
    numbers: from `draw_numbers`, float32 (n, N_NUMBERS).
    """

    rows: Tensor
    numbers: Tensor


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """The views of all batches: of each batch the first views, then the second ones.

    rows: of the views' cells, int64 (2 times the cells,).
    numbers: from `draw_numbers`, float32 (2 times the cells, N_NUMBERS).
    sizes: cells per batch.
    """

    rows: Tensor
    numbers: Tensor
    sizes: tuple[int, ...]

    def on(self, device: torch.device, pixels_device: torch.device) -> "Epoch":
        """The same epoch with its numbers on the device, and its rows where the pixels are."""
        numbers, rows = queued_to(device, self.numbers), queued_to(pixels_device, self.rows)
        return replace(self, numbers=numbers, rows=rows)

    def batches(self) -> Iterator[tuple[Views, Views]]:
        """Each batch's first and second views."""
        parts = [size for size in self.sizes for _ in range(2)]
        both = zip(self.rows.split(parts), self.numbers.split(parts), strict=True)
        views = [Views(rows=rows, numbers=numbers) for rows, numbers in both]
        yield from zip(views[::2], views[1::2], strict=True)


def draw_epoch(cells: CellStack, batch: BatchOptions, views: ViewOptions, draw: Generator) -> Epoch:
    """The next epoch that the generator gives, on the CPU.

    Raises:
        InputError: no batch of two cells can be made.
    """
    batches = list(draw_batches(cells.patients, batch, draw))
    if not batches:
        raise InputError(f"no two of the {len(cells)} cells can be in one batch")
    parts = [rows for both in batches for rows in both]
    numbers = [draw_numbers(cells, rows, views, draw) for rows in parts]
    sizes = tuple(len(rows) for rows, _ in batches)
    return Epoch(rows=torch.cat(parts), numbers=torch.cat(numbers), sizes=sizes)
