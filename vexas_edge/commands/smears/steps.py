"""A smear on its way to its result: looked at, and answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from vexas_edge.ledger.lines import CaseLine
from vexas_edge.ledger.smears import Placing, Smear
from vexas_edge.report.pictures import Pictures
from vexas_edge.results.values import CaseScore
from vexas_edge.scoring.smears import ReadCase
from vexas_edge.smear.case import FoundCase


@dataclass(frozen=True, kw_only=True)
class Looked:
    """A smear that was looked at, as a context manager that closes it.

    found: where it lies. named: the same under the name of its result.
    covariates: what is known of its patient, as `GivenCovariates.of` has it.
    stamp: as `Entry` has it.
    known: the result that it has already.
    read: its cells; None where it has a result already, or cannot be read.
    error: why it cannot be read; empty if it can. is_bug: whether that is our own fault.
    """

    found: FoundCase
    named: FoundCase
    covariates: Mapping[str, str]
    stamp: str = ""
    known: CaseLine | None = None
    read: ReadCase | None = None
    error: str = ""
    is_bug: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self.read:
            self.read.case.close()


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What came of a smear, before it is kept.

    score, smear, place: its new result, and where that belongs among the others.
    pictures: what the page of the new result shows.
    known: the result that it has already.
    remarks: why it keeps that, if that is not plain; for people.
    error: why it cannot be scored. is_bug: whether that is our own fault.
    """

    looked: Looked
    known: CaseLine | None = None
    score: CaseScore | None = None
    smear: Smear | None = None
    place: Placing | None = None
    pictures: Pictures | None = None
    remarks: tuple[str, ...] = ()
    error: str = ""
    is_bug: bool = False
