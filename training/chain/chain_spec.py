"""The spec of the whole chain, read from a TOML file."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta, Struct

from export.paper import CANVAS_PX
from export.spec import INTENDED_USE, fields_from_toml
from training.bags.trainer import BagOptions
from training.judging.stacking import AskedCovariate
from training.mask_network.segmenter import SegmenterRecipe
from training.patients.classifier import SvmOptions
from training.pretraining.trainer import PretrainOptions
from vexas_edge.bundle.budgets import Budgets
from vexas_edge.bundle.models import Normalise
from vexas_edge.cells.limits import IsolationLimits, LargerCells
from vexas_edge.errors import UsageError
from vexas_edge.fields import Name

Fields = dict[str, Any]
# Fields of a model that say nothing where it learns from bags.
_NOT_OF_BAGS = ("threshold", "larger", "score_draws", "svm")
# Options of learning from bags that the model itself says.
_OF_MODEL = ("backbone", "preprocessing", "start")


class Isolation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How cells are isolated: by the mask network `network`, or by one trained on `masks`.

    network: an .onnx file.
    masks: a CSV of images and masks, as `vexas-workshop train segmenter` takes it.
    recipe: fields of SegmenterRecipe.
    limits: within which an isolated cell is accepted.
    least_dice: the mean Dice of the whole cell that a network trained here must reach on images
        that it had not seen, or no cell is isolated; 0 for any, judged or not. The demonstration's
        reaches 0.98.
    """

    network: str | None = None
    masks: str | None = None
    recipe: Fields = {}
    limits: IsolationLimits = IsolationLimits()
    least_dice: Annotated[float, Meta(ge=0, le=1)] = 0.9

    def segmenter_recipe(self) -> SegmenterRecipe:
        """The recipe of the mask network."""
        recipe: SegmenterRecipe = options_from_fields(SegmenterRecipe, self.recipe)
        return recipe


class Probe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Labelled cells to judge the encoder by; if the chain isolates cells, they must be isolated.

    cohort: a cohort.csv whose `label` is the group of its cells.
    groups: the groups to compare, in order; by default all.
    """

    cohort: str
    groups: tuple[str, ...] = ()


class ChainBags(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Learning from patients whose cells have no labels, in place of medians and an SVM.

    options: fields of BagOptions, except backbone, preprocessing and start.
    covariates: columns of the cohort that are joined to the score.
    folds, halvings: how it is judged, as `vexas-workshop train bags` has it.
    """

    options: Fields = {}
    covariates: tuple[AskedCovariate, ...] = ()
    folds: Annotated[int, Meta(ge=2, le=100)] = 5
    halvings: bool = False


class ChainModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model of one cell type; fields that are not explained here are those of a bundle's spec.

    weights: of an encoder that is already trained; without it, one is pretrained.
    pretrain: fields of PretrainOptions, except backbone and preprocessing.
    svm: fields of SvmOptions.
    bags: in place of `svm`, and of all that it finds itself: `threshold`, `larger`, `score_draws`.
    probe: labelled cells to judge the encoder by.
    normalise: "background" to bring each case's bare slide to that of the cohort's `fit` split.
    """

    cells: Annotated[tuple[str, ...], Meta(min_length=1)]
    backbone: str
    preprocessing: str
    weights: str | None = None
    pretrain: Fields = {}
    svm: Fields = {}
    bags: ChainBags | None = None
    probe: Probe | None = None
    canvas_px: Annotated[int, Meta(ge=8, le=4096)] = CANVAS_PX
    larger: LargerCells = "reject"
    normalise: Normalise = "none"
    minimum_cells: Annotated[int, Meta(ge=1)] = 10
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.5
    score_draws: Annotated[int, Meta(ge=1)] = 1000

    def pretrain_options(self) -> PretrainOptions:
        """The options of pretraining, with this model's backbone and preprocessing."""
        own = {"backbone": self.backbone, "preprocessing": self.preprocessing}
        options: PretrainOptions = options_from_fields(PretrainOptions, {**self.pretrain, **own})
        return options

    def bag_options(self, bags: ChainBags) -> BagOptions:
        """The options of learning from bags; their start is named when its weights are there."""
        own = {"backbone": self.backbone, "preprocessing": self.preprocessing, "start": "start"}
        options: BagOptions = options_from_fields(BagOptions, {**bags.options, **own})
        return options

    def svm_options(self) -> SvmOptions:
        """The options of the SVM."""
        options: SvmOptions = options_from_fields(SvmOptions, self.svm)
        return options


class ChainSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The chain from a cohort to a bundle. Paths are relative to the spec's folder.

    Fields that are not explained here are those of a bundle's spec.

    cohort: the cohort.csv file.
    fit: the cohort's split on which everything is learnt.
    judge: the cohort's split on which everything is judged.
    precisions: of the cheaper graphs to add.
    """

    name: Name
    version: str
    positive: str
    cohort: str
    models: Annotated[dict[Name, ChainModel], Meta(min_length=1)]
    isolate: Isolation | None = None
    fit: str = "fit"
    judge: str = "judge"
    precisions: tuple[Literal["fp16", "int8", "int8-rr", "int8-trt"], ...] = ()
    lead: str | None = None
    synthetic: bool = False
    intended_use: str = INTENDED_USE
    training_data: str = "not stated"
    budgets: Budgets = Budgets()


def chain_from_file(path: Path) -> ChainSpec:
    """The spec in a TOML file.

    Raises:
        InputError: the file cannot be read or is not TOML.
        UsageError: a field is missing, unknown or out of its range; the message names it.
    """
    try:
        spec = msgspec.convert(fields_from_toml(path), ChainSpec)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {error}") from error
    _check(spec, path)
    return spec


def options_from_fields(kind: type, given: Fields) -> Any:
    """The options dataclass `kind` with these fields, and defaults for the rest.

    Raises:
        UsageError: a field is unknown or of the wrong type.
    """
    _check_known(kind, given)
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"{kind.__name__}: {error}") from error


def _check(spec: ChainSpec, path: Path) -> None:
    if spec.lead is not None and spec.lead not in spec.models:
        raise UsageError(
            f"{path}: lead = {spec.lead!r} is not one of the models {', '.join(spec.models)}"
        )
    if spec.isolate and (spec.isolate.network is None) == (spec.isolate.masks is None):
        raise UsageError(f"{path}: isolate needs either `network` or `masks`, and not both")
    if spec.isolate:
        spec.isolate.segmenter_recipe()
    shared = sorted(set(spec.models) & {"isolate", "mask-network", "export", "bundle"})
    if shared:
        raise UsageError(f"{path}: a stage is called {shared[0]!r}; give the model another name")
    for name, model in spec.models.items():
        model.pretrain_options()
        model.svm_options()
        if model.bags:
            model.bag_options(model.bags)
            own = [word for word in _OF_MODEL if word in model.bags.options]
            names = [covariate.name for covariate in model.bags.covariates]
            if own or len(set(names)) != len(names):
                raise UsageError(
                    f"{path}: models.{name}.bags names "
                    f"{f'{own[0]}, which the model says' if own else 'a covariate twice'}"
                )
            twice = [word for word in _NOT_OF_BAGS if getattr(model, word) != _default(word)]
            if twice:
                raise UsageError(
                    f"{path}: models.{name} learns from bags, which find {', '.join(twice)} "
                    "themselves; leave it out"
                )


def _default(field: str) -> Any:
    (found,) = (f for f in msgspec.structs.fields(ChainModel) if f.name == field)
    return found.default_factory() if callable(found.default_factory) else found.default


def _check_known(kind: type, given: Fields) -> None:
    known = {field.name for field in fields(kind)}
    unknown = sorted(given.keys() - known)
    if unknown:
        raise UsageError(
            f"{kind.__name__} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}"
        )
    types = get_type_hints(kind)
    for name, value in given.items():
        if is_dataclass(types[name]) and isinstance(value, dict):
            _check_known(types[name], value)
