"""Joins a score of images with covariates, by a logistic regression on both.

The score is a logit from patients that its model was not fitted on, since a model is too sure of
those that it was fitted on.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from sklearn.linear_model import LogisticRegression

from vexas_edge.covariates.covariate import Covariate, Missing, number_from_text
from vexas_edge.errors import InputError, UsageError
from vexas_edge.fields import Name
from vexas_edge.smear.cohort import CohortCase

# Positive numbers that span a larger factor are taken as logarithms, as counts of cells.
_WIDE = 10
# How far beyond the training patients a value is plausible: half of their range, or a factor.
_BEYOND, _FACTOR = 0.5, 4.0


@dataclass(frozen=True, kw_only=True)
class AskedCovariate:
    """A column of the cohort that is to be a covariate; the rest is found in its values."""

    name: str
    unit: str = ""
    missing: Missing = "abstain"

    def __post_init__(self) -> None:
        try:
            msgspec.convert(self.name, Name)
        except msgspec.ValidationError as error:
            raise UsageError(
                f"covariate {self.name!r} cannot be called so ({error}); rename the column"
            ) from error


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A fitted regression: weights of standardised columns, float64 (F,), and a bias."""

    weights: np.ndarray
    bias: float

    def logits(self, columns: np.ndarray) -> np.ndarray:
        """Float64 (n,) from columns float64 (n, F)."""
        found: np.ndarray = columns @ self.weights + self.bias
        return found


def fitted_stack(columns: np.ndarray, positive: np.ndarray) -> Stack:
    """The regression of `positive`, bool (n,), on columns float64 (n, F), standardised.

    Its weights are held back by a penalty, so they are finite even if a column separates the
    groups without exception.
    """
    fitted = LogisticRegression().fit(columns, positive)
    return Stack(weights=fitted.coef_[0].astype(np.float64), bias=float(fitted.intercept_[0]))


def described(
    asked: AskedCovariate, patients: Sequence[Mapping[str, str]], fit: Sequence[int] | np.ndarray
) -> Covariate:
    """The covariate as its values show it; empty texts are missing ones.

    Whether it is a number, a logarithm or one of two words is seen in the values of all patients,
    without their groups, so that it is the same in each fold; all figures are of those to fit on.
    Positive numbers that span more than a factor of ten are taken as logarithms.

    Args:
        patients: all patients' values by the covariate's name.
        fit: the rows of those to fit on.

    Raises:
        UsageError: the values are neither numbers nor two words, or are all the same.
    """
    texts = [values[asked.name] for values in patients]
    codes, log = _form(asked.name, [text for text in texts if text])
    known = [texts[i] for i in fit if texts[i]]
    values = np.array([codes[t] if codes else number_from_text(t) for t in known], np.float64)
    values = values if len(values) else np.zeros(1)
    low, high = (0.0, 1.0) if codes else _plausible(values, log=log)
    taken = np.log(values) if log else values
    return Covariate(
        name=asked.name,
        unit=asked.unit,
        low=low,
        high=high,
        words=codes,
        log=log,
        mean=float(taken.mean()),
        scale=float(taken.std()) or 1.0,  # of one that is the same for all who are fitted on
        missing=asked.missing,
    )


def _form(name: str, known: Sequence[str]) -> tuple[dict[str, float] | None, bool]:
    """The numbers that words stand for, or None for numbers, and whether these are logarithms."""
    numbers = [number_from_text(text) for text in known]
    words = sorted(set(known))
    if len(words) < 2:
        raise UsageError(
            f"covariate {name!r} is {known[0] if known else 'missing'} for all patients, so it "
            "tells nothing"
        )
    if None not in numbers:
        values = np.array(numbers, np.float64)
        return None, bool(values.min() > 0 and values.max() > _WIDE * values.min())
    if len(words) != 2:
        raise UsageError(
            f"covariate {name!r} has {len(words)} different words, such as "
            f"{', '.join(map(repr, words[:3]))}; a covariate is a number, or one of two words"
        )
    return {word: float(code) for code, word in enumerate(words)}, False


def _plausible(values: np.ndarray, *, log: bool) -> tuple[float, float]:
    """The range of plausible values, rounded outwards."""
    least, most = float(values.min()), float(values.max())
    if log:
        low, high = least / _FACTOR, most * _FACTOR
        return _outwards(low, low, -1), _outwards(high, high, 1)
    beyond = _BEYOND * (most - least)
    low = 0.0 if least >= 0 > least - beyond else least - beyond
    return _outwards(low, beyond, -1), _outwards(most + beyond, beyond, 1)


def _outwards(value: float, size: float, side: int) -> float:
    """The value, away from the middle, in a unit of a tenth of the size's own power of ten."""
    unit = 10.0 ** (math.floor(math.log10(size)) - 1) if size > 0 else 1.0
    steps = value / unit
    return (math.ceil(steps) if side > 0 else math.floor(steps)) * unit


def columns_of(
    covariates: Sequence[Covariate], patients: Sequence[Mapping[str, str]], names: Sequence[str]
) -> np.ndarray:
    """What models take of these patients, float64 (P, M), standardised.

    Args:
        patients: each one's values by the covariate's name, empty if missing.
        names: of the patients, for messages.

    Raises:
        InputError: a value is missing and has no meaning, or is none; the message says whose.
    """
    return np.array(
        [
            [_taken(covariate, values[covariate.name], name) for covariate in covariates]
            for values, name in zip(patients, names, strict=True)
        ],
        np.float64,
    ).reshape(len(patients), len(covariates))


def _taken(covariate: Covariate, text: str, patient: str) -> float:
    if not text and covariate.missing == "mean":
        return 0.0
    if not text:
        raise InputError(
            f"patient {patient!r} has no {covariate.name}; fill it in, leave the patient out, or "
            "let a missing value count as the mean"
        )
    try:
        number = covariate.value(text)
    except ValueError as error:
        raise InputError(f"patient {patient!r}: {error}") from error
    if covariate.log and number <= 0:
        raise InputError(f"patient {patient!r}: {covariate.name} is {text}; it must be above 0")
    return covariate.standardised(number)


def separating(columns: Mapping[str, np.ndarray], positive: np.ndarray) -> str:
    """A warning of columns that separate the groups without exception; empty if none does.

    Args:
        columns: float64 (P,), by what they hold.
        positive: bool (P,).
    """
    found = [name for name, c in columns.items() if _apart(c[positive], c[~positive])]
    if not found:
        return ""
    return (
        f"the two groups are separated without exception by {' and by '.join(found)}: does it hold "
        "the label, or was it known only after the diagnosis?"
    )


def _apart(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(one.min() > other.max() or other.min() > one.max())


def logit(probabilities: np.ndarray) -> np.ndarray:
    """The logits of probabilities, which are kept 1e-6 from 0 and 1; float64."""
    kept = np.clip(np.asarray(probabilities, np.float64), 1e-6, 1 - 1e-6)
    return np.log(kept / (1 - kept))


def covariates_of_patients(rows: Sequence[CohortCase]) -> dict[str, Mapping[str, str]]:
    """Each patient's covariates, by name, as text.

    Raises:
        InputError: two samples of a patient say differently.
    """
    found: dict[str, Mapping[str, str]] = {}
    for row in rows:
        before = found.setdefault(row.patient, row.covariates)
        differing = [name for name, text in row.covariates.items() if before[name] != text]
        if differing:
            name = differing[0]
            raise InputError(
                f"{row.written}: {name} of patient {row.patient!r} is {row.covariates[name]!r}, "
                f"and {before[name]!r} in another row"
            )
    return found
