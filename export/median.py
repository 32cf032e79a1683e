"""The element-wise median as a sorting network of Min and Max: exact, and faster than TopK."""

from collections.abc import Iterator

import numpy as np

from export.graph import GraphBuilder

# Larger draws use TopK, since the network's size grows with K log^2 K.
LARGEST_NETWORK = 32


def add_median(graph: GraphBuilder, encodings: str, draws: str, draw_size: int) -> str:
    """Name of the aggregates, float32 (A, D): the median over each draw's cells.

    For an even number of cells it is the mean of the middle two, as in numpy.median.

    Args:
        encodings: float32 (N, D).
        draws: int64 (A, draw_size), rows of `encodings`.
    """
    if draw_size > LARGEST_NETWORK:
        return _median_by_topk(graph, encodings, draws, draw_size)
    lanes = []
    for slot in range(draw_size):
        cells = graph.node("Gather", draws, graph.constant(slot, np.int64), axis=1)
        lanes.append(graph.node("Gather", encodings, cells, axis=0))
    for low, high in _sorting_network(draw_size):
        lanes[low], lanes[high] = (
            graph.node("Min", lanes[low], lanes[high]),
            graph.node("Max", lanes[low], lanes[high]),
        )
    middle = [lanes[i] for i in _middle(draw_size)]
    return _mean_of_middle(graph, middle)


def _median_by_topk(graph: GraphBuilder, encodings: str, draws: str, draw_size: int) -> str:
    cells = graph.node("Gather", encodings, draws, axis=0)
    smallest = graph.columns(draw_size // 2 + 1)
    ordered = graph.node("TopK", cells, smallest, axis=1, largest=0, sorted=1, unused_outputs=1)
    middle = [
        graph.node("Gather", ordered, graph.constant(i, np.int64), axis=1)
        for i in _middle(draw_size)
    ]
    return _mean_of_middle(graph, middle)


def _mean_of_middle(graph: GraphBuilder, middle: list[str]) -> str:
    if len(middle) == 1:
        return middle[0]
    total = graph.node("Add", *middle)
    return graph.node("Mul", total, graph.constant(0.5, np.float32))


def _middle(size: int) -> list[int]:
    return sorted({(size - 1) // 2, size // 2})


def _sorting_network(size: int) -> Iterator[tuple[int, int]]:
    """Comparators (low lane, high lane) of Batcher's odd-even merge sort, for any size."""
    span = 1
    while span < size:
        step = span
        while step >= 1:
            for start in range(step % span, size - step, 2 * step):
                for low in range(start, min(start + step, size - step)):
                    if low // (2 * span) == (low + step) // (2 * span):
                        yield low, low + step
            step //= 2
        span *= 2
