"""Runs the chain from a cohort to a bundle, each stage once for the same inputs and code."""

from pathlib import Path
from typing import Any

import msgspec

from calibration.candidates import judgeable_kinds
from training.chain.chain import Chain, new_chain
from training.chain.chain_spec import ChainModel, ChainSpec
from training.chain.inputs import bare, labelled
from training.chain.mask_stage import mask_sentence, mask_stage
from training.chain.model_stages import TrainedModel, train_model
from training.chain.stages import Stage
from training.chain.tasks.export import EXPORTED, ExportInputs, ModelParts, make_bundle
from training.chain.tasks.precisions import PrecisionInputs, make_precisions
from training.chain.tasks.reference import REFERENCED, ReferenceInputs, make_reference
from training.talk import Talk
from vexas_edge.bundle.graphs import ISOLATE
from vexas_edge.cells.background import Background
from vexas_edge.cells.limits import IsolationLimits
from vexas_edge.smear.cohort import cases_of_split

_MEASURING = "training.measured.work_folder"


def run_chain(spec: ChainSpec, folder: Path, out: Path, talk: Talk) -> Path:
    """Run every stage that is not done yet, below `out`; returns the bundle's path.

    A stage is done as long as what it is given and the code that it uses stay the same.

    Args:
        folder: where the spec's paths start.

    Raises:
        UsageError, InputError: something in the spec or the cohort cannot be used, or the mask
            network is not good enough.
        BundleError: a cheaper graph is over its budget.

    Stages that are done stay in all these cases.
    """
    chain = new_chain(spec, folder, out, talk)
    talk.say(f"cohort: {len(chain.rows)} cases")
    masks = mask_stage(chain)
    models = {name: train_model(chain, name, masks) for name in spec.models}
    export = _export(chain, models, masks)
    reference = _add_references(chain, export)
    return _add_precisions(chain, reference)


def _export(chain: Chain, models: dict[str, TrainedModel], masks: Stage | None) -> Stage:
    spec = chain.spec
    shared = ("name", "version", "positive", "lead", "synthetic", "intended_use", "budgets")
    said = [f"{name}: {model.performance}" for name, model in models.items()]
    stages: dict[str, Any] = {"mask-network": masks.facts()} if masks else {}
    given = ExportInputs(
        fields={
            **{word: msgspec.to_builtins(getattr(spec, word)) for word in shared},
            "training_data": spec.training_data,
            "performance": "\n\n".join([*said, *([mask_sentence(masks)] if masks else [])]),
            "stages": stages | {name: model.stages for name, model in models.items()},
        },
        models={name: _parts(chain, spec.models[name], models[name]) for name in models},
        network=masks.file(ISOLATE) if masks else None,
        limits=spec.isolate.limits if spec.isolate else IsolationLimits(),
    )
    return chain.stage("export", make_bundle, given)


def _parts(chain: Chain, model: ChainModel, trained: TrainedModel) -> ModelParts:
    fields = {"minimum_cells": model.minimum_cells}
    if not model.bags:
        fields |= _fields_of_medians(model, trained.background)
    return ModelParts(
        fields=fields,
        parts=trained.parts,
        cells=chain.cells.given(bare(cases_of_split(chain.rows, chain.spec.fit)), model.cells),
        canvas_px=model.canvas_px,
        larger="crop" if model.bags else model.larger,
    )


def _fields_of_medians(model: ChainModel, background: Background | None) -> dict[str, Any]:
    """What the spec of a bundle says of a model that no bag says itself."""
    draws = model.svm_options().draws
    return {
        "encoder": model.backbone,
        "encoding": "l2",  # what `encode` returns and `fit` fits on
        "preprocessing": model.preprocessing,
        "threshold": model.threshold,
        "draw_size": draws.size,
        "fit_draws": draws.draws,
        "seed": draws.seed,
        "score_draws": model.score_draws,
        "normalise": model.normalise,
        "background": background,
        "canvas_px": model.canvas_px,
        "larger": model.larger,
    }


def _add_references(chain: Chain, export: Stage) -> Stage:
    spec = chain.spec
    rows = labelled(cases_of_split(chain.rows, spec.fit))
    given = ReferenceInputs(
        bundle=export.file(EXPORTED),
        cells=chain.cells.given(rows, _classes(spec)),
        split=spec.fit,
        svm={name: model.svm_options() for name, model in spec.models.items()},
        measuring=chain.source.digest(_MEASURING),
    )
    return chain.stage("reference", make_reference, given)


def _add_precisions(chain: Chain, reference: Stage) -> Path:
    spec = chain.spec
    bags = [model.bags for model in spec.models.values() if model.bags]
    taken = {covariate.name for own in bags for covariate in own.covariates}
    rows = [row for row in labelled(chain.rows, taken) if row.split in (spec.fit, spec.judge)]
    kinds = judgeable_kinds(spec.precisions, chain.talk.say)
    given = PrecisionInputs(
        bundle=reference.file(REFERENCED),
        cells=chain.cells.given(rows, _classes(spec) if kinds else ()),
        kinds=kinds,
        calibrate=spec.fit,
        judge=spec.judge,
        name=f"{spec.name}.vxb",
    )
    return chain.stage("bundle", make_precisions, given).folder / given.name


def _classes(spec: ChainSpec) -> tuple[str, ...]:
    """The classes of cells that any model reads."""
    return tuple(sorted({name for model in spec.models.values() for name in model.cells}))
