"""The stages of one model: background, isolate, pretrain, encode, probe, evaluate, fit, bags."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from training.chain.chain import Chain, given_file
from training.chain.chain_spec import ChainBags, ChainModel, Probe
from training.chain.inputs import SENTENCES, GivenFile, bare, labelled
from training.chain.libraries import onnxruntime_facts, sklearn_facts, torch_facts
from training.chain.mask_stage import isolate_stage
from training.chain.stages import Stage
from training.chain.tasks.background import BACKGROUND, BackgroundInputs, make_background
from training.chain.tasks.bags import BAG, BagInputs, make_bags
from training.chain.tasks.encode import EncodeInputs, make_encodings
from training.chain.tasks.evaluate import EvaluateInputs, make_evaluation
from training.chain.tasks.fit import CLASSIFIER, FitInputs, make_classifier
from training.chain.tasks.patients import EncodedCells
from training.chain.tasks.pretrain import PretrainInputs, make_weights
from training.chain.tasks.probe import ProbeInputs, make_probe
from training.judging.beside import BesideOptions
from training.mask_network.isolated_cohort import isolated_rows
from training.patients.evaluation import EvaluationOptions
from training.pretraining.run_folder import WEIGHTS
from vexas_edge.cells.background import Background
from vexas_edge.errors import UsageError
from vexas_edge.smear.cohort import CohortCase, cases_of_split, read_cohort

_SEEN = (
    "The encoder had seen the cells of the folds' patients, without labels, and none of the "
    "patients held out."
)


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """The parts of one model that the bundle needs.

    parts: by their field in a bundle's spec: weights and classifier, or the bag.
    background: the bare slide that each case is brought to; None if cells stay as they are.
    performance: sentences for the model card.
    stages: hashes for the provenance.
    """

    parts: dict[str, GivenFile]
    background: Background | None
    performance: str
    stages: dict[str, dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """The images that the model learns from.

    rows: of their cohort, with nothing but patients, samples and paths.
    background: the bare slide that each case is still to be brought to; None for none.
    """

    rows: Sequence[CohortCase]
    background: Background | None


def train_model(chain: Chain, name: str, masks: Stage | None) -> TrainedModel:
    """Run all stages of the model.

    Args:
        masks: the stage of the mask network, if the chain isolates cells.
    """
    model = chain.spec.models[name]
    stages: dict[str, Stage] = {}
    background, shown = _shown_cells(chain, name, masks, stages)
    if model.weights is None:
        stages["pretrain"] = _pretrain(chain, name, shown)
        weights = stages["pretrain"].file(WEIGHTS)
    else:
        weights = given_file(chain.folder / model.weights)
    asked = _encode_inputs(chain, model, shown, weights)
    if model.probe:
        stages["probe"] = _probe(chain, name, model.probe, asked)
    if model.bags:
        stages["bags"] = judged = _bags(chain, name, model.bags, shown, weights)
        parts = {"bag": judged.file(BAG)}
    else:
        judged, fitted = _medians(chain, name, asked, stages)
        parts = {"weights": weights, "classifier": fitted.file(CLASSIFIER)}
    return TrainedModel(
        parts=parts,
        background=background,
        performance=(judged.folder / SENTENCES).read_text(encoding="utf-8"),
        stages={stage: done.facts() for stage, done in stages.items()},
    )


def _medians(
    chain: Chain, name: str, asked: EncodeInputs, stages: dict[str, Stage]
) -> tuple[Stage, Stage]:
    """The stages that judge and fit an SVM on medians.

    Args:
        stages: those that are run here are added to it.
    """
    stages["encode"] = encode = chain.stage(f"{name}/encode", make_encodings, asked)
    encoded = EncodedCells(
        encodings=encode.file("encodings.npz"), metadata=encode.file("metadata.csv")
    )
    stages["evaluate"] = _evaluate(chain, name, encoded)
    stages["fit"] = _fit(chain, name, encoded)
    return stages["evaluate"], stages["fit"]


def _bags(chain: Chain, name: str, bags: ChainBags, shown: _Shown, weights: GivenFile) -> Stage:
    model, spec = chain.spec.models[name], chain.spec
    asked = [covariate.name for covariate in bags.covariates]
    known = {row.sample: row for row in chain.rows}
    if missing := [word for word in asked if word not in chain.rows[0].covariates]:
        raise UsageError(f"the cohort has no column {missing[0]!r}, which models.{name} takes")
    rows = tuple(
        replace(row, covariates={word: known[row.sample].covariates[word] for word in asked})
        for row in shown.rows
        if row.split in (spec.fit, spec.judge)
    )
    given = BagInputs(
        cells=chain.cells.given(rows, model.cells),
        fit=spec.fit,
        judge=spec.judge,
        positive=spec.positive,
        canvas_px=model.canvas_px,
        background=shown.background,
        minimum_cells=model.minimum_cells,
        options=replace(model.bag_options(bags), start=weights.path.name),
        start=weights,
        how=BesideOptions(asked=bags.covariates, folds=bags.folds, halved=bags.halvings),
        title=f"{spec.name}, {name}",
        libraries=torch_facts() | sklearn_facts(),
    )
    return chain.stage(f"{name}/bags", make_bags, given, resumes=True)


def _shown_cells(
    chain: Chain, name: str, masks: Stage | None, stages: dict[str, Stage]
) -> tuple[Background | None, _Shown]:
    """The bare slide that each case is brought to, and what the model then learns from.

    Args:
        stages: those that are run here are added to it.
    """
    background = None
    if chain.spec.models[name].normalise == "background":
        stages["background"] = _background(chain, name)
        background = _background_in(stages["background"])
    if masks is None:
        return background, _Shown(rows=chain.rows, background=background)
    stages["isolate"] = isolated = isolate_stage(chain, name, masks, background)
    return background, _Shown(rows=isolated_rows(chain.rows, isolated.folder), background=None)


def _background(chain: Chain, name: str) -> Stage:
    rows = bare(cases_of_split(chain.rows, chain.spec.fit))
    cells = chain.cells.given(rows, chain.spec.models[name].cells)
    return chain.stage(f"{name}/background", make_background, BackgroundInputs(cells=cells))


def _background_in(stage: Stage) -> Background:
    return msgspec.json.decode((stage.folder / BACKGROUND).read_bytes(), type=Background)


def _pretrain(chain: Chain, name: str, shown: _Shown) -> Stage:
    model = chain.spec.models[name]
    options, start = model.pretrain_options(), None
    if options.start:
        start = given_file(chain.folder / options.start)
        options = replace(options, start=start.path.name)
    given = PretrainInputs(
        cells=chain.cells.given(bare(cases_of_split(shown.rows, chain.spec.fit)), model.cells),
        canvas_px=model.canvas_px,
        background=shown.background,
        options=options,
        start=start,
        libraries=torch_facts(),
    )
    return chain.stage(f"{name}/pretrain", make_weights, given, resumes=True)


def _encode_inputs(
    chain: Chain, model: ChainModel, shown: _Shown, weights: GivenFile
) -> EncodeInputs:
    return EncodeInputs(
        cells=chain.cells.given(bare(shown.rows), model.cells),
        weights=weights,
        backbone=model.backbone,
        preprocessing=model.preprocessing,
        canvas_px=model.canvas_px,
        larger=model.larger,
        background=shown.background,
        libraries=onnxruntime_facts(),
    )


def _probe(chain: Chain, name: str, asked: Probe, encode: EncodeInputs) -> Stage:
    """The stage that judges the encoder by labelled cells.

    Args:
        encode: how they are encoded; its cells are replaced by them.
    """
    rows = labelled(read_cohort(chain.folder / asked.cohort))
    cells = chain.cells.given(rows, chain.spec.models[name].cells)
    given = ProbeInputs(
        encode=replace(encode, cells=cells),
        groups=asked.groups,
        title=name,
        libraries=sklearn_facts(),
    )
    return chain.stage(f"{name}/probe", make_probe, given)


def _evaluate(chain: Chain, name: str, encoded: EncodedCells) -> Stage:
    model, spec = chain.spec.models[name], chain.spec
    given = EvaluateInputs(
        encoded=encoded,
        cohort=chain.cells.given(chain.rows, ()),
        fit=spec.fit,
        judge=spec.judge,
        options=EvaluationOptions(
            positive=spec.positive,
            minimum_cells=model.minimum_cells,
            note="" if model.weights else _SEEN,
            svm=model.svm_options(),
            threshold=model.threshold,
        ),
        title=f"{spec.name}, {name}",
        libraries=sklearn_facts(),
    )
    return chain.stage(f"{name}/evaluate", make_evaluation, given)


def _fit(chain: Chain, name: str, encoded: EncodedCells) -> Stage:
    model, spec = chain.spec.models[name], chain.spec
    given = FitInputs(
        encoded=encoded,
        cohort=chain.cells.given(labelled(cases_of_split(chain.rows, spec.fit)), ()),
        positive=spec.positive,
        minimum_cells=model.minimum_cells,
        svm=model.svm_options(),
        libraries=sklearn_facts(),
    )
    return chain.stage(f"{name}/fit", make_classifier, given)
