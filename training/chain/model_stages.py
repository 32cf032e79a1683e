"""The stages of one model: background, isolate, pretrain, encode, probe, evaluate, fit."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import sklearn
import skops.io

from export.inputs import sha256_of_file
from training.chain.chain import Chain
from training.chain.chain_spec import ChainModel, Probe
from training.chain.mask_stage import isolate_cells
from training.chain.stages import Stage, cells_digest, torch_facts
from training.encodings.encoder import Wanted, encode_file
from training.encodings.probe_report import write_probe
from training.encodings.slide import background_of_cohort
from training.encodings.table import Encodings, read_encodings, write_encodings
from training.mask_network.isolated_cohort import COHORT
from training.patients.aggregates import Patient, patients_from_encodings
from training.patients.classifier import check_calibrated, fit_classifier
from training.patients.evaluation import EvaluationOptions, evaluate_patients, with_enough_cells
from training.patients.phenotype import against_others
from training.patients.report import evaluation_sentences, write_report
from training.pretraining.cell_stack import WantedCells, stack_cells
from training.pretraining.run_folder import CHECKPOINT, WEIGHTS, pretrain_into
from vexas_edge.cells.background import Background
from vexas_edge.errors import InputError
from vexas_edge.files import write_atomically
from vexas_edge.host.libraries import load_library
from vexas_edge.smear.cohort import CohortCase, cases_of_split, read_cohort
from vexas_edge.smear.options import ReadOptions

onnxruntime = load_library("onnxruntime")

CLASSIFIER, SENTENCES = "classifier.skops", "sentences.txt"
_BACKGROUND = "background.json"

_SEEN = (
    "The encoder had seen the cells of the folds' patients, without labels, and none of the "
    "patients held out."
)


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """The parts of one model that the bundle needs.

    background: the bare slide that each case is brought to; None if cells stay as they are.
    performance: sentences for the model card.
    stages: hashes for the provenance.
    """

    weights: Path
    classifier: Path
    background: Background | None
    performance: str
    stages: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """The images that the model learns from.

    cohort: the file of their cohort.
    background: the bare slide that each case is still to be brought to; None for none.
    facts: what they depend on, as inputs of the stages.
    """

    cohort: Path
    background: Background | None
    facts: dict[str, Any]


def train_model(
    chain: Chain, name: str, masks: Stage | None, cells: dict[str, Any]
) -> TrainedModel:
    """Run all stages of the model.

    Args:
        masks: the stage of the mask network, if the chain isolates cells.
        cells: hashes of the cohort's cells, as an input of the stages.
    """
    model = chain.spec.models[name]
    stages: dict[str, Stage] = {}
    background, shown = _shown_cells(chain, name, masks, cells, stages)
    weights = chain.folder / (model.weights or "")
    if model.weights is None:
        stages["pretrain"] = _pretrain(chain, name, shown)
        weights = stages["pretrain"].folder / WEIGHTS
    encoder = _encoder_facts(model, weights)
    encode = chain.stage(
        f"{name}/encode",
        {**shown.facts, **encoder},
        lambda to: _encode(chain, model, shown, weights, to),
    )
    stages["encode"] = encode
    if model.probe:
        stages["probe"] = _probe(chain, name, model.probe, shown.background, weights)
    inputs = {
        "encodings": encode.facts(),
        "svm": model.svm,
        "threshold": model.threshold,
        "minimum_cells": model.minimum_cells,
        "cohort": [_facts_of(row) for row in chain.rows],
        "scikit-learn": sklearn.__version__,
    }
    stages["evaluate"] = chain.stage(
        f"{name}/evaluate", inputs, lambda to: _evaluate(chain, name, encode, to)
    )
    stages["fit"] = chain.stage(f"{name}/fit", inputs, lambda to: _fit(chain, model, encode, to))
    sentences = stages["evaluate"].folder / SENTENCES
    return TrainedModel(
        weights=weights.resolve(),
        classifier=(stages["fit"].folder / CLASSIFIER).resolve(),
        background=background,
        performance=sentences.read_text(encoding="utf-8"),
        stages={stage: done.facts() for stage, done in stages.items()},
    )


def _facts_of(row: CohortCase) -> dict[str, Any]:
    """What a cohort's row says, wherever it stands and its sample lies."""
    facts = asdict(row) | {"path": row.path.name}
    del facts["written"]
    return facts


def _shown_cells(
    chain: Chain,
    name: str,
    masks: Stage | None,
    cells: dict[str, Any],
    stages: dict[str, Stage],
) -> tuple[Background | None, _Shown]:
    """The bare slide that each case is brought to, and what the model then learns from.

    Args:
        stages: those that are run here are added to it.
    """
    background = None
    if chain.spec.models[name].normalise == "background":
        stages["background"] = _background(chain, name, cells)
        background = _background_in(stages["background"])
    if masks is None:
        facts = {**cells, "background": background}
        return background, _Shown(cohort=chain.cohort, background=background, facts=facts)
    stages["isolate"] = isolated = isolate_cells(chain, name, masks, background, cells)
    facts = {"isolated": isolated.facts()}
    return background, _Shown(cohort=isolated.folder / COHORT, background=None, facts=facts)


