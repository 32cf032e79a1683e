"""Does pretraining on cells without labels, from random weights, help to tell patients apart?

    python benchmarks/pretraining.py DATA -o benchmarks/results/pretraining.jsonl

The patients of DATA/lymphocytosis are judged in five folds: for each, the encoder is pretrained and
the SVM fitted on the other folds' patients only. The untrained encoder is judged beside it.
"""

import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import sklearn
import torch
from host import host_facts
from lines import add_line, lines_out
from torch import Tensor
from torch.nn import functional

from calibration.gate.separation import roc_auc, separation
from export.backbones import build_backbone
from export.preprocessing import preprocessing_named
from training.judging.folds import fold_indices
from training.patients.aggregates import DrawOptions, Patient
from training.patients.classifier import SvmOptions, fit_classifier, positive_probability
from training.pretraining.batches import BatchOptions
from training.pretraining.cell_stack import CellStack, WantedCells, stack_cells
from training.pretraining.pace import PaceOptions
from training.pretraining.pixels import encode_pixels
from training.pretraining.trainer import Pretraining, PretrainOptions
from training.pretraining.views import ViewOptions
from vexas_edge.smear.cohort import read_cohort
from vexas_edge.smear.options import ReadOptions

CELL_TYPE, POSITIVE, FOLDS = "lymphocyte", "tumoral", 5
NUCLEUS_BELOW = 110  # green level, of 255, below which a pixel may be nucleus
MIDDLE = 0.12  # radius of the disc in which the nucleus is looked for, over the image's side
TARGET = ">= 0.85, and >= 0.15 above the same network untrained, in <= 120 core-minutes"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is measured.

    canvas_px: the side to which images are cropped.
    shrink: the factor by which cells are made smaller.
    surroundings: how much is kept around the nucleus, in px of the smaller cell; None for all.
    svm: the paper's aggregates and probabilities, with C and gamma chosen on inner folds.
    """

    pretraining: PretrainOptions
    canvas_px: int = 112
    shrink: int = 2
    surroundings: int | None = None
    svm: SvmOptions = field(default_factory=lambda: SvmOptions(choose=True, calibration="libsvm"))


# The paper's loss and views, but a small network and larger batches and rates, with which learning
# from random weights takes minutes. The paper's cells are isolated. `cut` and `full` remove most
# red cells, by which views would match too easily; `whole` leaves them. `cut` and `whole` halve the
# cells' size; `full` has few patients in a batch, whose stain then helps less.
_FROM_NOTHING = PretrainOptions(
    backbone="compact", preprocessing="keras-tf", views=ViewOptions(crop_px=32)
)
_PACE = PaceOptions(schedule="cosine", rate=2e-3, warm_up=1, epochs=40)
TRIALS = {
    "full": Trial(
        shrink=1,
        surroundings=14,
        pretraining=replace(
            _FROM_NOTHING,
            views=ViewOptions(crop_px=64),
            batch=BatchOptions(size=64, patients=4),
            temperature=0.2,
            pace=replace(_PACE, epochs=12),
        ),
    ),
    "cut": Trial(
        surroundings=7,
        pretraining=replace(
            _FROM_NOTHING, batch=BatchOptions(size=64), temperature=0.1, pace=_PACE
        ),
    ),
    "whole": Trial(
        pretraining=replace(
            _FROM_NOTHING, batch=BatchOptions(size=128), pace=replace(_PACE, epochs=12)
        ),
    ),
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("data", type=click.Path(path_type=Path))
@lines_out
@click.option(
    "--trial",
    type=click.Choice(list(TRIALS)),
    default="cut",
    show_default=True,
    help="Which settings to measure.",
)
@click.option(
    "--seed", default=0, show_default=True, help="Seed of first weights, batches and views."
)
@click.option("--threads", default=1, show_default=True, help="CPU threads to use.")
@click.option("--quick", is_flag=True, help="Learn for one epoch, only to see that it runs.")
def cli(data: Path, out: Path, trial: str, seed: int, threads: int, quick: bool) -> None:
    """Pretrain and judge on the cells in DATA; append one JSON line to the file."""
    torch.set_num_threads(threads)
    named = TRIALS[trial]
    named = replace(named, pretraining=replace(named.pretraining, seed=seed))
    named = _quick(named) if quick else named
    line = pretraining_line(read_cells(data / "lymphocytosis", named), named)
    add_line(out, {**line, "threads": threads, "quick": quick, **_facts()})


def _quick(trial: Trial) -> Trial:
    pace = replace(trial.pretraining.pace, epochs=1)
    svm = SvmOptions(calibration="libsvm", draws=DrawOptions(draws=5))
    return replace(trial, pretraining=replace(trial.pretraining, pace=pace), svm=svm)


def _facts() -> dict[str, Any]:
    facts = host_facts()
    facts["versions"] |= {"torch": torch.__version__, "scikit-learn": sklearn.__version__}
    return facts


def read_cells(cohort_dir: Path, trial: Trial) -> CellStack:
    """All patients' cells, prepared as the trial says."""
    wanted = WantedCells(
        classes=(CELL_TYPE,),
        canvas_px=trial.canvas_px,
        reading=ReadOptions(cell_type=CELL_TYPE),
    )
    cells, _ = stack_cells(read_cohort(cohort_dir / "cohort.csv"), wanted)
    small = functional.avg_pool2d(cells.pixels.permute(0, 3, 1, 2).float(), trial.shrink)
    if trial.surroundings is not None:
        small = small * near_nucleus(small[:, 1:2], trial.surroundings)
    pixels = small.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return replace(cells, pixels=pixels, sizes=cells.sizes // trial.shrink)


def near_nucleus(green: Tensor, distance_px: int) -> Tensor:
    """1 for pixels within `distance_px` of the nucleus in the middle, else 0; float32 (N, 1, S, S).

    The nucleus is the dark area, in green, that is connected with the image's middle.
    """
    side = green.shape[-1]
    dark = (green < NUCLEUS_BELOW).float()
    along = torch.arange(side) - (side - 1) / 2
    middle = along.square()[:, None] + along.square() <= (MIDDLE * side) ** 2
    nucleus = dark * middle
    for _ in range(side // 2):
        nucleus = functional.max_pool2d(nucleus, 3, 1, 1) * dark
    for _ in range(distance_px):
        nucleus = functional.max_pool2d(nucleus, 3, 1, 1)
    return nucleus


def pretraining_line(cells: CellStack, trial: Trial) -> dict[str, Any]:
    """The figures of the trained and the untrained network, over all patients, out of fold."""
    owner = np.array(cells.patients)
    names = np.array(list(dict.fromkeys(cells.patients)))
    labels = np.array([cells.labels[np.flatnonzero(owner == name)[0]] for name in names])
    scores = {"trained": np.empty(len(names)), "untrained": np.empty(len(names))}
    folds, epochs = [], []
    wall, cpu = time.perf_counter(), time.process_time()
    for fit, judge in fold_indices(labels, FOLDS):
        run = Pretraining(cells.of_patients(names[fit].tolist()), trial.pretraining)
        for kind in ("untrained", "trained"):
            if kind == "trained":
                _learn(run)
                epochs.append(len(run.history))
            patients = _patients(run.best_weights(), trial.pretraining, cells, names)
            scores[kind][judge] = _scores(patients, fit, judge, trial.svm)
        folds.append({kind: _auc(of[judge], labels[judge]) for kind, of in scores.items()})
        click.echo(f"fold {len(folds)}: {folds[-1]}", err=True)
    found = {kind: separation(of, labels == POSITIVE) for kind, of in scores.items()}
    return {
        "question": "ROC-AUC by patient of an encoder pretrained from random weights",
        "ratio": round(found["trained"].roc_auc / found["untrained"].roc_auc, 4),
        "roc_auc": {kind: asdict(of) for kind, of in found.items()},
        "gain": round(found["trained"].roc_auc - found["untrained"].roc_auc, 4),
        "target": TARGET,
        "folds": folds,
        "epochs": epochs,
        "n_cells": len(cells),
        "core_minutes": round((time.process_time() - cpu) / 60, 1),
        "wall_minutes": round((time.perf_counter() - wall) / 60, 1),
        "network": trial.pretraining.backbone,
        "trial": asdict(trial),
    }


def _learn(run: Pretraining) -> None:
    while not run.is_over:
        record = run.run_epoch(lambda *_: None)
        click.echo(f"epoch {record['epoch']}: loss {record['loss']:.4f}", err=True)


def _patients(
    weights: dict[str, Tensor], options: PretrainOptions, cells: CellStack, names: np.ndarray
) -> list[Patient]:
    """Every patient, with cells encoded by these weights."""
    encoder = build_backbone(options.backbone)
    encoder.load_state_dict(weights)
    preprocessing = preprocessing_named(options.preprocessing)
    encodings = encode_pixels(encoder, cells.pixels, preprocessing).numpy()
    owner = np.array(cells.patients)
    rows = [np.flatnonzero(owner == name) for name in names]
    return [
        Patient(
            name=name,
            group=cells.labels[own[0]],
            encodings=encodings[own],
            identities=tuple(cells.identities[row] for row in own),
        )
        for name, own in zip(names, rows, strict=True)
    ]


def _scores(
    patients: list[Patient], fit: np.ndarray, judge: np.ndarray, options: SvmOptions
) -> list[float]:
    """The scores of the patients `judge`, mean probability over draws, by an SVM of the others."""
    classifier = fit_classifier([patients[i] for i in fit], options)
    return [
        float(positive_probability(classifier, patients[i], options.draws, POSITIVE).mean())
        for i in judge
    ]


def _auc(scores: np.ndarray, labels: np.ndarray) -> float:
    return round(roc_auc(scores, labels == POSITIVE), 4)


if __name__ == "__main__":
    cli()
