"""Exact bounds, and what a site is held to."""

import numpy as np
import pytest
from scipy.stats import binomtest

from vexas_edge.domain.performance import (
    Performance,
    rate_of,
    shortfalls,
    states_too_little,
)


@pytest.mark.parametrize("n", [1, 2, 5, 10, 33, 60, 400, 3000])
def test_bounds_are_those_of_scipy(n: int) -> None:
    for hits in sorted({0, 1, n // 3, n // 2, n - 1, n}):
        rate, exact = rate_of(hits, n), binomtest(hits, n).proportion_ci(method="exact")
        assert (rate.hits, rate.n, rate.share) == (hits, n, hits / n)
        np.testing.assert_allclose((rate.low, rate.high), (exact.low, exact.high), atol=1e-11)


def performance(true: str, false: str) -> Performance:
    """As in `performance("9/10", "2/20")`."""
    (found, positives), (called, negatives) = (map(int, one.split("/")) for one in (true, false))
    return Performance(
        positives=positives,
        positives_called=found,
        negatives=negatives,
        negatives_called=called,
    )


STATED = performance("55/60", "6/60")  # at least 82 %, and at most 21 %


@pytest.mark.parametrize(
    ("true", "false", "said"),
    [
        ("9/10", "2/20", []),
        ("8/10", "2/20", ["positives 8 of 10"]),
        ("9/10", "5/20", ["negatives 5 of 20", "24 of 30"]),
        ("10/10", "20/20", ["negatives 20 of 20", "10 of 30", "too much alike"]),
        ("0/10", "0/20", ["positives 0 of 10", "20 of 30", "too much alike"]),
        ("1/10", "18/20", ["positives 1 of 10", "negatives 18 of 20", "3 of 30", "too much alike"]),
    ],
)
def test_a_site_that_is_called_worse_is_told_in_what(
    true: str, false: str, said: list[str]
) -> None:
    found = shortfalls(performance(true, false), STATED)
    assert len(found) == len(said)
    assert all(words in sentence for words, sentence in zip(said, found, strict=True)), found


def test_calls_that_part_nothing_are_no_better_for_a_bundle_that_states_little() -> None:
    stated = performance("65/100", "38/100")
    assert states_too_little(stated) == ""
    (why,) = shortfalls(performance("12/20", "9/22"), stated)
    assert why.startswith("known positives and known negatives are called too much alike")


@pytest.mark.parametrize(("true", "false"), [("38/41", "8/19"), ("5/10", "0/60")])
def test_a_bundle_that_would_allow_nonsense_states_too_little(true: str, false: str) -> None:
    assert states_too_little(performance(true, false)).startswith("the bundle states too little")
    assert states_too_little(STATED) == ""
