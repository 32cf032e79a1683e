"""What judging is about: patients, and what is learnt from some of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Subjects:
    """The patients.

    groups: their labels.
    covariates: each one's values by name, as text, empty if missing.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    positive: str
    covariates: tuple[Mapping[str, str], ...]

    @property
    def truth(self) -> np.ndarray:
        """Whether each is in the positive group, bool (P,)."""
        return np.array([group == self.positive for group in self.groups])


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What some patients taught.

    out_of_fold: a logit for each of these patients, by models that were not fitted on that one.
    score: gives the logits of other patients, float64 (n,), by their rows.
    """

    out_of_fold: np.ndarray
    score: Callable[[np.ndarray], np.ndarray]


# From the rows of the patients to fit on to what they teach.
Learn = Callable[[np.ndarray], Learnt]
