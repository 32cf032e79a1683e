"""Contrastive learning's loss and what is watched beside it: two views of a cell find each other.

With a queue this is NNCLR (Dwibedi et al., arXiv 2104.14548), without one SimCLR's cross-entropy
between the views (Chen et al., arXiv 2002.05709). The VEXAS paper (Chabrun et al., CCLM 2023,
10.1515/cclm-2022-1283) ran it with an empty queue.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vexas_edge.errors import UsageError

_NEIGHBOURS = 5


def contrastive_loss(first: Tensor, second: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy, over both directions, of finding each cell's other view in the batch.

    Args:
        first, second: projections of the two views, float (N, P), one row a cell.
        queue: of earlier projections, float (Q, P), L2-normalised; Q = 0 for none. With one, each
            projection is stood in for by its nearest neighbour there: four terms instead of two.
    """
    first, second = functional.normalize(first), functional.normalize(second)
    if not len(queue):
        similarities = first @ second.T / temperature
        return _cross_entropy([similarities, similarities.T])
    from_first = nearest_in(queue, first) @ second.T / temperature
    from_second = nearest_in(queue, second) @ first.T / temperature
    return _cross_entropy([from_first, from_first.T, from_second, from_second.T])


def nearest_in(queue: Tensor, projections: Tensor) -> Tensor:
    """Each projection's nearest neighbour in the queue, float (N, P); both L2-normalised.

    Straight through: the gradient with respect to the neighbour goes to the projection unchanged.
    """
    neighbours = queue[(projections @ queue.T).argmax(1)]
    return projections + (neighbours - projections).detach()


def new_queue(size: int, width: int, generator: torch.Generator) -> Tensor:
    """A queue before anything was seen: random directions, float32 (size, width)."""
    return functional.normalize(torch.randn(size, width, generator=generator))


def pushed(queue: Tensor, projections: Tensor) -> Tensor:
    """The queue with the newest projections, L2-normalised here, in front; the oldest fall out."""
    newest = functional.normalize(projections.detach()).to(queue.dtype)
    return torch.cat([newest, queue])[: len(queue)]


def contrastive_accuracy(first: Tensor, second: Tensor) -> Tensor:
    """Share of encodings (N, D) that are nearest to their own other view, both ways; a scalar."""
    similarities = functional.normalize(first) @ functional.normalize(second).T
    return _diagonal_share(similarities)


def correlation_accuracy(first: Tensor, second: Tensor) -> Tensor:
    """Share of the D numbers that correlate most with themselves in the other view; a scalar.

    Barlow Twins' idea (Zbontar et al., arXiv 2103.03230): low where numbers repeat each other.
    """
    return _diagonal_share(_standardised(first).T @ _standardised(second) / len(first))


def sample_halves(labels: Sequence[str], samples: Sequence[str]) -> list[int]:
    """0 or 1 for each cell: every other sample of each label, in the order of their names.

    Raises:
        UsageError: a label is of one sample only, or a half has fewer than five cells.
    """
    side: dict[tuple[str, str], int] = {}
    for label in sorted(set(labels)):
        own = sorted({s for s, of in zip(samples, labels, strict=True) if of == label})
        if len(own) < 2:
            raise UsageError(f"the probe's label {label!r} is of one sample only; it takes two")
        side |= {(label, sample): place % 2 for place, sample in enumerate(own)}
    halves = [side[key] for key in zip(labels, samples, strict=True)]
    fewest = min(halves.count(0), halves.count(1))
    if fewest < _NEIGHBOURS:
        raise UsageError(f"half of the probe's samples hold {fewest} cells; five are needed")
    return halves


def neighbour_accuracy(encodings: Tensor, labels: Sequence[str], halves: Sequence[int]) -> float:
    """Share of cells whose label five neighbours vote for, all of other samples.

    Args:
        encodings: float32 (N, D), L2-normalised. halves: each is judged by the other.
    """
    from sklearn.neighbors import KNeighborsClassifier

    points, names, half = encodings.cpu().numpy(), np.array(labels), np.array(halves)
    right = 0
    for fit in (half == 0, half == 1):
        voting = KNeighborsClassifier(_NEIGHBOURS).fit(points[fit], names[fit])
        right += int((voting.predict(points[~fit]) == names[~fit]).sum())
    return right / len(names)


def _cross_entropy(similarities: list[Tensor]) -> Tensor:
    """Of rows (N, N) whose own column is the right one, the mean over all of them."""
    own = torch.arange(len(similarities[0]), device=similarities[0].device)
    return torch.stack([functional.cross_entropy(one, own) for one in similarities]).mean()


def _standardised(encodings: Tensor) -> Tensor:
    centred = encodings - encodings.mean(0)
    return centred / centred.std(0, correction=0).clamp_min(1e-12)


def _diagonal_share(square: Tensor) -> Tensor:
    """Of rows and of columns, the share whose largest entry is on the diagonal."""
    own = torch.arange(len(square), device=square.device)
    hits = (square.argmax(1) == own).sum() + (square.argmax(0) == own).sum()
    return hits / (2 * len(square))
