"""Runs the chain from a cohort to a bundle, each stage once for the same inputs."""

import shutil
from collections.abc import Collection
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from calibration.candidates import judgeable_kinds
from calibration.conversion import Console, Conversion, add_precisions
from calibration.gate.verdict import Verdict
from export import spec_from_fields, write_bundle
from export.inputs import sha256_of_file
from training.chain.chain import Chain, new_chain
from training.chain.chain_spec import ChainModel, ChainSpec
from training.chain.mask_stage import make_mask_network, mask_sentence, masks_digest
from training.chain.model_stages import TrainedModel, train_model
from training.chain.stages import Stage, cells_digest, torch_facts
from training.reference.adding import TrainingCohort, add_references, sentence_from_made
from training.talk import Talk
from vexas_edge.bundle.archive import open_bundle
from vexas_edge.bundle.graphs import ISOLATE
from vexas_edge.cells.canvas import Canvas, decode_cell
from vexas_edge.errors import InputError
from vexas_edge.runtime.isolator import opened_isolator
from vexas_edge.smear.cohort import CohortCase, read_row
from vexas_edge.smear.options import ReadOptions

_EXPORTED, _REFERENCED = "exported.vxb", "referenced.vxb"
_PARITY_CELLS = 12


def run_chain(spec: ChainSpec, folder: Path, out: Path, talk: Talk) -> Path:
    """Run every stage that is not done yet, below `out`; returns the bundle's path.

    Args:
        folder: where the spec's paths start.

    Raises:
        UsageError, InputError: something in the spec or the cohort cannot be used.
        BundleError: a cheaper graph is over its budget.

    Stages that are done stay in all these cases.
    """
    chain = new_chain(spec, folder, out, talk)
    cells: dict[str, Any] = {"cells": cells_digest(chain.rows)}
    talk.say(f"cohort: {len(chain.rows)} cases")
    masks = _mask_network(chain)
    stages: dict[str, Any] = {"mask-network": masks.facts()} if masks else {}
    models = {name: train_model(chain, name, masks, cells) for name in spec.models}
    stages |= {name: model.stages for name, model in models.items()}
    export = _export(chain, models, masks, {**cells, "stages": stages})
    reference = _add_references(chain, export, cells)
    return _add_precisions(chain, reference, cells)


def _mask_network(chain: Chain) -> Stage | None:
    asked = chain.spec.isolate
    if asked is None:
        return None
    if asked.network is not None:
        network = chain.folder / asked.network
        inputs: dict[str, Any] = {"network": sha256_of_file(network)}
        return chain.stage("mask-network", inputs, partial(_copy_network, network))
    table = chain.folder / (asked.masks or "")
    inputs = {
        "masks": masks_digest(table),
        "recipe": asked.recipe,
        "limits": msgspec.to_builtins(asked.limits),
        **torch_facts(),
    }
    return chain.stage(
        "mask-network",
        inputs,
        lambda to: make_mask_network(table, asked.recipe, asked.limits, to, chain.talk.progress),
    )


def _copy_network(network: Path, to: Path) -> None:
    shutil.copyfile(network, to / ISOLATE)


def _export(
    chain: Chain, models: dict[str, TrainedModel], masks: Stage | None, inputs: dict[str, Any]
) -> Stage:
    spec = chain.spec

    def make(to: Path) -> None:
        fields = {name: _fields(chain, spec.models[name], models[name], masks) for name in models}
        for name, model in fields.items():
            model["encoding"] = "l2"  # what `encode` returns and `fit` fits on
            model["parity_cells"] = str(_parity_cells(chain, name, masks, to / "parity" / name))
        shared = ("name", "version", "positive", "lead", "synthetic", "intended_use", "budgets")
        bundle = {word: msgspec.to_builtins(getattr(spec, word)) for word in shared}
        bundle |= {
            "training_data": spec.training_data,
            "performance": "\n\n".join(
                [
                    *(f"{name}: {model.performance}" for name, model in models.items()),
                    *([mask_sentence(masks.folder)] if masks else []),
                ]
            ),
            "stages": inputs["stages"],
            "models": fields,
        }
        write_bundle(spec_from_fields(bundle), to=to / _EXPORTED)

    return chain.stage("export", {**inputs, "spec": msgspec.to_builtins(spec)}, make)


