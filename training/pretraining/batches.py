"""Groups an epoch's cells into batches, and pairs each cell with the one whose view it must match.

The VEXAS paper puts any cells into a batch and pairs two views of each. If a batch has few patients
instead, its cells share their stain, which then does not help to tell them apart. Pairs of two
cells of one patient are those of Azizi et al., ICCV 2021 (arXiv 2101.05224): they have the smear in
common, not the cell.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from vexas_edge.errors import UsageError

Pair = Literal["cell", "patient"]


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """How batches are made; the defaults are the paper's.

    size: cells per batch.
    patients: patients per batch; 0 mixes the cells of all.
    pair: "cell" for two views of one cell; "patient" for one view each of two cells of one patient,
        who then has only one pair in the batch.
    """

    size: int = 8
    patients: int = 0
    pair: Pair = "cell"

    def __post_init__(self) -> None:
        if self.size < 2 or self.patients < 0:
            raise UsageError(
                f"batches of {self.size} cells of {self.patients} patients cannot be made; "
                "expected at least 2 cells, and no negative number of patients"
            )
        if self.pair == "patient" and self.patients:
            raise UsageError(
                "pairs of a patient's cells need batches of all patients; leave `patients` at 0"
            )


def draw_batches(
    patients: Sequence[str], options: BatchOptions, draw: Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch: rows of the cells, int64 (n,), and of the cells they must match.

    Every cell comes once, except one that would be alone in its batch.

    Args:
        patients: of each cell.
    """
    numbers = {name: number for number, name in enumerate(dict.fromkeys(patients))}
    owner = torch.tensor([numbers[name] for name in patients])
    order = torch.randperm(len(owner), generator=draw)
    others = order
    if options.pair == "patient":
        others, groups = _other_cells(owner, order), _rounds(owner[order])
    elif options.patients:
        chosen = torch.randperm(len(numbers), generator=draw).split(options.patients)
        groups = [torch.isin(owner[order], some).nonzero().ravel() for some in chosen]
    else:
        groups = [torch.arange(len(order))]
    for group in groups:
        for places in group.split(options.size):
            if len(places) > 1:
                yield order[places], others[places]


def _other_cells(owner: Tensor, order: Tensor) -> Tensor:
    """For each cell, its patient's next one in the order; after the last comes the first."""
    others = order.clone()
    for number in owner.unique():
        places = (owner[order] == number).nonzero().ravel()
        others[places] = order[places.roll(-1)]
    return others


def _rounds(owner: Tensor) -> list[Tensor]:
    """The places of every patient's first cell, then those of every second one, and so on."""
    rank = torch.empty_like(owner)
    for number in owner.unique():
        places = (owner == number).nonzero().ravel()
        rank[places] = torch.arange(len(places))
    return [(rank == one).nonzero().ravel() for one in range(int(rank.max()) + 1)]
