"""From what cells teach about others of their patients to how sure a name must be."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar

from training.typing.classes import taken_as
from vexas_edge.smear.vocabulary import SUBCLASSES
from vexas_edge.typing.rule import candidates, meant_by

# A limit rests on at least so many cells that it lets through.
LEAST_NAMED = 30
_TEMPERATURES = (0.05, 20.0)


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities float64 (N, C)."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def temperature_of(logits: np.ndarray, allowed: np.ndarray) -> float:
    """What logits are divided by so that they say best how sure they are.

    Args:
        logits: of cells that were not learnt from, float (N, C).
        allowed: which class each may be of, bool (N, C), at least one.
    """

    def loss(log_temperature: float) -> float:
        right = (softmax(logits, float(np.exp(log_temperature))) * allowed).sum(axis=1)
        return float(-np.log(np.maximum(right, 1e-12)).mean())

    bounds = tuple(np.log(_TEMPERATURES))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def limits_for(
    probabilities: np.ndarray, classes: Sequence[str], labels: Sequence[str], precision: float
) -> dict[str, float]:
    """The least probability for each name such that enough of the cells named so are right.

    Cells of every class count, also of those that are not learnt. A name that never is right often
    enough has no limit, so no cell gets it.

    Args:
        probabilities: of cells that were not learnt from, float64 (N, C).
        classes: C of them.
        labels: canonical classes of the N cells.
        precision: the share of cells named so that must be right.
    """
    found: dict[str, float] = {}
    taken = [taken_as(label) for label in labels]
    for name, (may, probability) in candidates(probabilities, classes).items():
        right = np.isin(taken, meant_by(name))
        # A cell of which only a wider class is known says nothing of a finer name.
        may = may & ~np.isin(taken, [wide for wide, own in SUBCLASSES.items() if name in own])
        if (limit := _limit(probability[may], right[may], precision)) is not None:
            found[name] = limit
    return found


def _limit(probability: np.ndarray, right: np.ndarray, precision: float) -> float | None:
    """The least probability at and above which that share is right; None if there is none."""
    order = np.argsort(-probability, kind="stable")
    n_named = np.arange(1, len(order) + 1)
    shares = np.cumsum(right[order]) / n_named
    last_of_its_value = np.append(np.diff(probability[order]) != 0, True)[: len(order)]
    enough = (shares >= precision) & (n_named >= LEAST_NAMED) & last_of_its_value
    if not enough.any():
        return None
    return float(probability[order][np.flatnonzero(enough)[-1]])
