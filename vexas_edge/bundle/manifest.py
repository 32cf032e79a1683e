"""The bundle's manifest: its fields, their limits, and the reading that checks them."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from vexas_edge.bundle.budgets import Budgets
from vexas_edge.bundle.graphs import ISOLATE, REQUIRED_FILES
from vexas_edge.cells.limits import IsolationLimits, LargerCells
from vexas_edge.covariates.covariate import Covariate, problem_of_covariates
from vexas_edge.errors import BundleError
from vexas_edge.fields import Count, Name, Sha256, Share
from vexas_edge.smear.vocabulary import CELL_CLASSES

MANIFEST_SCHEMA = 5

LabelRule = Literal["votes", "argmax"]
# How the cells of a bag are weighed, and whether each is weighed, or every position in its image.
Weighting = Literal["mean", "topk", "topbottom", "learned", "attention"]
Level = Literal["cell", "position"]
# What the classifier was fitted on: encodings divided by their L2 norm, or those of the encoder.
EncodingKind = Literal["l2", "raw"]
# Whether each case is brought to the bare slide of the training cohort before its cells are placed.
Normalise = Literal["none", "background"]
# How bright a bare slide is in one colour.
Brightness = Annotated[int, Meta(ge=1, le=255)]
# The class of all patients who are not in the positive one, where they are of several groups.
OTHERS = "others"


class FileEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One file of the bundle.

    tested: whether a cheaper graph has passed its gate; without that, it is not used for scoring.
    measured: what the parity check and the gates measured, by the figure's name.
    """

    sha256: Sha256
    bytes: Annotated[int, Meta(ge=0, le=2**31)]
    opset: int | None = None
    tested: bool = False
    measured: dict[str, Any] = {}


class Preprocessing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the graph does to pixels, for the record: (pixel - mean) / scale, channel by channel."""

    name: str
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    bgr: bool


class Medians(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="method",
    tag="median",
):
    """Encodings become aggregates, each the median of random cells, which a classifier judges.

    draw_size: how many cells each is the median of.
    fit_draws: how many aggregates each patient had when the classifier was fitted.
    score_draws: how many aggregates a case has when it is scored.
    label_rule: how an aggregate's label is chosen.
    """

    draw_size: Annotated[int, Meta(ge=1, le=1000)] = 10
    fit_draws: Count = 100
    score_draws: Count = 1000
    seed: Annotated[int, Meta(ge=0, le=2**53)] = 0
    label_rule: LabelRule


class Bag(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="method", tag="bag"
):
    """Each cell has a logit, and the patient's is their weighted mean; nothing is random.

    weighting: equal weights ("mean"), those of the highest cells, of the highest and the lowest, by
    each logit, or by attention.
    image_alone: whether the head gives the probability without the covariates, too.
    """

    weighting: Weighting
    level: Level = "cell"
    image_alone: bool = False


Aggregation = Medians | Bag


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One cell type's encoder, aggregation and classifier.

    cells: the canonical names of the cell classes that it accepts.
    canvas_px: the side of the square that a cell is put on.
    larger: what happens to a cell that does not fit the canvas.
    classes: of patients, in the order of the probabilities.
    covariates: what the model takes beside the cells, in its order.
    minimum_cells: how many cells a case needs to be scored.
    threshold: the score from which the call is positive.
    encoding: "l2" if a cell's encoding is what the encoder returns divided by its L2 norm, "raw" if
    it is that itself.
    encoding_width: how many numbers an encoding has.
    files: the model's files, by their name in the model's folder.
    isolation: null where cells are taken as the images show them.
    normalise: "background" if each case's bare slide is brought to that of the training cohort.
    background: that slide, a level for red, green and blue; null where nothing is normalised.
    """

    cells: Annotated[tuple[str, ...], Meta(min_length=1)]
    canvas_px: Annotated[int, Meta(ge=8, le=4096)]
    larger: LargerCells
    preprocessing: Preprocessing
    aggregation: Aggregation
    classes: Annotated[tuple[str, ...], Meta(min_length=2)]
    covariates: tuple[Covariate, ...] = ()
    minimum_cells: Count
    threshold: Share
    encoding: EncodingKind
    encoding_width: Count
    files: dict[str, FileEntry]
    isolation: IsolationLimits | None = None
    normalise: Normalise = "none"
    background: tuple[Brightness, Brightness, Brightness] | None = None

    @property
    def medians(self) -> Medians:
        """The aggregation of a model that is known to have medians."""
        assert isinstance(self.aggregation, Medians)
        return self.aggregation


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole manifest.

    positive: the class whose probability is the score.
    lead: the model whose call is the case's; null where several have equal say.
    synthetic: whether the bundle was made from drawn cells; every result then says so.
    """

    schema_version: int
    name: Name
    version: str
    created: str
    positive: str
    lead: str | None
    synthetic: bool
    models: Annotated[dict[Name, Model], Meta(min_length=1)]
    files: dict[str, FileEntry]
    provenance: dict[str, Any]
    intended_use: str
    budgets: Budgets = Budgets()

    @property
    def classes(self) -> tuple[str, ...]:
        """Those of all models, once each."""
        names = (name for model in self.models.values() for name in model.classes)
        return tuple(dict.fromkeys(names))

    def class_of(self, label: str) -> str | None:
        """The class that patients of this label are in; None if there is none for them."""
        classes = self.classes
        return label if label in classes else OTHERS if OTHERS in classes else None


class _AnySchema(Struct):
    schema_version: int


CARD = "card.md"
_OLDER = (
    "make it anew, as with `vexas-workshop export bundle SPEC.toml -o NAME.vxb` or `vexas-workshop "
    "train run`, or use the vexas-edge that wrote it"
)
_NEWER = "use the vexas-edge that wrote it, or a newer one"


def manifest_from_json(text: bytes) -> Manifest:
    """The manifest, complete and consistent.

    Raises:
        BundleError: the text is not JSON or is of another schema version, or a field is missing,
            unknown, of the wrong type or out of its range; the message names the field.
    """
    try:
        version = msgspec.json.decode(text, type=_AnySchema).schema_version
        if version != MANIFEST_SCHEMA:
            remedy = _OLDER if version < MANIFEST_SCHEMA else _NEWER
            raise BundleError(
                f"the bundle has schema version {version}; this vexas-edge reads version "
                f"{MANIFEST_SCHEMA}: {remedy}"
            )
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"the bundle's manifest.json is not valid: {error}") from error
    _check_consistency(manifest)
    return manifest


def json_from_manifest(manifest: Manifest) -> bytes:
    """The manifest as indented JSON in a fixed order, so that equal manifests have equal bytes."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def _check_consistency(manifest: Manifest) -> None:
    if CARD not in manifest.files:
        raise BundleError(f"manifest.json lists no {CARD}; a bundle must say what it is for")
    if manifest.lead is not None and manifest.lead not in manifest.models:
        raise BundleError(f"manifest.json: lead model {manifest.lead!r} is not in the bundle")
    for name, model in manifest.models.items():
        if problem := _problem_of(model, manifest.positive):
            raise BundleError(f"manifest.json: model {name!r} {problem}")


