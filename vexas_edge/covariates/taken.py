"""What a model takes of the covariates that were given for a case, and why it must not answer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vexas_edge.covariates.covariate import Covariate
from vexas_edge.results.grounds import UsedCovariate
from vexas_edge.results.values import ModelScore


@dataclass(frozen=True, kw_only=True)
class TakenCovariates:
    """The covariates of one case as one model takes them.

    used: in the model's order.
    values: of these, standardised; 0, which is the mean of the training patients, where there is no
        value.
    problems: why the model must not answer, by machine-readable reasons, with what to do.
    """

    used: tuple[UsedCovariate, ...] = ()
    values: tuple[float, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()

    @property
    def standardised(self) -> NDArray[np.float32]:
        """As the head takes them, float32 (1, M)."""
        return np.array([self.values], np.float32)


NO_COVARIATES = TakenCovariates()


def average_covariates(covariates: Sequence[Covariate]) -> TakenCovariates:
    """What a model takes of a patient of whom nothing is asked: the mean of each covariate."""
    return TakenCovariates(values=(0.0,) * len(covariates))


def taken_covariates(covariates: Sequence[Covariate], given: Mapping[str, str]) -> TakenCovariates:
    """What a model takes.

    Args:
        covariates: the model's.
        given: what is known of the patient, as text, by the covariate's name; an empty text is a
            missing one.

    >>> age = Covariate(name="age_years", low=1, high=120, mean=60.0, scale=15.0)
    >>> taken_covariates([age], {"age_years": "75"}).values
    (1.0,)
    >>> [code for code, _ in taken_covariates([age], {}).problems]
    ['missing_covariate']
    """
    used: list[UsedCovariate] = []
    values: list[float] = []
    problems: list[tuple[str, str]] = []
    for covariate in covariates:
        text = given.get(covariate.name, "").strip()
        number: float | None = None
        if text:
            try:
                number = covariate.checked(text)
            except ValueError as error:
                problems.append(("impossible_covariate", f"the patient's {error}"))
        elif covariate.missing == "abstain":
            missing = f"the patient's {covariate.name}{_unit(covariate)} is missing"
            problems.append(("missing_covariate", missing))
        used.append(
            UsedCovariate(
                name=covariate.name,
                unit=covariate.unit,
                given=text,
                value=number,
                assumed=not text and covariate.missing == "mean",
            )
        )
        values.append(0.0 if number is None else covariate.standardised(number))
    return TakenCovariates(used=tuple(used), values=tuple(values), problems=tuple(problems))


def values_from_models(models: Iterable[ModelScore]) -> dict[str, str]:
    """What the models of a result were given, by the covariate's name; no text is empty."""
    return {
        covariate.name: covariate.given
        for model in models
        for covariate in model.covariates
        if covariate.given
    }


def _unit(covariate: Covariate) -> str:
    return f" ({covariate.unit})" if covariate.unit else ""
