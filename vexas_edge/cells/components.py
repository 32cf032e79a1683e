"""The connected components of a mask, found from the runs of its rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def label_components(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The number of each pixel's component, int64 (H, W): 0 outside the mask, else from 1 on.

    Pixels belong together if they share a side. The work is done on runs, the stretches of a row
    that lie in the mask, because there are far fewer of them than pixels.
    """
    starts, ends = _runs(mask)
    below = mask.shape[1] + 1
    first = np.searchsorted(ends, starts + below, side="right")
    last = np.searchsorted(starts, ends + below, side="left")
    component = np.asarray(_joined(first.tolist(), last.tolist()), np.int64)
    numbers = np.unique(component, return_inverse=True)[1] + 1
    labels = np.zeros(mask.shape, np.int64)
    labels[mask] = np.repeat(numbers, ends - starts)
    return labels


def fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask with everything that it encloses, such as vacuoles and very pale cytoplasm."""
    outside = label_components(~mask)
    return mask | ~np.isin(outside, border_of(outside))


def _runs(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The start and the end (exclusive) of each run, as row * (W + 1) + column, ascending."""
    height, width = mask.shape
    edged = np.zeros((height, width + 2), np.int8)
    edged[:, 1:-1] = mask
    steps = np.diff(edged, axis=1).ravel()
    return np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)


def _joined(first: list[int], last: list[int]) -> list[int]:
    """The first run of each run's component.

    Args:
        first, last: for each run, the range of runs in the row below that touch it.
    """
    parents = list(range(len(first)))

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = parents[parents[run]]
            run = parents[run]
        return run

    for upper, touched in enumerate(zip(first, last, strict=True)):
        for lower in range(*touched):
            one, other = root(upper), root(lower)
            parents[max(one, other)] = min(one, other)
    return [root(run) for run in range(len(parents))]


def border_of(plane: NDArray[Any]) -> NDArray[Any]:
    """The values of a plane's outermost pixels, one side after the other."""
    return np.concatenate([plane[0], plane[-1], plane[1:-1, 0], plane[1:-1, -1]])
