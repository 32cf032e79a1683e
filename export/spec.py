"""The spec of a bundle, from a TOML file or from fields in memory."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from export.encoder import InputLayout
from export.paper import CANVAS_PX
from vexas_edge.bundle.budgets import Budgets
from vexas_edge.bundle.models import Brightness, EncodingKind, LabelRule, Normalise
from vexas_edge.cells.limits import IsolationLimits, LargerCells
from vexas_edge.choices import ClassFrom, Layout
from vexas_edge.errors import InputError, UsageError
from vexas_edge.fields import Name
from vexas_edge.inputs import table_from_toml
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.vocabulary import BUILT_IN, CELL_CLASSES

_CELLS = "cells"  # a field of a spec
# What a model with an encoder must say, and all that one with a bag may say.
_BESIDE_ENCODER = ("preprocessing", "encoding")
_BESIDE_BAG = (
    *("role", _CELLS, "bag", "parity_cells", "minimum_cells", "isolate", "isolation"),
    *("judged_typed", "familiar"),
)
Role = Literal["patients", "typing"]
# What does not belong to models of each role.
_FOREIGN: dict[Role, tuple[str, ...]] = {
    "patients": ("limits", "largest_px", "of"),
    "typing": (
        *(_CELLS, "bag", "judged_typed", "minimum_cells", "threshold", "draw_size", "fit_draws"),
        *("score_draws", "seed", "reference_scores", "cohort", "reading"),
    ),
}
INTENDED_USE = "Research only: comparing smears. Not for diagnosis."


class ExplicitPreprocessing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """(pixel - mean) / scale per channel, in the network's channel order.

    mean, scale: in the units of a pixel, 0 to 255.
    bgr: whether the network's first channel is blue.
    """

    mean: tuple[float, float, float]
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False


class Reading(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the names of a cohort's files are read: the options of `vexas-edge score`."""

    layout: Layout = "auto"
    class_from: ClassFrom = "folder"
    cell_type: str | None = None
    class_map: str | None = None

    def options(self, folder: Path) -> ReadOptions:
        """The same as options, with a class map's path relative to the folder."""
        own = self.class_map
        if own is not None and own not in BUILT_IN:
            own = str(folder / own)
        return ReadOptions(
            layout=self.layout,
            class_from=self.class_from,
            cell_type=self.cell_type,
            class_map=own,
        )


class ModelSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model. Paths are relative to the spec's folder; the defaults are the VEXAS paper's.

    role: whether it scores patients, or names cells that have no class.
    cells: canonical names of the classes that it accepts; none where it names cells, or where its
        cells are rows of tables.
    limits: where it names cells, the least probability with which a cell gets each name.
    largest_px: where it names cells, the longest side of the images that it was fitted on.
    of: where it names cells, the names given by models before it whose cells it names anew.
    familiar: where it names cells or takes tables, the file that says what those look like that it
    was fitted on, by which a smear that is unlike them gets no names, and a table no score;
    `vexas-workshop train typing` and `train expression` write it.
    judged_typed: whether its performance was measured on cells that a model had named.
    bag: a file of `vexas-workshop train bags` or `train expression`, in place of encoder,
    classifier and all that the file says itself.
    preprocessing: how pixels are scaled for the encoder, by name or as figures.
    encoding: what the classifier was fitted on: "l2" for encodings divided by their L2 norm, "raw"
    for encodings as the encoder returns them.
    normalise: "background" if each case's bare slide was brought to `background` before its cells
    were encoded for the classifier; scoring then does the same.
    background: the bare slide of the training cohort, [red, green, blue], 1 to 255, which
    `vexas-workshop train background` measures.
    parity_cells: a folder of real cells, or a table of them, on which every step of the export is
        compared.
    encoder: one of our backbones, an .onnx file, or `module:factory`; not needed if the encoder is
        passed in memory.
    weights: the encoder's weights, unless it is an .onnx file.
    input_layout: the layout of an .onnx file's input.
    classifier: a .skops file; not needed if the classifier is passed in memory.
    canvas_px: the side of the square on which each cell is placed.
    larger: what happens to a cell that is larger than the canvas.
    draw_size: cells drawn for one median.
    fit_draws: medians per patient that the classifier was fitted on, for the record.
    score_draws: medians that a score is the mean over.
    seed: of the drawing of cells.
    minimum_cells: a case with fewer cells is not scored.
    isolate: the mask network's .onnx file, if the cells are not isolated yet.
    isolation: the limits within which an isolated cell is accepted.
    threshold: the score from which on a case is called positive.
    reference_scores: a CSV of the scores that your own pipeline gave patients of `cohort`, with the
    columns `sample` or `patient`, `score` and, if known, `standard_error`; the bundle must give the
    same scores.
    cohort: a CSV of these patients: patient, sample, path, label, split.
    reading: how the names of the cohort's files are read.
    """

    role: Role = "patients"
    cells: tuple[str, ...] = ()
    limits: dict[str, Annotated[float, Meta(ge=0, le=1)]] = {}
    largest_px: Annotated[int, Meta(ge=1)] | None = None
    of: tuple[str, ...] = ()
    familiar: str | None = None
    judged_typed: bool = False
    parity_cells: str
    bag: str | None = None
    preprocessing: str | ExplicitPreprocessing | None = None
    encoding: EncodingKind | None = None
    encoder: str | None = None
    weights: str | None = None
    input_layout: InputLayout = "nchw"
    classifier: str | None = None
    canvas_px: Annotated[int, Meta(ge=8, le=4096)] = CANVAS_PX
    larger: LargerCells = "reject"
    draw_size: Annotated[int, Meta(ge=1, le=1000)] = 10
    fit_draws: Annotated[int, Meta(ge=1)] = 100
    score_draws: Annotated[int, Meta(ge=1)] = 1000
    seed: Annotated[int, Meta(ge=0, le=2**53)] = 0
    minimum_cells: Annotated[int, Meta(ge=1)] = 10
    isolate: str | None = None
    isolation: IsolationLimits = IsolationLimits()
    normalise: Normalise = "none"
    background: tuple[Brightness, Brightness, Brightness] | None = None
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.5
    reference_scores: str | None = None
    cohort: str | None = None
    reading: Reading = Reading()


class Spec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole bundle.

    positive: the class whose probability is the score; not needed where no model scores patients.
    models: by name; those that name cells are asked in this order.
    label_rule: how labels are chosen; by default as the classifier's own `predict` does.
    lead: the model that decides a case's call; not needed if there is only one model.
    intended_use, training_data, performance: statements for the model card and the manifest.
    synthetic: whether the models were trained on drawings.
    budgets: how far the graphs of `vexas-workshop calibrate` may differ from float32.
    stages: those of `vexas-workshop train run` by name, with hashes of what they wrote.
    """

    name: Name
    version: str
    positive: str | None = None
    models: Annotated[dict[Name, ModelSpec], Meta(min_length=1)]
    label_rule: LabelRule | None = None
    lead: str | None = None
    intended_use: str = INTENDED_USE
    training_data: str = "not stated"
    performance: str = "not stated"
    synthetic: bool = False
    budgets: Budgets = Budgets()
    stages: dict[str, Any] = {}


