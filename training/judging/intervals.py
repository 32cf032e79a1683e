"""Shares and means with their 95 % intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, bootstrap


@dataclass(frozen=True, kw_only=True)
class Share:
    """`k` of `n`, with its exact (Clopper-Pearson) 95 % interval."""

    k: int
    n: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean of `n` values, with its BCa bootstrap interval; none if all values are equal."""

    n: int
    mean: float
    low: float | None
    high: float | None


def text_of_mean(mean: Mean) -> str:
    """The mean as text, such as `0.95 [0.93 to 0.97]`."""
    if mean.low is None or mean.high is None:
        return f"{mean.mean:.2f} [all {mean.n} alike]"
    return f"{mean.mean:.2f} [{mean.low:.2f} to {mean.high:.2f}]"


def text_of_share(share: Share) -> str:
    """The share as text, such as `0.82 (9 of 11; 0.48 to 0.98)`."""
    return f"{share.share:.2f} ({share.k} of {share.n}; {share.low:.2f} to {share.high:.2f})"


def share_of(hits: np.ndarray) -> Share:
    """The share of true values in `hits`, bool (n,), with n > 0.

    >>> share_of(np.array([True, True, True, False])).share
    0.75
    """
    k, n = int(hits.sum()), len(hits)
    exact = binomtest(k, n).proportion_ci(method="exact")
    return Share(k=k, n=n, share=k / n, low=float(exact.low), high=float(exact.high))


def mean_of(values: Sequence[float]) -> Mean:
    """The mean of the values; its BCa interval is from 9,999 resamples with a fixed seed."""
    found = float(np.mean(values))
    if np.ptp(values) == 0:
        return Mean(n=len(values), mean=found, low=None, high=None)
    interval = bootstrap((values,), np.mean, rng=np.random.default_rng(0)).confidence_interval
    return Mean(n=len(values), mean=found, low=float(interval.low), high=float(interval.high))
