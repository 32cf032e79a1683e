"""Commands that work on encodings: `probe` and `evaluate` judge them, `fit` fits the SVM."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from training.commands import names_from_words
from training.commands.covariate_options import asked_covariates, covariate_options
from training.commands.learning_options import minimum_cells_option
from training.commands.svm_options import classifier_options, draw_options, svm_from_options
from vexas_edge.commands.console import echo, echo_lines

_PATH = click.Path(path_type=Path)


def _encodings_arguments(command: Callable[..., Any]) -> Callable[..., Any]:
    metadata = click.argument("metadata", type=_PATH, required=False)
    return click.argument("encodings", type=_PATH)(metadata(command))


_GROUPS = click.option(
    "--groups",
    help="Groups to compare, separated by commas, the positive one last.  [default: all]",
)


@click.command()
@_encodings_arguments
@_GROUPS
@click.option(
    "-o",
    "out",
    type=_PATH,
    help="Folder for probe.json, probe.png and umap.png; without it the table is only printed.",
)
def probe(encodings: Path, metadata: Path | None, groups: str | None, out: Path | None) -> None:
    """Measure how well encodings tell each pair of groups apart, cell by cell.

    ENCODINGS is an .npz or .npy file; METADATA is the CSV whose column GROUP says which group each
    row is of. Without METADATA, metadata.csv beside ENCODINGS is read.

    \b
    Example:
      vexas-workshop train probe encodings/encodings.npz -o probe
    """
    from training.encodings.probe import probe_pairs
    from training.encodings.probe_report import lines_from_probes, write_probe
    from training.encodings.table import read_encodings

    found = read_encodings(encodings, metadata or encodings.with_name("metadata.csv"))
    order = names_from_words(groups)
    if out:
        probes = write_probe(found, order, encodings.parent.name, out)
    else:
        probes = probe_pairs(found.encodings, found.groups, order or None)
    echo_lines(lines_from_probes(probes))


@click.command()
@_encodings_arguments
@click.option("--positive", required=True, help="The group whose probability is the score.")
@minimum_cells_option
@classifier_options
@draw_options
@click.option(
    "--cohort",
    type=_PATH,
    help="A cohort.csv whose further columns, such as age, are each judged alone beside the score.",
)
@covariate_options
@click.option(
    "--folds",
    type=click.IntRange(2, 100),
    default=5,
    show_default=True,
    help="Folds of patients; each is judged by an SVM fitted on the others.",
)
@click.option(
    "--leave-one-out",
    is_flag=True,
    help="Also judge each patient by an SVM fitted on all the others; slow.",
)
@click.option(
    "--figures",
    is_flag=True,
    help="Add the paper's figure of each comparison, a map of aggregates (UMAP); slow.",
)
@click.option("--title", default="Evaluation", show_default=True, help="Title of report.html.")
@click.option(
    "-o",
    "out",
    type=_PATH,
    required=True,
    help="Folder for report.html, report.json and card.md.",
)
def evaluate(
    encodings: Path,
    metadata: Path | None,
    cohort: Path | None,
    figures: bool,
    title: str,
    out: Path,
    **given: Any,
) -> None:
    """Judge encodings, with an SVM on them, by patient, and write a report.

    ENCODINGS is an .npz or .npy file; METADATA is a CSV with one row per encoding, whose column
    GROUP is the patient's label. Without METADATA, metadata.csv beside ENCODINGS is read. C and
    gamma are chosen inside the folds, unless --fixed is given. With --covariate, the score, the
    covariates and both together are judged side by side in covariates.html, with all that is
    chosen, thresholds too, chosen on the patients to fit on.

    \b
    Example:
      vexas-workshop train evaluate encodings/encodings.npz --positive vexas \\
        --cohort drawn/cohort.csv -o report
    """
    from training.patients.evaluation import evaluate_patients as judged
    from training.patients.report import evaluation_sentences, paper_lines, write_report
    from vexas_edge.smear.cohort import read_cohort

    patients = _patients(encodings, metadata)
    rows = read_cohort(cohort) if cohort else ()
    beside_lines = _judge_beside(patients, rows, title, out, given)
    options = _evaluation_options(given)
    result = judged(patients, options, rows)
    write_report(result, patients, title, out, figures=figures)
    echo_lines(evaluation_sentences(result))
    echo_lines(["Over aggregates, as the paper prints it:", *paper_lines(result), *beside_lines])
    echo(f"report: {out / 'report.html'}")


def _patients(encodings: Path, metadata: Path | None) -> Any:
    from training.encodings.table import read_encodings
    from training.patients.aggregates import patients_from_encodings

    found = read_encodings(encodings, metadata or encodings.with_name("metadata.csv"))
    return patients_from_encodings(found)


def _evaluation_options(given: dict[str, Any]) -> Any:
    from training.patients.evaluation import EvaluationOptions

    words = ("positive", "minimum_cells", "folds", "leave_one_out")
    own = {word: given[word] for word in words}
    svm = {word: value for word, value in given.items() if word not in own}
    return EvaluationOptions(**own, svm=svm_from_options(**svm))


def _judge_beside(
    patients: Any, rows: Any, title: str, out: Path, given: dict[str, Any]
) -> list[str]:
    """Judge the score beside covariates, if any of this was asked for; returns lines about it.

    Args:
        given: all options, from which those of covariates are taken out.
    """
    from training.judging.page import write_beside
    from training.judging.words import lines_from_beside
    from training.patients.learning import svm_beside

    names, missing = given.pop("covariates"), given.pop("missing")
    asked = asked_covariates(names, missing, rows[0].covariates if rows else ())
    halved = given.pop("halvings")
    if not (asked or halved):
        return []
    beside = svm_beside(patients, _evaluation_options(given), rows, asked, halved=halved)
    write_beside(beside, title, out)
    return lines_from_beside(beside)


@click.command()
@_encodings_arguments
@click.option(
    "--positive",
    help="Tell this group from all others joined into one.  [default: keep all groups]",
)
@classifier_options
@draw_options
@click.option("-o", "out", type=_PATH, required=True, help="The .skops file to write.")
def fit(
    encodings: Path,
    metadata: Path | None,
    positive: str | None,
    out: Path,
    **svm: Any,
) -> None:
    """Fit the SVM on all patients, as the classifier of a spec for `vexas-workshop export`.

    ENCODINGS is an .npz or .npy file; METADATA is a CSV with one row per encoding, whose column
    GROUP is the patient's label. Without METADATA, metadata.csv beside ENCODINGS is read. C and
    gamma are chosen on folds of patients, unless --fixed is given.

    \b
    Example:
      vexas-workshop train fit encodings/encodings.npz --positive vexas -o pn.skops
    """
    import skops.io

    from training.patients.classifier import check_calibrated, fit_classifier
    from training.patients.phenotype import against_others
    from vexas_edge.errors import InputError
    from vexas_edge.files import write_atomically

    patients = _patients(encodings, metadata)
    if positive:
        groups = {patient.group for patient in patients}
        if positive not in groups:
            raise InputError(
                f"no patient is in the group {positive!r}; the groups are "
                f"{', '.join(sorted(groups))}"
            )
        patients = against_others(patients, positive)
    classifier = fit_classifier(patients, svm_from_options(**svm))
    check_calibrated(classifier)
    write_atomically(out, skops.io.dumps(classifier))
    echo(f"{out}: fitted on {len(patients)} patients, classes {', '.join(classifier.classes_)}")