def spec_from_file(path: Path) -> Spec:
    """The spec in a TOML file.

    Raises:
        InputError: the file cannot be read or is not TOML.
        UsageError: a field is missing, unknown or out of its range; the message names it.
    """
    return spec_from_fields(fields_from_toml(path), str(path))


def fields_from_toml(path: Path) -> dict[str, Any]:
    """The fields in a spec's TOML file, not validated yet.

    Raises:
        InputError: the file cannot be read or is not TOML.
    """
    try:
        return table_from_toml(path)
    except OSError as error:
        raise InputError(f"spec {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"spec {path} is not TOML: {error}") from error


def spec_from_fields(fields: dict[str, Any], source: str = "the spec") -> Spec:
    """The spec with these fields, which are those of a TOML file.

    >>> model = {"cells": ["monocyte"], "preprocessing": "torchvision", "encoding": "l2"}
    >>> model |= {"parity_cells": "cells/MO"}
    >>> fields = {"name": "site", "version": "1.0.0", "positive": "VEXAS"}
    >>> spec = spec_from_fields(fields | {"models": {"monocyte": model}})
    >>> spec.models["monocyte"].canvas_px
    272

    Raises:
        UsageError: a field is missing, unknown or out of its range; the message names it.
    """
    try:
        spec = msgspec.convert(fields, Spec)
    except msgspec.ValidationError as error:
        raise UsageError(f"{source}: {error}") from error
    if spec.lead is not None and spec.lead not in spec.models:
        raise UsageError(
            f"{source}: lead = {spec.lead!r} is not one of the models {', '.join(spec.models)}"
        )
    for name, model in spec.models.items():
        if problem := _problem_of(model, fields["models"][name]):
            raise UsageError(f"{source}: models.{name}: {problem}")
    if (spec.positive is None) == any(one.role == "patients" for one in spec.models.values()):
        raise UsageError(
            f"{source}: positive is the class whose probability is the score: it is needed where a "
            "model scores patients, and means nothing where none does"
        )
    return spec


def _problem_of(model: ModelSpec, written: dict[str, Any]) -> str:
    """What a model's entry lacks, says twice or contradicts; empty if it is whole."""
    if problem := _problem_of_role(model, written) or _problem_of_parts(model, written):
        return problem
    if (model.reference_scores is None) != (model.cohort is None):
        return (
            "reference_scores and cohort go together: the scores of your own pipeline, and where "
            "the cells of these patients are"
        )
    if (model.normalise == "background") != (model.background is not None):
        return (
            'normalise = "background" and background = [red, green, blue], the bare slide of the '
            "training cohort, go together; measure it with `vexas-workshop train background`"
        )
    unknown = [cell for cell in model.cells if cell not in CELL_CLASSES]
    if unknown:
        return (
            f"cells: {', '.join(unknown)} not known; the canonical names are "
            f"{', '.join(CELL_CLASSES)}"
        )
    return ""


def _problem_of_role(model: ModelSpec, written: dict[str, Any]) -> str:
    """What does not belong to a model of its role, or is missing for it; empty if nothing."""
    if strange := [name for name in _FOREIGN[model.role] if name in written]:
        return f'{", ".join(strange)} does not belong to a model of role "{model.role}"'
    if model.role == "patients":
        if model.familiar and not model.bag:
            return "familiar belongs to models that name cells, or that take tables"
        # A bag of tables has none, which its file tells.
        return "" if model.cells or model.bag else "it lacks cells, the classes that it accepts"
    if not model.limits or model.largest_px is None:
        return 'role "typing" needs limits and largest_px; `vexas-workshop train typing` has both'
    unknown = [name for name in (*model.limits, *model.of) if name not in CELL_CLASSES]
    return f"limits or of: {', '.join(unknown)} not known" if unknown else ""


def _problem_of_parts(model: ModelSpec, written: dict[str, Any]) -> str:
    """What a model's entry lacks or says twice; empty if it is whole."""
    if model.bag is None:
        missing = [name for name in _BESIDE_ENCODER if getattr(model, name) is None]
        return f"it lacks {' and '.join(missing)}" if missing else ""
    twice = [name for name in written if name not in _BESIDE_BAG]
    return f"it names a bag, whose file says {', '.join(twice)} itself" if twice else ""
