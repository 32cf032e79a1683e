"""Judges the encoders that `contrastive.py` made, frozen and pretrained ones on the same patients.

    python examples/lymphocytosis/contrastive_figures.py OUT --lines FILE.jsonl

An SVM is fitted on each fold's encodings by the VEXAS recipe; its threshold is chosen on the
patients to fit on. A line for each encoder and each seed of the draws is appended to FILE.jsonl.
Those that are there already are passed over, as are encoders that do not have all folds yet.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from contrastive import ENCODINGS, FROZEN
from run import POSITIVE

from calibration.gate.separation import resampled_aucs, roc_auc
from training.encodings.table import read_encodings
from training.judging.comparison import balanced_accuracy, bounded, resampled_accuracies
from training.judging.joining import IMAGE
from training.judging.nested import judged_fold
from training.patients.aggregates import DrawOptions, patients_from_encodings
from training.patients.classifier import SvmOptions
from training.patients.learning import SvmLearning, subjects_from_patients
from vexas_edge.commands.console import ProgressLine, run_command_line
from vexas_edge.errors import InputError
from vexas_edge.smear.cohort import read_cohort


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """What all folds say, in the order of names.

    probabilities: float64 (P,).
    calls: bool (P,), by thresholds that were chosen on the folds' patients to fit on.
    """

    truth: np.ndarray
    probabilities: np.ndarray
    calls: np.ndarray


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("out", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--lines", type=click.Path(path_type=Path), required=True, help="The .jsonl file.")
@click.option("--draw-seeds", default="0,1,2,3", show_default=True, help="Of the aggregates.")
@click.option("--draws", type=click.IntRange(1), default=100, show_default=True)
def cli(out: Path, lines: Path, draw_seeds: str, draws: int) -> None:
    """Judge what is in OUT, the folder of `contrastive.py`, and append figures to a file of lines.

    A line holds ROC-AUC and balanced accuracy of one encoder by one seed of the draws, and their
    paired differences to the encoder as it started, with intervals by patient.
    """
    folds = sorted(out.glob("fold-*"))
    check_folds(folds)
    names = sorted({to.name for fold in folds for to in fold.iterdir() if to.is_dir()})
    whole = [n for n in names if all((fold / n / ENCODINGS).exists() for fold in folds)]
    written = lines.read_text(encoding="utf-8").splitlines() if lines.exists() else []
    keys = ("encoder", "folds", "draws", "draw_seed")
    known = {tuple(line[key] for key in keys) for line in map(json.loads, written)}
    progress = ProgressLine("judging", unit="encoders")
    for seed in map(int, draw_seeds.split(",")):
        frozen = None
        for done, name in enumerate([FROZEN, *(n for n in whole if n != FROZEN)], start=1):
            facts = dict(zip(keys, (name, len(folds), draws, seed), strict=True))
            if tuple(facts.values()) in known:
                continue
            options = SvmOptions(draws=DrawOptions(draws=draws, seed=seed))
            frozen = frozen or pooled(folds, FROZEN, options)
            found = frozen if name == FROZEN else pooled(folds, name, options)
            with lines.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({**facts, **figures_of(found, frozen)}) + "\n")
            progress(f"seed {seed}", done, len(whole))


def check_folds(folds: Sequence[Path]) -> None:
    """Check that each patient is judged in one of the folds, by encoders that are all there.

    Raises:
        InputError: a fold is missing.
    """
    rows = [row for fold in folds for row in read_cohort(fold / "cohort.csv")]
    left = {row.patient for row in rows} - {row.patient for row in rows if row.split == "judge"}
    if not folds or left:
        raise InputError(
            f"{len(folds)} folds are there, in which {len(left)} patients are not judged"
        )
    for fold in folds:
        if not (fold / FROZEN / ENCODINGS).exists():
            raise InputError(f"{fold} has no encodings by the encoder as it is")


def pooled(folds: Sequence[Path], name: str, options: SvmOptions) -> Pooled:
    """The patients of all folds, each judged by the SVM of its own fold's encoder."""
    found: dict[str, tuple[bool, float, bool]] = {}
    for folder in folds:
        rows = {row.patient: row for row in read_cohort(folder / "cohort.csv")}
        encodings = read_encodings(folder / name / ENCODINGS, folder / name / "metadata.csv")
        patients = patients_from_encodings(encodings)
        fit, judge = (
            np.flatnonzero([rows[patient.name].split == split for patient in patients])
            for split in ("fit", "judge")
        )
        subjects = subjects_from_patients(patients, POSITIVE, {})
        learn = SvmLearning(patients=patients, positive=POSITIVE, options=options)
        verdicts = judged_fold(subjects, (), learn(fit), (fit, judge)).kinds[IMAGE]
        for row, probability, call in zip(
            judge, verdicts.probabilities, verdicts.calls, strict=True
        ):
            found[patients[row].name] = (bool(subjects.truth[row]), float(probability), bool(call))
    truth, probabilities, calls = zip(*(found[name] for name in sorted(found)), strict=True)
    return Pooled(
        truth=np.array(truth), probabilities=np.array(probabilities), calls=np.array(calls)
    )


def figures_of(found: Pooled, frozen: Pooled) -> dict[str, Any]:
    """The figures of one encoder, and how much better than the encoder at its start it is."""
    truth = found.truth
    auc, auc_before = (roc_auc(one.probabilities, truth) for one in (found, frozen))
    accuracy, accuracy_before = (balanced_accuracy(one.calls, truth) for one in (found, frozen))
    aucs, aucs_before = (resampled_aucs(one.probabilities, truth) for one in (found, frozen))
    accuracies, accuracies_before = (
        resampled_accuracies(one.calls, truth) for one in (found, frozen)
    )
    return {
        "patients": len(truth),
        "roc_auc": asdict(bounded(auc, aucs)),
        "balanced_accuracy": asdict(bounded(accuracy, accuracies)),
        "roc_auc_gained": asdict(bounded(auc - auc_before, aucs - aucs_before)),
        "balanced_accuracy_gained": asdict(
            bounded(accuracy - accuracy_before, accuracies - accuracies_before)
        ),
    }


if __name__ == "__main__":
    run_command_line(cli)
