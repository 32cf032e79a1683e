"""Makes a bundle from a cohort of real cells and a trained encoder, and judges it by patient.

python examples/lymphocytosis/run.py COHORT_DIR ENCODER_ONNX -o OUT
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from fitting import (
    COHORT,
    Split,
    cohort_split,
    fit_classifiers,
    fold_splits,
    repeated_splits,
    scores_in_process,
)
from patients import aggregates, encode_patients, read_patients
from product import BUNDLE, BundleSource, export_bundle, score_patients, write_sources
from report import Report, text_from_report
from sklearn.svm import SVC

from calibration.gate.separation import roc_auc, separation
from training.judging.comparison import balanced_accuracy
from training.patients.covariates import CovariateAlone, covariate_alone
from vexas_edge.commands.console import run_command_line
from vexas_edge.smear.cohort import CohortCase

POSITIVE = "tumoral"
ENCODER = "encoder.onnx"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is done.

    folds: of all patients.
    repeats: further 60/40 splits.
    patients_per_group: patients used of each split and label; None for all.
    """

    folds: int = 5
    repeats: int = 3
    patients_per_group: int | None = None


QUICK = Plan(folds=2, repeats=1, patients_per_group=6)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A bundle's results for the patients that it was not fitted on, in the order of `Split.judge`.

    scores: float64 (n,).
    calls: whether the score is at least the threshold, bool (n,).
    """

    scores: np.ndarray
    calls: np.ndarray
    threshold: float


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("cohort_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("encoder_onnx", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for bundles, scores and report.json.",
)
@click.option(
    "--repeats",
    type=click.IntRange(0, 100),
    default=Plan.repeats,
    show_default=True,
    help="Number of further 60/40 splits, to show how much a figure depends on the split.",
)
@click.option(
    "--quick", is_flag=True, help="Use few patients and two folds, only to see that it runs."
)
def cli(cohort_dir: Path, encoder_onnx: Path, out: Path, repeats: int, quick: bool) -> None:
    """Fit, export, score and judge a model on the cohort in COHORT_DIR.

    COHORT_DIR holds cohort.csv; ENCODER_ONNX is the encoder as an ONNX file.
    """
    plan = QUICK if quick else Plan(repeats=repeats)
    report = run_example(cohort_dir, encoder_onnx, out, plan)
    text = json.dumps(asdict(report), indent=2)
    (out / "report.json").write_text(text + "\n", encoding="utf-8")
    click.echo(text_from_report(report))
    click.echo(f"\nbundle, scores and report.json: {out}")


def run_example(cohort_dir: Path, encoder_onnx: Path, out: Path, plan: Plan) -> Report:
    """Run the whole example, with all its files in `out`; returns the figures."""
    rows = read_patients(cohort_dir, plan.patients_per_group)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(encoder_onnx, out / ENCODER)
    patients = encode_patients(rows, out / ENCODER)
    _say(f"encoded {sum(len(p.identities) for p in patients)} cells of {len(patients)} patients")
    labels = [row.label for row in rows]
    first, folds = cohort_split(rows), fold_splits(labels, plan.folds)
    repeats = repeated_splits(labels, plan.repeats)
    medians = [aggregates(patient) for patient in patients]
    classifiers = fit_classifiers(medians, labels, [first, *folds, *repeats])
    _say(f"fitted {len(classifiers)} classifiers")
    judged = judge(rows, first, classifiers[0], out)
    out_of_fold = np.empty(len(rows))
    for fold, classifier in zip(folds, classifiers[1:], strict=False):
        out_of_fold[fold.judge] = judge(rows, fold, classifier, out / fold.name).scores
    positive = np.array([label == POSITIVE for label in labels])
    return Report(
        positive=POSITIVE,
        threshold=judged.threshold,
        n_support_vectors=len(classifiers[0].support_vectors_),
        cohort_split=separation(judged.scores, positive[first.judge]),
        balanced_accuracy=balanced_accuracy(judged.calls, positive[first.judge]),
        n_folds=plan.folds,
        out_of_fold=separation(out_of_fold, positive),
        out_of_fold_scores=dict(zip([r.patient for r in rows], out_of_fold.tolist(), strict=True)),
        repeats=_repeated(repeats, classifiers[1 + len(folds) :], medians, positive),
        covariates=_covariates(rows, out_of_fold, positive),
    )


def judge(rows: Sequence[CohortCase], split: Split, classifier: SVC, folder: Path) -> Judged:
    """The results of a bundle, exported by the public command, for the patients it is judged on."""
    fitted_on = [rows[i] for i in split.fit]
    source = BundleSource(
        name=f"lymphocytosis-{split.name}",
        classifier=classifier,
        encoder=ENCODER if split.name == COHORT else f"../{ENCODER}",
        positive=POSITIVE,
        training_data=f"{len(fitted_on)} patients of the lymphocytosis cohort (hal-03032875)",
        parity_cells=fitted_on[0].path,
    )
    write_sources(source, folder)
    export_bundle(folder)
    cases = [rows[i].path for i in split.judge]
    found = score_patients(folder, cases)
    scored = [found[case.name] for case in cases]
    _say(f"scored {len(scored)} patients with {folder / BUNDLE}")
    return Judged(
        scores=np.array([float(row["score"]) for row in scored]),
        calls=np.array([row["call"] == "true" for row in scored]),
        threshold=float(scored[0]["threshold"]),
    )


def _repeated(
    splits: Sequence[Split],
    classifiers: Sequence[SVC],
    medians: Sequence[np.ndarray],
    positive: np.ndarray,
) -> tuple[float, ...]:
    aucs = []
    for split, classifier in zip(splits, classifiers, strict=True):
        scores = scores_in_process(classifier, [medians[i] for i in split.judge], POSITIVE)
        aucs.append(roc_auc(scores, positive[split.judge]))
    return tuple(aucs)


def _covariates(
    rows: Sequence[CohortCase], scores: np.ndarray, positive: np.ndarray
) -> tuple[CovariateAlone, ...]:
    """All columns of the cohort beyond the required ones that can be judged alone."""
    found = [
        covariate_alone(name, [row.covariates[name] for row in rows], scores, positive)
        for name in rows[0].covariates
    ]
    return tuple(covariate for covariate in found if covariate)


def _say(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    run_command_line(cli)
