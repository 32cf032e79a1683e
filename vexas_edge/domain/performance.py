"""How well a model calls cases whose answer is known: counts, and shares with exact bounds.

Bounds are those of Clopper and Pearson (Biometrika 1934, 26:404): the share at which as many hits,
or more, come up in 2.5 % of all trials, and that at which as many, or fewer, do.
"""

import math
from typing import Annotated

from msgspec import Meta, Struct

# So many that exact bounds are still found in a moment.
KnownCases = Annotated[int, Meta(ge=0, le=20_000)]
Bound = Annotated[float, Meta(ge=0, le=1)]

# A site is judged on so many known slides that a model answers for, or on none.
LEAST_NEGATIVES, LEAST_POSITIVES = 20, 10
# A bundle that allows a site more than this share of false positives, or fewer true ones, states
# too little to hold a site to.
_MOST_STATED_FALSE, _LEAST_STATED_TRUE = 0.5, 0.5

_TAIL = 0.025
_HALVINGS = 60


class Rate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A share of `n` cases, with its exact 95 % bounds."""

    hits: KnownCases
    n: KnownCases
    share: Bound
    low: Bound
    high: Bound


class Performance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many cases there were of the positive class and of others, and were called positive."""

    positives: KnownCases
    positives_called: KnownCases
    negatives: KnownCases
    negatives_called: KnownCases

    @property
    def is_possible(self) -> bool:
        """Whether there are cases of both kinds, and no more were called than there are."""
        return (
            self.positives > 0
            and self.negatives > 0
            and self.positives_called <= self.positives
            and self.negatives_called <= self.negatives
        )

    @property
    def is_enough(self) -> bool:
        """Whether there are cases enough of both kinds to judge a site by."""
        return self.negatives >= LEAST_NEGATIVES and self.positives >= LEAST_POSITIVES

    @property
    def sensitivity(self) -> Rate:
        """The share of positives that are called positive."""
        return rate_of(self.positives_called, self.positives)

    @property
    def false_positives(self) -> Rate:
        """The share of negatives that are called positive."""
        return rate_of(self.negatives_called, self.negatives)

    @property
    def agreement(self) -> Rate:
        """The share of all cases that are called what they are."""
        right = self.positives_called + self.negatives - self.negatives_called
        return rate_of(right, self.positives + self.negatives)


def rate_of(hits: int, n: int) -> Rate:
    """So many hits of `n`, which is over 0, as a share with its exact 95 % bounds.

    >>> rate = rate_of(9, 10)
    >>> rate.share, round(rate.low, 3), round(rate.high, 4)
    (0.9, 0.555, 0.9975)
    """
    low = 1 - _share_with_tail(n - hits, n) if hits else 0.0
    high = _share_with_tail(hits, n) if hits < n else 1.0
    return Rate(hits=hits, n=n, share=hits / n, low=low, high=high)


def _share_with_tail(most: int, n: int) -> float:
    """The share at which at most so many of `n` hits come up in 2.5 % of all trials."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _chance_of_at_most(most, n, middle) > _TAIL:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _chance_of_at_most(most: int, n: int, share: float) -> float:
    hit, miss = math.log(share), math.log1p(-share)
    whole = math.lgamma(n + 1)
    return math.fsum(
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * hit + (n - k) * miss)
        for k in range(most + 1)
    )


def states_too_little(stated: Performance) -> str:
    """Why a site cannot be held to what a bundle states of its own training; empty if it can."""
    false, true = stated.false_positives, stated.sensitivity
    if false.high > _MOST_STATED_FALSE:
        return (
            f"the bundle states too little: of its training patients {text_of_rate(false)} "
            f"negatives were called positive, which would allow a site over "
            f"{_percent(_MOST_STATED_FALSE)}"
        )
    if true.low < _LEAST_STATED_TRUE:
        return (
            f"the bundle states too little: of its training patients {text_of_rate(true)} "
            f"positives were found, which would allow a site under {_percent(_LEAST_STATED_TRUE)}"
        )
    return ""


def shortfalls(observed: Performance, stated: Performance) -> list[str]:
    """In what a site's known slides are called worse than a bundle states; empty if in nothing."""
    found = []
    true, stated_true = observed.sensitivity, stated.sensitivity
    false, stated_false = observed.false_positives, stated.false_positives
    right, stated_right = observed.agreement, stated.agreement
    if true.share < stated_true.low:
        found.append(
            f"of the known positives {text_of_rate(true)} were found; the bundle states "
            f"{text_of_rate(stated_true)}"
        )
    if false.share > stated_false.high:
        found.append(
            f"of the known negatives {text_of_rate(false)} were called positive; the bundle "
            f"states {text_of_rate(stated_false)}"
        )
    if right.share < stated_right.low:
        found.append(
            f"{text_of_rate(right)} calls agree with what is known; the bundle states "
            f"{text_of_rate(stated_right)}"
        )
    if true.low <= false.high:
        found.append(
            "known positives and known negatives are called too much alike for so few slides: "
            f"{text_of_rate(true)} of the ones and {text_of_rate(false)} of the others are called "
            "positive"
        )
    return found


def text_of_rate(rate: Rate) -> str:
    """A rate in words.

    >>> text_of_rate(rate_of(9, 10))
    '9 of 10 (90 %; 95 % bounds 55 to 100 %)'
    """
    bounds = f"{round(100 * rate.low)} to {_percent(rate.high)}"
    return f"{rate.hits} of {rate.n} ({_percent(rate.share)}; 95 % bounds {bounds})"


def _percent(share: float) -> str:
    return f"{round(100 * share)} %"
