"""What the trained half of an encoder is given: the other half's output, computed once and kept.

Cells are shown mirrored and turned by quarters only, so that each has few views, and the early half
of the encoder sees each once.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from training.pretraining.pixels import Scaling, network_input

CellViews = Literal["none", "flips", "turns"]
N_VIEWS: dict[CellViews, int] = {"none": 1, "flips": 4, "turns": 8}
# From maps to what is kept of them.
Pool = Callable[[Tensor], Tensor]
_CELLS_PER_CALL = 64


class CellInputs:
    """The early half's output for each view of each cell, or pixels where nothing is early."""

    def __init__(
        self, pixels: Tensor, early: nn.Module, scaling: Scaling, views: CellViews, pool: Pool
    ) -> None:
        """Compute what is kept.

        Args:
            pixels: of the cells, uint8 (N, S, S, 3) RGB.
            early: in evaluation mode; without layers, pixels are kept instead.
            pool: gives what is kept of the early half's output.
        """
        self.n_views = N_VIEWS[views]
        self._pixels, self._scaling = pixels, scaling
        self._kept: Tensor | None = None
        if any(True for _ in early.children()):
            with torch.no_grad():
                self._kept = self._computed(early, pool)

    def of(self, rows: Tensor, views: Tensor) -> Tensor:
        """The input of the late half, float32 (n, ...).

        Args:
            rows: of the cells, int64 (n,).
            views: the number of the view that each is shown by, int64 (n,); 0 is the cell as it is.
        """
        if self._kept is not None:
            return self._kept[views, rows]
        pairs = zip(rows.tolist(), views.tolist(), strict=True)
        return self._input(torch.stack([viewed(self._pixels[row], view) for row, view in pairs]))

    def _computed(self, early: nn.Module, pool: Pool) -> Tensor:
        """What is kept of all views of all cells, float32 (views, N, ...), some cells at a time."""
        kept: Tensor | None = None
        for start in range(0, len(self._pixels), _CELLS_PER_CALL):
            part = self._pixels[start : start + _CELLS_PER_CALL]
            for view in range(self.n_views):
                shown = self._input(torch.stack([viewed(cell, view) for cell in part]))
                found = pool(early(shown))
                if kept is None:
                    kept = torch.empty(self.n_views, len(self._pixels), *found.shape[1:])
                kept[view, start : start + len(part)] = found
        assert kept is not None  # a stack of cells is never empty
        return kept

    def _input(self, pixels: Tensor) -> Tensor:
        return network_input(pixels.permute(0, 3, 1, 2).float(), self._scaling)


def viewed(pixels: Tensor, view: int) -> Tensor:
    """A square cell mirrored, by the first two bits of the view's number, and turned, by the third.

    Args:
        pixels: (S, S, 3).
    """
    axes = [axis for axis in (0, 1) if view >> axis & 1]
    flipped = pixels.flip(axes) if axes else pixels
    return flipped.transpose(0, 1) if view >> 2 & 1 else flipped
