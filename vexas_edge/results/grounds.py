"""What a model's answer stands on beside the cells: whether they are as in training, covariates."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistic:
    """One statistic of a case's raw cells, and its range over the training patients."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainFinding:
    """How a case's cells compare with those of the model's training patients.

    margin: how far the worst gate lies over the limit, in its unit; at most 0 within the domain.
    gates: how far each gate lies above its usual value, in its unit, by name.
    family: what moved, if that is known: focus, exposure, colour, stain, file format, size, foreign
    cells or duplicates.
    farthest: the names of the statistics that lie farthest from training, the farthest first.
    statistics: all of them, by name, of the 16 cells with the smallest identities.
    """

    margin: float
    gates: dict[str, float]
    family: str | None
    farthest: tuple[str, ...]
    statistics: dict[str, Statistic]


@dataclass(frozen=True, kw_only=True, slots=True)
class UsedCovariate:
    """A number about the patient that a model takes beside the cells.

    given: as it was given; empty where it was not.
    value: what was taken; null where there is none, or where it cannot be.
    assumed: whether the mean of the training patients was taken in the place of a missing one.
    """

    name: str
    unit: str = ""
    given: str = ""
    value: float | None = None
    assumed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingFeatures:
    """Features that a model takes and a table has not; each counts as in the mean training cell.

    number, share: how many of the model's features they are.
    allowed: the share from which on the model does not answer.
    examples: names of the first of them.
    """

    number: int
    share: float
    allowed: float
    examples: tuple[str, ...]
