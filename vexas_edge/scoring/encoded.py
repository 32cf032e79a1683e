"""What is known of one model's cells before its classifier is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.contract import Feeds
from vexas_edge.covariates.covariate import Covariate
from vexas_edge.covariates.taken import NO_COVARIATES, TakenCovariates, taken_covariates
from vexas_edge.results.grounds import DomainFinding, MissingFeatures
from vexas_edge.results.typing import Strangeness
from vexas_edge.results.values import UsedCell
from vexas_edge.scoring.abstention import CellCounts, Reason
from vexas_edge.scoring.draws import by_identity


@dataclass(frozen=True, kw_only=True)
class CheckedCall:
    """What the fused graph itself returned for one call's cells, to be checked against the head.

    encodings: float32 (n, D).
    inputs: what else it was given, by name.
    probabilities: float32 (A, C), A of 1 for a bag.
    """

    encodings: NDArray[np.float32]
    inputs: Feeds
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """The cells of one model, encoded.

    records: of every cell, whether it could be used or not.
    identities: of the N used cells.
    encodings: float32 (N, D), of the used cells in the same order.
    checked: the call to be checked against the head; None if no cell could be used, or the engine
    gives encodings alone.
    """

    records: tuple[UsedCell, ...]
    identities: list[bytes]
    encodings: NDArray[np.float32]
    checked: CheckedCall | None

    @property
    def by_identity(self) -> list[int]:
        """The places of the used cells in the order of their identities."""
        return by_identity(self.identities)


@dataclass(frozen=True, kw_only=True)
class Examined:
    """One model's cells, examined.

    encoded: None where the case has no cell of the model's classes.
    reasons: why the model must not answer; empty if it may.
    of_slide: those of the reasons that hold the other models of the case, too.
    statistics: of the case's raw images, float64 (S,), which the domain gate goes by; None where
    it says nothing: without a reference, or with too few cells.
    finding: how the cells compare with training; None without such statistics.
    missing, strangeness: the same of a table, as `ModelScore` has them.
    covariates: what the model takes beside the cells.
    """

    name: str
    encoded: Encoded | None
    counts: CellCounts
    reasons: tuple[Reason, ...]
    of_slide: tuple[Reason, ...] = ()
    statistics: NDArray[np.float64] | None = None
    finding: DomainFinding | None = None
    missing: MissingFeatures | None = None
    strangeness: Strangeness | None = None
    covariates: TakenCovariates = NO_COVARIATES

    def with_covariates(
        self, covariates: Sequence[Covariate], given: Mapping[str, str]
    ) -> "Examined":
        """The same model with what it takes beside the cells, as `taken_covariates` has it."""
        taken = taken_covariates(covariates, given)
        problems = tuple(Reason(code=code, text=text) for code, text in taken.problems)
        return replace(self, covariates=taken, reasons=(*self.reasons, *problems))
