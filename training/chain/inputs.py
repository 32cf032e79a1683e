"""What the work of a stage may be given: values that say in the stage's key all that they hold."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from vexas_edge.smear.cohort import CohortCase

# The file of a stage that has judged a model: sentences for the model card.
SENTENCES = "sentences.txt"


@dataclass(frozen=True, kw_only=True)
class GivenFile:
    """A file, which counts by its content, wherever it lies.

    sha256: of the content; of a table that names images, of what it and they hold.
    """

    path: Path
    sha256: str


@dataclass(frozen=True, kw_only=True)
class GivenCells:
    """Rows of a cohort with those of their cells that a stage reads, as `read_row` reads them.

    rows: as far as they matter; what does not is empty in them.
    classes: of the cells; empty if the stage reads only the rows, which then say no path.
    sha256: of all this and of the images, but not of where they lie.
    """

    rows: tuple[CohortCase, ...]
    classes: tuple[str, ...]
    sha256: str


def facts_of(value: Any) -> Any:
    """What a value adds to a key, in types that JSON has.

    Raises:
        TypeError: for a path, a function, a set and anything else that does not tell what it holds.
    """
    if isinstance(value, GivenFile | GivenCells):
        return value.sha256
    if is_dataclass(value):
        return {field.name: facts_of(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: facts_of(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [facts_of(inner) for inner in value]
    if isinstance(value, msgspec.Struct):
        return facts_of(msgspec.structs.asdict(value))
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"a stage was given a {type(value).__name__}, which its key cannot hold")


def labelled(
    rows: Sequence[CohortCase], covariates: Collection[str] = ()
) -> tuple[CohortCase, ...]:
    """The rows for a stage that must not know covariates but these."""
    return tuple(
        replace(row, covariates={n: v for n, v in row.covariates.items() if n in covariates})
        for row in rows
    )


def bare(rows: Sequence[CohortCase]) -> tuple[CohortCase, ...]:
    """The rows for a stage that must not know labels and splits either."""
    return tuple(replace(row, label="", split="") for row in labelled(rows))