def _background(chain: Chain, name: str, cells: dict[str, Any]) -> Stage:
    classes = chain.spec.models[name].cells

    def make(to: Path) -> None:
        rows = cases_of_split(chain.rows, chain.spec.fit)
        found = background_of_cohort(rows, classes, ReadOptions())
        write_atomically(to / _BACKGROUND, msgspec.json.encode(found))

    inputs = {**cells, "classes": classes, "split": chain.spec.fit}
    return chain.stage(f"{name}/background", inputs, make)


def _background_in(stage: Stage) -> Background:
    return msgspec.json.decode((stage.folder / _BACKGROUND).read_bytes(), type=Background)


def _pretrain(chain: Chain, name: str, shown: _Shown) -> Stage:
    model, talk = chain.spec.models[name], chain.talk
    options = model.pretrain_options()
    if options.start:
        options = replace(options, start=str(chain.folder / options.start))
    asked = asdict(options)
    if options.start:
        asked["start"] = sha256_of_file(Path(options.start))
    inputs = {"options": asked, "classes": model.cells, "split": chain.spec.fit}
    wanted = WantedCells(
        classes=model.cells,
        canvas_px=model.canvas_px,
        skip_unreadable=True,
        background=shown.background,
        reading=ReadOptions(),
    )

    def make(to: Path) -> None:
        rows = cases_of_split(read_cohort(shown.cohort), chain.spec.fit)
        stack, lost = stack_cells(rows, wanted)
        for text in lost:
            talk.say(f"not used: {text}")
        pretrain_into(to, stack, options, unreadable=lost, progress=talk.progress, say=talk.say)
        (to / CHECKPOINT).unlink()

    more = {"canvas_px": model.canvas_px, **torch_facts()}
    return chain.stage(f"{name}/pretrain", {**shown.facts, **inputs, **more}, make, resumes=True)


def _encoder_facts(model: ChainModel, weights: Path) -> dict[str, Any]:
    """What encodings depend on besides the cells."""
    words = ("cells", "backbone", "preprocessing", "canvas_px", "larger")
    facts = {word: msgspec.to_builtins(getattr(model, word)) for word in words}
    return facts | {"weights": sha256_of_file(weights), "onnxruntime": onnxruntime.__version__}


def _encode(chain: Chain, model: ChainModel, shown: _Shown, weights: Path, to: Path) -> None:
    wanted = Wanted(
        cells=model.cells,
        canvas_px=model.canvas_px,
        larger=model.larger,
        background=shown.background,
        reading=ReadOptions(),
    )
    encoded = encode_file(
        shown.cohort,
        wanted,
        encoder=model.backbone,
        weights=weights.resolve(),
        preprocessing=model.preprocessing,
        split=None,
        say=chain.talk.say,
    )
    for text in encoded.unreadable:
        chain.talk.say(f"not used: {text}")
    write_encodings(encoded.found, to)


def _probe(
    chain: Chain, name: str, asked: Probe, background: Background | None, weights: Path
) -> Stage:
    model, cohort = chain.spec.models[name], chain.folder / asked.cohort
    cells = {"cells": cells_digest(read_cohort(cohort)), "background": background}
    shown = _Shown(cohort=cohort, background=background, facts=cells)
    inputs = {**cells, "groups": asked.groups, **_encoder_facts(model, weights)}

    def make(to: Path) -> None:
        _encode(chain, model, shown, weights, to)
        write_probe(_read(to), asked.groups, name, to)

    return chain.stage(f"{name}/probe", inputs, make)


def _evaluate(chain: Chain, name: str, encode: Stage, to: Path) -> None:
    model, positive = chain.spec.models[name], chain.spec.positive
    fit, judge = (_patients(chain, encode, s) for s in (chain.spec.fit, chain.spec.judge))
    if not judge:
        raise InputError(f"no patient of the split {chain.spec.judge!r} has a cell for {name!r}")
    options = EvaluationOptions(
        positive=positive,
        minimum_cells=model.minimum_cells,
        note="" if model.weights else _SEEN,
        svm=model.svm_options(),
        threshold=model.threshold,
    )
    found = evaluate_patients(fit, options, chain.rows, judge)
    write_report(found, (*fit, *judge), f"{chain.spec.name}, {name}", to)
    write_atomically(to / SENTENCES, " ".join(evaluation_sentences(found)).encode())


def _fit(chain: Chain, model: ChainModel, encode: Stage, to: Path) -> None:
    known = with_enough_cells(_patients(chain, encode, chain.spec.fit), model.minimum_cells)
    patients = against_others(known, chain.spec.positive)
    classifier = fit_classifier(patients, model.svm_options())
    check_calibrated(classifier)
    write_atomically(to / CLASSIFIER, skops.io.dumps(classifier))


def _patients(chain: Chain, encode: Stage, split: str) -> Sequence[Patient]:
    splits = {row.patient: row.split for row in chain.rows}
    everyone = patients_from_encodings(_read(encode.folder))
    return [patient for patient in everyone if splits[patient.name] == split]


def _read(folder: Path) -> Encodings:
    return read_encodings(folder / "encodings.npz", folder / "metadata.csv")
