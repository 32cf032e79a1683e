"""Commands that take encodings: `probe`, `evaluate`, `fit`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from training.commands import names_from_words

_PATH = click.Path(path_type=Path)


def _encodings_arguments(command: Callable[..., Any]) -> Callable[..., Any]:
    metadata = click.argument("metadata", type=_PATH, required=False)
    return click.argument("encodings", type=_PATH)(metadata(command))


def _svm_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option("--C", "C", type=float, default=1.0, show_default=True),
        click.option(
            "--gamma",
            type=float,
            default=1.0,
            show_default=True,
            help="As a multiple of scikit-learn's `scale`.",
        ),
        click.option("--fixed", is_flag=True, help="Take C and gamma as given, choose none."),
        click.option("--balanced", is_flag=True, help="Weigh groups by their share."),
        click.option(
            "--calibration",
            type=click.Choice(("patients", "libsvm")),
            default="patients",
            show_default=True,
            help="Probabilities from folds of patients, or libsvm's own as in the paper.",
        ),
        click.option("--draws", type=click.IntRange(1, 10_000), default=100, show_default=True),
        click.option("--draw-size", type=click.IntRange(1, 1000), default=10, show_default=True),
        click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
    )
    for option in reversed(options):
        command = option(command)
    return command


_GROUPS = click.option(
    "--groups", help="The groups' names with commas between them; the last is the positive one."
)


@click.command()
@_encodings_arguments
@_GROUPS
@click.option("-o", "out", type=_PATH, help="A folder for probe.json and probe.png.")
def probe(encodings: Path, metadata: Path | None, groups: str | None, out: Path | None) -> None:
    """How well ENCODINGS (.npz, .npy) tell the groups of cells in METADATA (.csv) apart, in pairs.

    Without METADATA, metadata.csv beside ENCODINGS is read.
    """
    from training.encodings.probe import probe_pairs
    from training.encodings.probe_report import text_from_probes, write_probe
    from training.encodings.table import read_encodings

    found = read_encodings(encodings, metadata or encodings.with_name("metadata.csv"))
    order = names_from_words(groups)
    if out:
        probes = write_probe(found, order, encodings.parent.name, out)
    else:
        probes = probe_pairs(found.encodings, found.groups, order or None)
    click.echo(text_from_probes(probes))


@click.command()
@_encodings_arguments
@click.option("--positive", required=True, help="The group that scores are for.")
@click.option("--minimum-cells", type=click.IntRange(1), default=1, show_default=True)
@_svm_options
@click.option("--cohort", type=_PATH, help="cohort.csv, whose further columns are judged alone.")
@click.option("--folds", type=click.IntRange(2, 100), default=5, show_default=True)
@click.option("--leave-one-out", is_flag=True, help="Leave out one patient at a time, too; slow.")
@click.option("--title", default="Evaluation", show_default=True)
@click.option("-o", "out", type=_PATH, required=True, help="A folder for the report.")
def evaluate(
    encodings: Path,
    metadata: Path | None,
    positive: str,
    minimum_cells: int,
    cohort: Path | None,
    folds: int,
    leave_one_out: bool,
    title: str,
    out: Path,
    **svm: Any,
) -> None:
    """Judge ENCODINGS and their SVM by patient: report.html, report.json and card.md.

    GROUP in METADATA is a patient's label. C and gamma are chosen inside the folds, unless --fixed.
    """
    from training.encodings.table import read_encodings
    from training.patients.aggregates import patients_from_encodings
    from training.patients.evaluation import EvaluationOptions
    from training.patients.evaluation import evaluate_patients as judged
    from training.patients.report import evaluation_sentences, write_report
    from vexas_edge.smear.cohort import read_cohort

    found = read_encodings(encodings, metadata or encodings.with_name("metadata.csv"))
    patients = patients_from_encodings(found)
    options = EvaluationOptions(
        positive=positive,
        minimum_cells=minimum_cells,
        svm=_svm(**svm),
        folds=folds,
        leave_one_out=leave_one_out,
    )
    result = judged(patients, options, read_cohort(cohort) if cohort else ())
    write_report(result, patients, title, out)
    for sentence in evaluation_sentences(result):
        click.echo(sentence)
    click.echo(f"report: {out / 'report.html'}")


@click.command()
@_encodings_arguments
@click.option("--positive", help="Join all other groups into one.  [default: keep all groups]")
@_svm_options
@click.option("-o", "out", type=_PATH, required=True, help="The .skops file to write.")
def fit(
    encodings: Path,
    metadata: Path | None,
    positive: str | None,
    out: Path,
    **svm: Any,
) -> None:
    """Fit the SVM on all patients of ENCODINGS, for `vexas-workshop export`.

    C and gamma are chosen by folds of patients, unless --fixed.
    """
    import skops.io

    from training.encodings.table import read_encodings
    from training.patients.aggregates import patients_from_encodings
    from training.patients.classifier import check_calibrated, fit_classifier
    from training.patients.phenotype import against_others
    from vexas_edge.errors import InputError
    from vexas_edge.files import write_atomically

    found = read_encodings(encodings, metadata or encodings.with_name("metadata.csv"))
    patients = patients_from_encodings(found)
    if positive:
        if positive not in found.groups:
            raise InputError(f"no patient is of the group {positive!r}")
        patients = against_others(patients, positive)
    classifier = fit_classifier(patients, _svm(**svm))
    check_calibrated(classifier)
    write_atomically(out, skops.io.dumps(classifier))
    click.echo(
        f"{out}: fitted on {len(patients)} patients, classes {', '.join(classifier.classes_)}"
    )


def _svm(*, draws: int, draw_size: int, seed: int, fixed: bool, **asked: Any) -> Any:
    from training.patients.aggregates import DrawOptions
    from training.patients.classifier import SvmOptions

    of_draws = DrawOptions(draws=draws, size=draw_size, seed=seed)
    return SvmOptions(choose=not fixed, draws=of_draws, **asked)
