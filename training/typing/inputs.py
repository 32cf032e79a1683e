"""What the trained half of an encoder is given: views of cells, or what the other half makes of it.

Where the early stages stay as they are, a number of random views of each cell runs through them
once, and every epoch takes one of these.
"""

import torch
from torch import Generator, Tensor, nn

from export.backbones import seeded_backbone
from export.backbones.halves import cut_backbone
from export.preprocessing import preprocessing_named
from training.pretraining.cell_stack import CellStack
from training.pretraining.pixels import network_input, scaling_on
from training.pretraining.views import draw_numbers, views_from_numbers
from training.typing.options import TypingOptions
from vexas_edge.errors import InputError
from vexas_edge.talk import Say

_CELLS_PER_CALL = 64
# Of what the early half gives, so much is kept at most, in float16.
_MOST_KEPT_BYTES = 4 << 30


class ShownCells:
    """The inputs of the late half, for all trainings with the same options."""

    def __init__(self, cells: CellStack, options: TypingOptions, say: Say) -> None:
        """Run the early half, if there is one, over all cells.

        Raises:
            InputError: the encoder's weights cannot be read, or there is too much to keep.
        """
        self._cells, self._options = cells, options
        self._scaling = scaling_on(torch.device("cpu"), preprocessing_named(options.preprocessing))
        self._kept: Tensor | None = None
        backbone = seeded_backbone(options.backbone, options.start, options.seed).eval()
        early = cut_backbone(backbone, options.train, options.last).early
        if len(early):
            early.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._pool = backbone.pooled if options.train == "head" else nn.Identity()
            self._kept = self._early_outputs(early, say)

    def as_they_are(self, rows: Tensor) -> Tensor:
        """The input for cells as scoring shows them, float32 (n, ...).

        Args:
            rows: of the cells, int64 (n,).
        """
        return self._middles(rows) if self._kept is None else self._kept[0, rows].float()

    def drawn(self, rows: Tensor, draw: Generator) -> Tensor:
        """The same for a random view of each cell."""
        if self._kept is None:
            return self._views(rows, draw)
        view = torch.randint(1, len(self._kept), (len(rows),), generator=draw)
        return self._kept[view, rows].float()

    def _middles(self, rows: Tensor) -> Tensor:
        first = (self._cells.side_px - self._options.canvas_px) // 2
        middle = slice(first, first + self._options.canvas_px)
        shown = self._cells.pixels[rows][:, middle, middle]
        return network_input(shown.permute(0, 3, 1, 2).float(), self._scaling)

    def _views(self, rows: Tensor, draw: Generator) -> Tensor:
        numbers = draw_numbers(self._cells, rows, self._options.views, draw)
        views = views_from_numbers(self._cells.pixels[rows], numbers, self._options.views)
        return network_input(views, self._scaling)

    def _early_outputs(self, early: nn.Module, say: Say) -> Tensor:
        """What the early half gives, float16 (1 + copies, N, ...): first cells as they are."""
        draw, n_cells = Generator().manual_seed(self._options.seed), len(self._cells)
        with torch.inference_mode():
            shape = self._pool(early(self._middles(torch.tensor([0])))).shape[1:]
        room = _MOST_KEPT_BYTES // (2 * n_cells * shape.numel()) - 1
        if room < 1:
            raise InputError(
                f"what {n_cells} cells give after the early stages is over "
                f"{_MOST_KEPT_BYTES >> 30} GiB; train fewer last stages, or all of the encoder"
            )
        copies = min(self._options.copies, room)
        if copies < self._options.copies:
            say(f"note: {copies} views of each cell are kept, as more would not fit in memory")
        kept = torch.empty(1 + copies, n_cells, *shape, dtype=torch.float16)
        rows = torch.arange(n_cells).split(_CELLS_PER_CALL)
        with torch.no_grad():
            for place in range(1 + copies):
                for some in rows:
                    shown = self._views(some, draw) if place else self._middles(some)
                    kept[place, some] = self._pool(early(shown)).half()
        return kept
