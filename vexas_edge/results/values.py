"""What scoring returns: plain values, the same for the library, the JSON files and the tables."""

from dataclasses import dataclass, field, replace
from typing import Literal

from vexas_edge.fields import Hash256OrEmpty, Sha256
from vexas_edge.results.grounds import DomainFinding, MissingFeatures, UsedCovariate
from vexas_edge.results.run import Run
from vexas_edge.results.typing import CellTyping, ClassCount, Retyping, Strangeness
from vexas_edge.smear.case import UNNAMED, Conflict, NamedBy

RESULT_SCHEMA = 9

NOTICE = (
    "Research use only. This is a similarity score of white cells, not a diagnosis; "
    "it must not be used alone for a decision about a patient."
)
SYNTHETIC_NOTICE = (
    "SYNTHETIC: this bundle was made from drawn cells. Its scores mean nothing about any patient."
)

Status = Literal["scored", "abstained", "failed"]
# How a result stands among the others of its results folder today.
ResultState = Literal["current", "held", "replaced", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class UsedCell:
    """One cell as a model saw it.

    path: of its file; of a cell in a table, its name there.
    status: "unreadable" means that its file could not be read or shows more than the model takes;
    "rejected" means that it was read, but holds no whole cell.
    reason: why the cell was not used, machine-readable.
    detail: the same for people.
    identity: the hash of the cell's content in hex, by which copies are known and cells are drawn;
    empty where it could not be decoded.
    remarks: how it differs from the others of its case: "other_light" or "other_size".
    sha256: the hash of the cell's file in hex; empty where the file could not be read, or holds
    many cells.
    cell_class: empty where nobody named one, and no model was sure enough.
    named_by: what named it: "folder" and "prefix" of its file, as the analyzer or an expert has it,
    "declared" by whoever scores, "model", or "nobody".
    predicted_class, probability: what a model that names cells took for the likeliest class, and
    how likely that was to it, where it was asked: of cells that nobody had named, and of all by
    `--retype`. Of a cell in a table, the same by the model itself, if it scored.
    """

    path: str
    cell_class: str
    status: Literal["used", "duplicate", "unreadable", "rejected"]
    reason: str = ""
    detail: str = ""
    identity: Hash256OrEmpty = ""
    sha256: Hash256OrEmpty = ""
    remarks: tuple[str, ...] = ()
    named_by: NamedBy = "folder"
    predicted_class: str = ""
    probability: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pull:
    """How far one cell moves the score.

    identity: of the cell, as `UsedCell` has it.
    change: the score less what it would be without this cell. Of medians, the places that the cell
    holds in draws go to other cells, and nothing else changes.
    """

    identity: Sha256
    change: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulls:
    """The cells that move a score most.

    up, down: those without which the score would be lower, and higher, the strongest first.
    without_up, without_down: the score without all of these at once; null where there are none, or
    no other cells.
    """

    up: tuple[Pull, ...]
    down: tuple[Pull, ...]
    without_up: float | None
    without_down: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class WeighedCell:
    """A cell that weighs much in a bag.

    identity: of the cell, as `UsedCell` has it.
    weight: its share of the weights of all cells, whose sum is 1.
    score: what the score would be if all cells were like this one.
    """

    identity: Sha256
    weight: float
    score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelScore:
    """One model's result for one case; the numbers are null unless `status` is "scored".

    score: the positive class's probability: of medians, its mean over draws.
    cells_alone: the same without the covariates; null where the model takes none, or has them in
    its network.
    interval_low, interval_high: the 95 % prediction interval of the score that as many other cells
    of the same smear would give.
    call: whether the score is at or over the threshold.
    call_uncertain: whether the threshold lies inside the interval, so that other cells of the smear
    might give the other call.
    n_cells: how many distinct cells the model could use.
    n_typed: how many of these a model had named, and no analyzer or expert.
    typing_unjudged: whether over a tenth of the cells are such, while nobody has judged the model's
    scores on such cells.
    n_unreadable: how many cells could not be read, or show more than the model takes; copies of a
    cell that cannot be decoded are not known as such.
    n_rejected: how many distinct cells were read and do not show one whole cell.
    minimum_cells: how many cells the model needs.
    reasons: why the model did not score, machine-readable.
    explanations: the same for people, with what to do.
    n_draws: how many there are of medians; it and what follows of draws is null for a bag, in which
    nothing is random.
    standard_error: the Monte-Carlo error of the score, from the draws alone.
    draws_low, draws_high: the 2.5th and 97.5th percentiles over draws of these same cells.
    share_over_threshold: the share of draws at or over the threshold.
    probabilities: the probability of each class: of medians, its mean.
    label_shares: the share of draws with each label.
    pulls: the cells that move the score most; null unless the model scored.
    heaviest: the cells that weigh most in a bag, the heaviest first.
    covariates: what the model takes beside the cells.
    training_scores: how many training patients have a score, by models that had not seen them, in
    each twentieth of 0 to 1; empty unless the model scored, and with under 30 of them.
    typical: the identities of the used cells whose encodings lie nearest to the middle of all.
    domain: null where the bundle has no reference for the model, or there were too few cells.
    missing: what a table lacks of the model's features; null where nothing.
    strangeness: how far the cells of a table lie from those of training; null where the bundle does
    not know these, or there were too few cells.
    """

    model: str
    status: Status
    score: float | None = None
    cells_alone: float | None = None
    interval_low: float | None = None
    interval_high: float | None = None
    call: bool | None = None
    call_uncertain: bool | None = None
    threshold: float
    n_cells: int
    n_typed: int = 0
    typing_unjudged: bool = False
    n_unreadable: int = 0
    n_rejected: int = 0
    minimum_cells: int
    reasons: tuple[str, ...] = ()
    explanations: tuple[str, ...] = ()
    n_draws: int | None = None
    standard_error: float | None = None
    draws_low: float | None = None
    draws_high: float | None = None
    share_over_threshold: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    label_shares: dict[str, float] = field(default_factory=dict)
    pulls: Pulls | None = None
    heaviest: tuple[WeighedCell, ...] = ()
    covariates: tuple[UsedCovariate, ...] = ()
    training_scores: tuple[int, ...] = ()
    typical: tuple[Sha256, ...] = ()
    domain: DomainFinding | None = None
    missing: MissingFeatures | None = None
    strangeness: Strangeness | None = None
    cells: tuple[UsedCell, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleId:
    """Which bundle made a result. Its sha256 is that of the manifest, which holds all hashes.

    positive: the class whose probability its scores are; null where it scores nobody.
    """

    name: str
    version: str
    sha256: Sha256
    positive: str | None
    synthetic: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteId:
    """Which site file stood beside the bundle, as `vexas-edge commission` wrote it.

    sha256: of the file.
    instrument, software: what it was made for: the analyzer, and the version of its software.
    commissioned: UTC, ISO 8601.
    opens: the models whose domain gate is centred on this site.
    """

    sha256: Sha256
    instrument: str
    software: str
    commissioned: str
    opens: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """How a result stands among the others of its results folder.

    Numbers count everything in `cases/` and `runs/`, in the order of writing.

    run: the number of the run that made it.
    given: the name that the smear had where it was found. The result's own name differs from it if
    another smear had that name before.
    series: the hash of what scored it: the bundle, the version of vexas-edge, and the site file and
    the bundle that names cells if there were such.
    stamp: hashes of where the smear lay, and of how its names were read, the names, sizes and times
    of its files and the values of covariates; by this a smear that nobody has touched is known
    without opening a file.
    content: the hash of its cells' files, their classes and the values of covariates; empty if the
    case failed.
    key: the hash of the series, of its cells' contents and classes, and of the values of
    covariates; empty if the case failed.
    revises: the number of the earlier result that this one takes the place of.
    same_cells_as: the number of the result, of another smear by its name, that has the same key;
    its answer was taken over, and no engine was run.
    shares_cells_with: the numbers of results under other names that half or more of the cells are
    in, too.
    held: whether the answer is held back until `vexas-edge results confirm`.
    """

    number: int
    run: int
    given: str
    series: Sha256
    stamp: Sha256
    content: Hash256OrEmpty = ""
    key: Hash256OrEmpty = ""
    revises: int | None = None
    same_cells_as: int | None = None
    shares_cells_with: tuple[int, ...] = ()
    held: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseScore:
    """One case's result.

    missing_gate: which models have no domain gate, and why; null if all have one.
    status: the lead model's where the bundle names one; else "scored" if any model scored.
    call: the lead model's, or the only model's; null where several models have equal say.
    ignored: how many files were not taken as cells, by reason.
    of_table: whether its cells are the rows of a table.
    table_sha256: the hash of the table's files in hex; empty where there is none, or it failed.
    classes: how many cells there are of each class; those that a model named are not among them.
    typing: how a model named cells; null where none was asked.
    retyping: what it said of cells that had a name; null where it was not asked.
    typed_cells: the cells that nobody had named, as the model saw them.
    bystanders: the cells with names that no model takes, which were read since unnamed ones might
    be their copies.
    differential: how many distinct cells there are of each class, whoever named them; empty where
    there is no model that names cells, and where the answer may not be shown.
    error: why the case failed.
    types: another bundle whose models name cells; null where none was given.
    site: null where no site file of this bundle lay beside it.
    run: null where the case failed.
    entry: how it stands in its results folder; null outside of one.
    """

    missing_gate: str | None = None
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
    typing: CellTyping | None = None
    retyping: Retyping | None = None
    typed_cells: tuple[UsedCell, ...] = ()
    bystanders: tuple[UsedCell, ...] = ()
    differential: dict[str, ClassCount] = field(default_factory=dict)
    bundle: BundleId | None = None
    types: BundleId | None = None
    site: SiteId | None = None
    run: Run | None = None
    of_table: bool = False
    table_sha256: Hash256OrEmpty = ""
    error: str | None = None
    entry: Entry | None = None
    schema_version: int = RESULT_SCHEMA

    @property
    def files(self) -> list[tuple[str, str, str]]:
        """The path, the class and the SHA-256 of each file of cells; of a table, its hash alone."""
        if self.of_table:
            return [("", UNNAMED, self.table_sha256)]
        return [(cell.path, cell.cell_class, cell.sha256) for cell in self.cells_as_read]

    @property
    def cells_as_read(self) -> list[UsedCell]:
        """Every cell that was read, as it was before a model named any; some more than once."""
        own = (cell for model in self.models for cell in model.cells if cell.named_by != "model")
        unnamed = (replace(cell, cell_class=UNNAMED) for cell in self.typed_cells)
        return [*own, *unnamed, *self.bystanders]