def _fields(
    chain: Chain, model: ChainModel, trained: TrainedModel, masks: Stage | None
) -> dict[str, Any]:
    """The model's part of the bundle's spec, except its parity cells."""
    draws = model.svm_options().draws
    fields: dict[str, Any] = {
        "cells": model.cells,
        "encoder": model.backbone,
        "weights": str(trained.weights),
        "classifier": str(trained.classifier),
        "preprocessing": model.preprocessing,
        "canvas_px": model.canvas_px,
        "larger": model.larger,
        "minimum_cells": model.minimum_cells,
        "threshold": model.threshold,
        "draw_size": draws.size,
        "fit_draws": draws.draws,
        "seed": draws.seed,
        "score_draws": model.score_draws,
        "normalise": model.normalise,
        "background": trained.background,
    }
    if masks and chain.spec.isolate:
        fields["isolate"] = str((masks.folder / ISOLATE).resolve())
        fields["isolation"] = msgspec.to_builtins(chain.spec.isolate.limits)
    return fields


def _parity_cells(chain: Chain, name: str, masks: Stage | None, to: Path) -> Path:
    """The folder `to` with some original cells that the model can use, of patients it is fitted on.

    Raises:
        InputError: fewer than two cases have such a cell.
    """
    model = chain.spec.models[name]
    to.mkdir(parents=True)
    n_found = 0
    with ExitStack() as stack:
        isolate = None
        if masks and chain.spec.isolate:
            network = (masks.folder / ISOLATE).read_bytes()
            isolate = stack.enter_context(opened_isolator(network, chain.spec.isolate.limits))
        canvas = Canvas(canvas_px=model.canvas_px, larger=model.larger, isolate=isolate)
        for row in (row for row in chain.rows if row.split == chain.spec.fit):
            if n_found < _PARITY_CELLS and (found := _usable_cell(row, model.cells, canvas)):
                name, content = found
                (to / f"{n_found:03d}{Path(name).suffix}").write_bytes(content)
                n_found += 1
    if n_found < 2:
        raise InputError(
            f"model {name!r}: fewer than two cases of the split {chain.spec.fit!r} have a cell "
            "that it can use"
        )
    return to


def _usable_cell(
    row: CohortCase, classes: Collection[str], canvas: Canvas
) -> tuple[str, bytes] | None:
    """Name and content of the first cell of a smear that a model can use."""
    with read_row(row) as case:
        for cell in case.cells_of(classes):
            if decode_cell(case.source, cell, canvas).pixels is not None:
                return cell.path, case.source.read(cell.path)
    return None


def _add_references(chain: Chain, export: Stage, cells: dict[str, Any]) -> Stage:
    spec, talk = chain.spec, chain.talk
    training = TrainingCohort(
        cohort=chain.cohort,
        split=spec.fit,
        reading=ReadOptions(),
        svm={name: model.svm_options() for name, model in spec.models.items()},
        work=chain.out / "measured",
    )

    def make(to: Path) -> None:
        bundle = open_bundle(export.folder / _EXPORTED)
        for made in add_references(bundle, training, to / _REFERENCED, talk):
            talk.say(sentence_from_made(made))

    return chain.stage("reference", {**cells, "export": export.facts()}, make)


def _add_precisions(chain: Chain, reference: Stage, cells: dict[str, Any]) -> Path:
    spec, talk = chain.spec, chain.talk
    name = f"{spec.name}.vxb"

    def say(verdict: Verdict) -> None:
        talk.say(f"{verdict.model} {verdict.kind}: {'; '.join(verdict.missed) or 'passed'}")

    kinds = judgeable_kinds(spec.precisions, talk.say)

    def make(to: Path) -> None:
        asked = Conversion(cohort=chain.cohort, kinds=kinds, calibrate=spec.fit, gate=spec.judge)
        console = Console(progress=talk.progress, show=say, warn=talk.say)
        before = reference.folder / _REFERENCED
        if kinds:
            add_precisions(open_bundle(before), asked, to / name, console)
        else:
            shutil.copyfile(before, to / name)

    inputs = {**cells, "reference": reference.facts(), "precisions": kinds}
    return chain.stage("bundle", inputs, make).folder / name
