"""Which cells learn together: an epoch's batches, and whose view each cell is to find.

The VEXAS paper takes any cells, and two views of each. Negatives of few patients share their stain,
which then tells nothing. Two cells of one patient as a pair are those of Azizi et al., ICCV 2021
(arXiv 2101.05224): what is alike is the smear, not the cell.
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
    """How cells are put together; the defaults are the paper's.

    size: cells a batch. patients: whose cells it is of; 0 for anyone's. pair: two views of one
    cell, or one each of two cells of one patient, of whom no batch then has a second pair.
    """

    size: int = 8
    patients: int = 0
    pair: Pair = "cell"

    def __post_init__(self) -> None:
        if self.size < 2 or self.patients < 0:
            raise UsageError(f"{self} is no batch; it takes two cells, each the other's contrast")
        if self.pair == "patient" and self.patients:
            raise UsageError("pairs of a patient's cells need batches of all patients")


def draw_batches(
    patients: Sequence[str], options: BatchOptions, draw: Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of each batch's cells, int64 (n,), and of those whose view they are to find, likewise.

    Every cell comes once in an epoch, save one that is left over alone, without contrast.

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
    """For each cell, its patient's next one in the order, round a circle."""
    others = order.clone()
    for number in owner.unique():
        places = (owner[order] == number).nonzero().ravel()
        others[places] = order[places.roll(-1)]
    return others


def _rounds(owner: Tensor) -> list[Tensor]:
    """Places of every patient's first cell, then of every second one, and so on."""
    rank = torch.empty_like(owner)
    for number in owner.unique():
        places = (owner == number).nonzero().ravel()
        rank[places] = torch.arange(len(places))
    return [(rank == one).nonzero().ravel() for one in range(int(rank.max()) + 1)]
