"""Quantiles, logarithms and sums of whole numbers, the same bits on every CPU.

Sums of integers do not depend on their order, and logarithms come from a table of integers; NumPy's
own may differ between CPUs in the last bit.
"""

import math
from collections.abc import Sequence
from typing import SupportsInt

import numpy as np
from numpy.typing import NDArray

# Of the mantissa's table: how fine it is, and the unit that its logarithms are counted in.
_MANTISSA_BITS = 12
_UNIT = 1 << 16
_LOGARITHMS = tuple(
    round(_UNIT * math.log2(1 + part / (1 << _MANTISSA_BITS)))
    for part in range(1 << _MANTISSA_BITS)
)


def log2_of(count: SupportsInt) -> float:
    """The binary logarithm of a whole number, at least 1 assumed, to a four-thousandth.

    >>> log2_of(8), log2_of(0)
    (3.0, 0.0)
    """
    whole = max(1, int(count))
    exponent = whole.bit_length() - 1
    mantissa = ((whole << _MANTISSA_BITS) >> exponent) - (1 << _MANTISSA_BITS)
    return exponent + _LOGARITHMS[mantissa] / _UNIT


def log2_ratio(of: SupportsInt, to: SupportsInt) -> float:
    """The binary logarithm of the ratio of two whole numbers, each at least 1 assumed."""
    return log2_of(of) - log2_of(to)


def histogram(values: NDArray[np.integer], n_bins: int) -> NDArray[np.int64]:
    """How often each value from 0 to n_bins - 1 occurs, int64 (n_bins,); higher ones as last."""
    counts = np.bincount(values.ravel(), minlength=n_bins).astype(np.int64)
    counts[n_bins - 1] += counts[n_bins:].sum()
    return counts[:n_bins]


def quantiles(counts: NDArray[np.int64], shares_per_1000: Sequence[int]) -> list[int]:
    """Below which value these shares of a histogram lie, each a value that occurs.

    >>> quantiles(np.array([0, 3, 0, 1]), (0, 500, 1000))
    [1, 1, 3]
    """
    below = np.cumsum(counts)
    total = int(below[-1])
    ranks = [max(0, (share * total + 999) // 1000 - 1) for share in shares_per_1000]
    return [int(np.searchsorted(below, rank, side="right")) for rank in ranks]


def mean_and_variance(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Of a histogram; zeros for an empty one."""
    values = np.arange(len(counts), dtype=np.int64)
    total = int(counts.sum())
    if not total:
        return 0.0, 0.0
    first, second = int((values * counts).sum()), int((values * values * counts).sum())
    return first / total, (second * total - first * first) / (total * total)


def ratio(part: SupportsInt, whole: SupportsInt) -> float:
    """One whole number divided by another; 0 if that is 0."""
    return int(part) / int(whole) if int(whole) else 0.0


def sum_of(values: NDArray[np.integer]) -> int:
    """The exact sum."""
    return int(values.sum(dtype=np.int64))


def sum_of_squares(values: NDArray[np.integer]) -> int:
    """The exact sum of the squares of values whose squares fit 32 bits."""
    wide = values.astype(np.int32)
    return int((wide * wide).sum(dtype=np.int64))
