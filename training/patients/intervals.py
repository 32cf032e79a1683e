"""Intervals of shares and means, 95 % each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, bootstrap


@dataclass(frozen=True, kw_only=True)
class Share:
    """`k` of `n`, with the exact (Clopper-Pearson) interval."""

    k: int
    n: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean of `n` values, with the bootstrap's BCa interval; none where all values are equal."""

    n: int
    mean: float
    low: float | None
    high: float | None


def share_of(hits: np.ndarray) -> Share:
    """Of bool (n,), n over 0."""
    k, n = int(hits.sum()), len(hits)
    exact = binomtest(k, n).proportion_ci(method="exact")
    return Share(k=k, n=n, share=k / n, low=float(exact.low), high=float(exact.high))


def mean_of(values: Sequence[float]) -> Mean:
    """With BCa, scipy's default, from 9,999 resamples of a fixed seed."""
    found = float(np.mean(values))
    if np.ptp(values) == 0:
        return Mean(n=len(values), mean=found, low=None, high=None)
    interval = bootstrap((values,), np.mean, rng=np.random.default_rng(0)).confidence_interval
    return Mean(n=len(values), mean=found, low=float(interval.low), high=float(interval.high))
