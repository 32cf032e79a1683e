"""What scoring gives: plain values, the same for the library, the JSON files and the tables."""

from dataclasses import dataclass, field
from typing import Literal

from msgspec import UNSET, UnsetType

from vexas_edge.choices import ClassFrom, Layout
from vexas_edge.fields import Sha256, Sha256OrEmpty
from vexas_edge.smear.case import Conflict

RESULT_SCHEMA = 1

NOTICE = (
    "Research use only. This is a similarity score of white-cell images, not a diagnosis; "
    "it must not be used alone for a decision about a patient."
)
SYNTHETIC_NOTICE = (
    "SYNTHETIC: this bundle was made from drawn cells. Its scores mean nothing about any patient."
)

Status = Literal["scored", "abstained", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class UsedCell:
    """One cell as a model saw it.

    status: "rejected" is a cell that could not be isolated from what lies around it.
    sha256: of its file, in hex; empty where the file could not be read. detail: for people.
    """

    path: str
    cell_class: str
    status: Literal["used", "duplicate", "unreadable", "rejected"]
    reason: str = ""
    detail: str = ""
    sha256: Sha256OrEmpty = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelScore:
    """One model's result for one case; the numbers are null unless `status` is "scored".

    score: mean over draws of the positive class's probability.
    standard_error: Monte-Carlo error of that mean, from the draws alone.
    low, high: 2.5 and 97.5 percentiles over draws; a spread, not a confidence interval.
    share_over_threshold: share of draws at or over the threshold.
    call: score >= threshold. near_threshold: the threshold lies within two standard errors.
    probabilities: mean of each class's probability. label_shares: share of draws with each label.
    n_cells: distinct readable cells. minimum_cells: how many the model needs.
    reasons: machine-readable, why it did not score.
    """

    model: str
    status: Status
    threshold: float
    n_cells: int
    minimum_cells: int
    reasons: tuple[str, ...] = ()
    n_draws: int | None = None
    score: float | None = None
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None
    share_over_threshold: float | None = None
    call: bool | None = None
    near_threshold: bool | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    label_shares: dict[str, float] = field(default_factory=dict)
    cells: tuple[UsedCell, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleId:
    """Which bundle made a result. sha256: of its manifest, which holds every file's hash."""

    name: str
    version: str
    sha256: Sha256
    synthetic: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """How, where and when a result was made. The engine is null where none was started yet.

    choice_reason: why this engine ran them in this precision, for people.
    """

    vexas_edge: str
    python: str
    numpy: str
    engine: str | None
    engine_version: str | None
    device: str | None
    threads: int | None
    precision: str
    choice_reason: str
    seeds: dict[str, int]
    host: str
    started: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseScore:
    """One case's result.

    status: the lead model's where the bundle names one; else "scored" when any model scored.
    call: the lead model's, or the only model's; null where several models have equal say.
    ignored: files that are no cells of a known class, counted by reason.
    error: why the case failed. run: null where it failed.
    """

    case: str
    status: Status
    notice: str
    call: bool | None = None
    lead: str | None = None
    models: tuple[ModelScore, ...] = ()
    unreadable: tuple[UsedCell, ...] = ()
    rejected: tuple[UsedCell, ...] = ()
    duplicates: tuple[UsedCell, ...] = ()
    ignored: dict[str, int] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()
    classes: dict[str, int] = field(default_factory=dict)
    bundle: BundleId | None = None
    run: Run | None = None
    error: str | None = None
    schema_version: int = RESULT_SCHEMA


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What `vexas-edge score` was asked for.

    cases, bundle, out: paths as they were given. as_json: whether results were printed as JSON.
    cell_type, class_map, threads: left out where they were not given.
    """

    cases: tuple[str, ...]
    bundle: str
    out: str
    recursive: bool
    layout: Layout
    class_from: ClassFrom
    cell_type: str | UnsetType = UNSET
    class_map: str | UnsetType = UNSET
    engine: str
    device: str
    precision: str
    threads: int | UnsetType = UNSET
    polite: bool
    as_json: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class EndedCase:
    """How one case of a run ended. file: its result, beside the run's record."""

    case: str
    status: Status
    file: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """What a whole run of `vexas-edge score` was asked for and what became of it.

    vexas_edge: its version. started: UTC, ISO 8601. ended_by: the error or the interruption that
    ended the run early; null where it came to its end. cases: those that were done, in order.
    """

    schema_version: int = RESULT_SCHEMA
    vexas_edge: str
    asked: Asked
    bundle: BundleId
    started: str
    seconds: float
    ended_by: str | None
    cases: tuple[EndedCase, ...]
