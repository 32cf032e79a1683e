"""The command `reference`, which tells a bundle how its training patients look."""

from pathlib import Path
from typing import Any

import click

from training.commands import console_talk
from training.commands.svm_options import classifier_options, svm_from_options
from vexas_edge.commands.console import echo
from vexas_edge.commands.options import reading_options
from vexas_edge.smear.options import ReadOptions

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("bundle", type=_PATH)
@click.option(
    "--cohort",
    type=_PATH,
    required=True,
    help="A CSV of the patients that the bundle's classifiers were fitted on: "
    "patient,sample,path,label,split.",
)
@click.option(
    "--split",
    default="fit",
    show_default=True,
    help="The cohort's split that they were fitted on.",
)
@classifier_options
@click.option(
    "--work",
    type=_PATH,
    help="Folder that keeps each case's measurements, from which an interrupted run goes on; it "
    "can be deleted afterwards.  [default: the new bundle's name with .reference]",
)
@reading_options
@click.option("-o", "out", type=_PATH, help="Write a new bundle here instead of replacing BUNDLE.")
def reference(
    bundle: Path,
    cohort: Path,
    split: str,
    work: Path | None,
    reading: ReadOptions,
    out: Path | None,
    **svm: Any,
) -> None:
    """Add to BUNDLE (.vxb) how its training patients look, which its domain gate goes by.

    The images of every patient are changed in over 100 ways, as another lamp, stain, focus or file
    format would, and the classifier is fitted anew without each fifth of the patients to see how
    far that moves a score: give the options that `fit` was given. Under 40 patients nothing is
    changed, and the gate knows only the ranges of the training images. Two cores take about 5
    seconds a patient for SqueezeNet and, going by its speed, 4 minutes for VGG16 at 272 px: 7 hours
    for 100 patients.

    \b
    Example:
      vexas-workshop train reference site.vxb --cohort cohort.csv
    """
    from calibration.additions import check_target
    from training.reference.adding import TrainingCohort, add_references, sentence_from_made
    from vexas_edge.bundle.archive import open_bundle
    from vexas_edge.smear.cohort import cases_of_split, read_cohort

    opened = open_bundle(bundle)
    to = check_target(opened, out)
    training = TrainingCohort(
        rows=cases_of_split(read_cohort(cohort), split),
        split=split,
        reading=reading,
        svm=dict.fromkeys(opened.manifest.models, svm_from_options(**svm)),
        work=work or to.with_suffix(".reference"),
    )
    for one in add_references(opened, training, to, console_talk(bundle.name)):
        echo(sentence_from_made(one))
    echo(f"wrote {to}")