def _problem_of(model: Model, positive: str) -> str:
    """What contradicts itself in a model's entry; empty if nothing does."""
    if unknown := [cell for cell in model.cells if cell not in CELL_CLASSES]:
        return f"takes cells of unknown class {', '.join(unknown)}"
    if len(set(model.classes)) != len(model.classes):
        return f"has classes {model.classes}, which repeat a name"
    if positive not in model.classes:
        return f"has classes {model.classes}, without the positive class {positive!r}"
    if (model.normalise == "background") != (model.background is not None):
        return (
            f"has normalise = {model.normalise!r} and background = {model.background}, which "
            "contradict each other"
        )
    if problem := _problem_of_bag(model, positive):
        return problem
    required = (*REQUIRED_FILES, *([ISOLATE] if model.isolation else []))
    if missing := [file for file in required if file not in model.files]:
        return f"lists no {', '.join(missing)}"
    unsafe = (f for f in model.files if "/" in f or "\\" in f or f.startswith("."))
    return next((f"has the unsafe file name {file!r}" for file in unsafe), "")


def _problem_of_bag(model: Model, positive: str) -> str:
    names = [covariate.name for covariate in model.covariates]
    if isinstance(model.aggregation, Medians):
        return "takes covariates, which only a bag can" if names else ""
    if len(model.classes) != 2:
        return f"is a bag with {len(model.classes)} classes; it has two"
    if model.classes[1] != positive:
        return f"is a bag that looks for {model.classes[1]!r}, and not for {positive!r}"
    if problem := problem_of_covariates(model.covariates):
        return f"takes covariates of which {problem}"
    if model.aggregation.level == "position" and model.aggregation.weighting != "learned":
        return f"weighs positions by {model.aggregation.weighting}; only learned weights can"
    if model.aggregation.image_alone and not names:
        return "gives a score without covariates, and takes none"
    return ""
