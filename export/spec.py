"""What a bundle is made of, as a TOML file says it or a notebook builds it."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from export.encoder import InputLayout
from vexas_edge.bundle.budgets import Budgets
from vexas_edge.bundle.manifest import LabelRule
from vexas_edge.cells.limits import IsolationLimits, LargerCells
from vexas_edge.errors import InputError, UsageError
from vexas_edge.fields import Name
from vexas_edge.smear.vocabulary import CELL_CLASSES

INTENDED_USE = "Research only: comparing smears. Not for diagnosis."


class ExplicitPreprocessing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """(pixel - mean) / scale for each channel, in the network's channel order."""

    mean: tuple[float, float, float]
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False


class ModelSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model. Paths are relative to the spec's folder; the defaults are the VEXAS paper's.

    cells: canonical names of the classes it accepts. encoder: one of our backbones, an .onnx file,
    or `module:factory`; absent when the module is handed over in memory, as is classifier, a .skops
    file. parity_cells: a folder of real cells on which every step of the export is compared.
    isolate: the mask network's .onnx file, for cells that are not isolated yet, and what it may
    find.
    """

    cells: Annotated[tuple[str, ...], Meta(min_length=1)]
    preprocessing: str | ExplicitPreprocessing
    parity_cells: str
    encoder: str | None = None
    weights: str | None = None
    input_layout: InputLayout = "nchw"
    classifier: str | None = None
    canvas_px: Annotated[int, Meta(ge=8, le=4096)] = 272
    larger: LargerCells = "reject"
    draw_size: Annotated[int, Meta(ge=1, le=1000)] = 10
    fit_draws: Annotated[int, Meta(ge=1)] = 100
    score_draws: Annotated[int, Meta(ge=1)] = 1000
    seed: Annotated[int, Meta(ge=0, le=2**53)] = 0
    minimum_cells: Annotated[int, Meta(ge=1)] = 10
    isolate: str | None = None
    isolation: IsolationLimits = IsolationLimits()
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.5


class Spec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole bundle. label_rule: absent means what the classifier's own `predict` does.

    training_data and performance: statements for the model card and the manifest. budgets: what
    `vexas-workshop calibrate` holds cheaper graphs to. stages: of `vexas-workshop train run`, by
    name, with the hashes of what went in and came out.
    """

    name: Name
    version: str
    positive: str
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
        InputError: no such file, or not TOML.
        UsageError: a field that is missing, unknown or out of its range; names it.
    """
    return spec_from_fields(fields_from_toml(path), str(path))


def fields_from_toml(path: Path) -> dict[str, Any]:
    """What a spec's file says, not looked at yet.

    Raises:
        InputError: no such file, or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"spec {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"spec {path} is not TOML: {error}") from error


def spec_from_fields(fields: dict[str, Any], source: str = "the spec") -> Spec:
    """The spec that these fields, as TOML would give them, stand for.

    Raises:
        UsageError: a field that is missing, unknown or out of its range; names it.
    """
    try:
        spec = msgspec.convert(fields, Spec)
    except msgspec.ValidationError as error:
        raise UsageError(f"{source}: {error}") from error
    if spec.lead is not None and spec.lead not in spec.models:
        raise UsageError(f"{source}: lead model {spec.lead!r} is none of {', '.join(spec.models)}")
    for name, model in spec.models.items():
        unknown = [cell for cell in model.cells if cell not in CELL_CLASSES]
        if unknown:
            raise UsageError(
                f"{source}: models.{name}.cells: {', '.join(unknown)} are no canonical names; "
                f"they are {', '.join(CELL_CLASSES)}"
            )
    return spec


TEMPLATE = """\
# A bundle's spec. Build it with: vexas-workshop export bundle THIS_FILE -o NAME.vxb
# Paths, and the modules of `module:factory`, are looked up from this file's folder.
name = "vexas-site"
version = "1.0.0"
positive = "VEXAS"                  # one of the classifier's classes
# lead = "neutrophil"               # the model that decides; without it no model does
# training_data = "which patients, which analyzer, when"
# performance = "what was measured, on whom, with intervals"

[models.neutrophil]
cells = ["neutrophil_segmented", "neutrophil_band"]
encoder = "mylab.nets:build"        # or a backbone: {backbones}
                                    # or "pn.onnx" (then input_layout = "nchw" or "nhwc")
weights = "pn.safetensors"          # not with an .onnx file
preprocessing = "keras-caffe"       # what the weights were trained with:
                                    # {preprocessings}
                                    # or {{ mean = [r, g, b], scale = [r, g, b], bgr = false }}
canvas_px = 272                     # the canvas that the encoder was trained with
# larger = "reject"                 # or "crop": what happens to a cell that does not fit
classifier = "pn.skops"             # skops.io.dump(classifier, "pn.skops")
parity_cells = "cells/PN"           # real cells; every step of the export is compared on them
# isolate = "isolate.onnx"          # where images show more than a cell; see `vexas-workshop train`
# minimum_cells = 10                # suggested: 50 neutrophils, 10 monocytes, 25 lymphocytes
# threshold = 0.5
# draw_size = 10                    # cells of one aggregate
# score_draws = 1000
# seed = 0

# [budgets.int8]                    # how far the int8 graph may lie from the float32 one
# cosine_p1 = 0.998                 # of encodings, 1st percentile over cells
# score_drift = 0.02                # mean over cases
# auc_drop = 0.006
# flipped_share = 0.025             # of cases, and only
# flip_margin = 0.05                # this close to the threshold
# patients_per_class = 3              # fewest that can judge
# calibration_distance = 0.2        # of calibration's cells from the gate's
"""
