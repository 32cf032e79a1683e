"""The loss of contrastive learning, by which two views of a cell must match, and its accuracies.

With a queue the loss is that of NNCLR (Dwibedi et al., arXiv 2104.14548); without one it is
SimCLR's cross-entropy between the views (Chen et al., arXiv 2002.05709). The VEXAS paper (Chabrun
et al., CCLM 2023, 10.1515/cclm-2022-1283) used an empty queue.
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
        first, second: projections of the two views, float (N, P), one row per cell.
        queue: of earlier projections, float (Q, P), L2-normalised; Q = 0 for none. With a queue,
            each projection is replaced by its nearest neighbour there, and there are four terms
            instead of two.
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

    The gradient with respect to the neighbour is passed to the projection unchanged.
    """
    neighbours = queue[(projections @ queue.T).argmax(1)]
    return projections + (neighbours - projections).detach()


def new_queue(size: int, width: int, generator: torch.Generator) -> Tensor:
    """A queue to begin with: random directions, float32 (size, width)."""
    return functional.normalize(torch.randn(size, width, generator=generator))


def pushed(queue: Tensor, projections: Tensor) -> Tensor:
    """The queue with the newest projections in front, L2-normalised, and without the oldest."""
    newest = functional.normalize(projections.detach()).to(queue.dtype)
    return torch.cat([newest, queue])[: len(queue)]


def contrastive_accuracy(first: Tensor, second: Tensor) -> Tensor:
    """Share of encodings (N, D) whose nearest is their own other view, both ways; a scalar."""
    similarities = functional.normalize(first) @ functional.normalize(second).T
    return _diagonal_share(similarities)


def correlation_accuracy(first: Tensor, second: Tensor) -> Tensor:
    """Share of the D features that correlate most with themselves in the other view; a scalar.

    After Barlow Twins (Zbontar et al., arXiv 2103.03230); it is low if features are redundant.
    """
    return _diagonal_share(_standardised(first).T @ _standardised(second) / len(first))


def sample_halves(labels: Sequence[str], samples: Sequence[str]) -> list[int]:
    """0 or 1 per cell: the samples of each label alternate between the halves, ordered by name.

    Raises:
        UsageError: a label has only one sample, or a half has fewer than five cells.
    """
    side: dict[tuple[str, str], int] = {}
    for label in sorted(set(labels)):
        own = sorted({s for s, of in zip(samples, labels, strict=True) if of == label})
        if len(own) < 2:
            raise UsageError(f"the probe's label {label!r} has only one sample; it needs two")
        side |= {(label, sample): place % 2 for place, sample in enumerate(own)}
    halves = [side[key] for key in zip(labels, samples, strict=True)]
    fewest = min(halves.count(0), halves.count(1))
    if fewest < _NEIGHBOURS:
        raise UsageError(
            f"half of the probe's samples have only {fewest} cells; at least {_NEIGHBOURS} are "
            "needed"
        )
    return halves


def neighbour_accuracy(encodings: Tensor, labels: Sequence[str], halves: Sequence[int]) -> float:
    """Share of cells whose label wins the vote of their five neighbours in the other half.

    Args:
        encodings: float32 (N, D), L2-normalised.
        halves: from `sample_halves`.
    """
    from sklearn.neighbors import KNeighborsClassifier

    points, names, half = encodings.cpu().numpy(), np.array(labels), np.array(halves)
    right = 0
    for fit in (half == 0, half == 1):
        voting = KNeighborsClassifier(_NEIGHBOURS).fit(points[fit], names[fit])
        right += int((voting.predict(points[~fit]) == names[~fit]).sum())
    return right / len(names)


def _cross_entropy(similarities: list[Tensor]) -> Tensor:
    """Mean cross-entropy over matrices (N, N) in which each row's right answer is the diagonal."""
    own = torch.arange(len(similarities[0]), device=similarities[0].device)
    return torch.stack([functional.cross_entropy(one, own) for one in similarities]).mean()


def _standardised(encodings: Tensor) -> Tensor:
    centred = encodings - encodings.mean(0)
    return centred / centred.std(0, correction=0).clamp_min(1e-12)


def _diagonal_share(square: Tensor) -> Tensor:
    """The share of rows and columns whose largest entry is on the diagonal."""
    own = torch.arange(len(square), device=square.device)
    hits = (square.argmax(1) == own).sum() + (square.argmax(0) == own).sum()
    return hits / (2 * len(square))
