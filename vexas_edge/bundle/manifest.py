"""The bundle's manifest: its fields, their limits, and the reading that checks them."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from vexas_edge.bundle.budgets import Budgets
from vexas_edge.bundle.graphs import ISOLATE, REQUIRED_FILES
from vexas_edge.cells.limits import IsolationLimits, LargerCells
from vexas_edge.errors import BundleError
from vexas_edge.fields import Count, Name, Sha256, Share
from vexas_edge.smear.vocabulary import CELL_CLASSES

MANIFEST_SCHEMA = 4

LabelRule = Literal["votes", "argmax"]
# What the classifier was fitted on: encodings divided by their L2 norm, or those of the encoder.
EncodingKind = Literal["l2", "raw"]
# Whether each case is brought to the bare slide of the training cohort before its cells are placed.
Normalise = Literal["none", "background"]
Level = Annotated[int, Meta(ge=1, le=255)]


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


class Aggregation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How encodings of cells become aggregates: each is the median of `draw_size` random cells.

    fit_draws: how many aggregates each patient had when the classifier was fitted.
    score_draws: how many aggregates a case has when it is scored.
    """

    method: Literal["median"] = "median"
    draw_size: Annotated[int, Meta(ge=1, le=1000)] = 10
    fit_draws: Count = 100
    score_draws: Count = 1000
    seed: Annotated[int, Meta(ge=0, le=2**53)] = 0


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One cell type's encoder, aggregation and classifier.

    cells: the canonical names of the cell classes that it accepts.
    canvas_px: the side of the square that a cell is put on.
    larger: what happens to a cell that does not fit the canvas.
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
    minimum_cells: Count
    threshold: Share
    encoding: EncodingKind
    encoding_width: Count
    files: dict[str, FileEntry]
    isolation: IsolationLimits | None = None
    normalise: Normalise = "none"
    background: tuple[Level, Level, Level] | None = None


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole manifest.

    lead: the model whose call is the case's; null where several have equal say.
    synthetic: whether the bundle was made from drawn cells; every result then says so.
    """

    schema_version: int
    name: Name
    version: str
    created: str
    classes: Annotated[tuple[str, ...], Meta(min_length=2)]
    positive: str
    label_rule: LabelRule
    lead: str | None
    synthetic: bool
    models: Annotated[dict[Name, Model], Meta(min_length=1)]
    files: dict[str, FileEntry]
    provenance: dict[str, Any]
    intended_use: str
    budgets: Budgets = Budgets()


class _AnySchema(Struct):
    schema_version: int


CARD = "card.md"


def manifest_from_json(text: bytes) -> Manifest:
    """The manifest, complete and consistent.

    Raises:
        BundleError: the text is not JSON or is of another schema version, or a field is missing,
            unknown, of the wrong type or out of its range; the message names the field.
    """
    try:
        version = msgspec.json.decode(text, type=_AnySchema).schema_version
        if version != MANIFEST_SCHEMA:
            raise BundleError(
                f"the bundle has schema version {version}; this vexas-edge reads version "
                f"{MANIFEST_SCHEMA}: use the vexas-edge that wrote it, or a newer one"
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
    if len(set(manifest.classes)) != len(manifest.classes):
        raise BundleError(f"manifest.json: classes {manifest.classes} repeat a name")
    if manifest.positive not in manifest.classes:
        raise BundleError(
            f"manifest.json: positive class {manifest.positive!r} is not among {manifest.classes}"
        )
    if manifest.lead is not None and manifest.lead not in manifest.models:
        raise BundleError(f"manifest.json: lead model {manifest.lead!r} is not in the bundle")
    for name, model in manifest.models.items():
        unknown = [cell for cell in model.cells if cell not in CELL_CLASSES]
        if unknown:
            raise BundleError(
                f"manifest.json: model {name!r} takes cells of unknown class {', '.join(unknown)}"
            )
        if (model.normalise == "background") != (model.background is not None):
            raise BundleError(
                f"manifest.json: model {name!r}: normalise = {model.normalise!r} and background = "
                f"{model.background} contradict each other"
            )
        required = (*REQUIRED_FILES, *([ISOLATE] if model.isolation else []))
        missing = [file for file in required if file not in model.files]
        if missing:
            raise BundleError(f"manifest.json: model {name!r} lists no {', '.join(missing)}")
        for file in model.files:
            if "/" in file or "\\" in file or file.startswith("."):
                raise BundleError(f"manifest.json: unsafe file name {file!r} in model {name!r}")
