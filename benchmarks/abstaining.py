"""Does a gate silence the cases that a change would harm, and answer for the others?

    python benchmarks/abstaining.py ../shared/data -o benchmarks/results/abstaining.md

100 patients with lymphocytosis, SqueezeNet on the middle 112 px, every case brought to the training
background. In each of five folds everything is fitted on the other 80 patients alone: background,
classifier, the classifiers of its own inner folds, and the reference; with five seeds of draws.
Changes are tested that no gate was fitted on: strengths in between, pairs of kinds, and the kinds
otherwise made. A changed bag of 16 cells is scored with the draws of the unchanged one. DATA is a
folder with `lymphocytosis/`, `squeezenet11/`, `jhu_discovery/`, `cellavision100/`, `bccd/` and
`cells/`.
"""

import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
from abstaining_rows import Outcome, rows_of
from foreign_bags import bags
from host import host_facts
from judged_folds import Effort, Material, judged_folds
from measured_bags import Measuring, conditions
from sklearn.model_selection import StratifiedKFold

from training.measured.case import MeasuredCase
from training.reference.making import TrainingCase
from vexas_edge.cells.background import Background, middle_background
from vexas_edge.cells.canvas import measured_background
from vexas_edge.errors import InputError
from vexas_edge.smear.cohort import CohortCase, read_cohort, read_row
from vexas_edge.smear.options import ReadOptions

CELL_TYPE = "lymphocyte"
SMALL = Effort(seeds=(0,), folds=2, fit_draws=20, left_out=("focus",))
_OF_GROUP = 25  # patients of each group in a small run; a gate needs 40 in four folds


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("data", type=click.Path(path_type=Path))
@click.option("-o", "out", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    help="Folder that keeps measurements, about 0.6 GB.  [default: in the system's own]",
)
@click.option(
    "--small",
    is_flag=True,
    help="Use few patients, changes and bags, only to see that it runs; not for figures.",
)
def cli(data: Path, out: Path, work: Path | None, small: bool) -> None:
    """Judge the gate on the patients in DATA, and write a table."""
    began = time.perf_counter()
    work = work or Path(tempfile.gettempdir()) / "vexas-edge-abstaining"
    work.mkdir(parents=True, exist_ok=True)
    rows = _rows(data, small=small)
    slide = _background(rows)
    how = Measuring(
        encoder=data / "squeezenet11" / "squeezenet11_notop_gap.onnx",
        background=slide,
        small=small,
        work=work,
    )
    folders = [row.path for row in rows]
    other = list(bags(data, folders, small=small))
    changes = conditions(small=small)
    material = Material(
        cases=_cases(rows, how.patients(folders)),
        raw=_cases(rows, how.as_they_are().clean_patients(folders)),
        groups=[change.group for change in changes],
        families=[change.family for change in changes],
        bags=how.bags(other),
        patients_of_bags=[bag.patient for bag in other],
    )
    folds = judged_folds(material, SMALL if small else Effort())
    outcome = Outcome(rows=rows, changes=changes, bags=other, material=material, folds=folds)
    minutes = (time.perf_counter() - began) / 60, _core_seconds() / 60
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(_page(outcome, slide, minutes, small=small), encoding="utf-8")
    click.echo(f"wrote {out}")


def _rows(data: Path, *, small: bool) -> list[CohortCase]:
    rows = read_cohort(data / "lymphocytosis" / "cohort.csv")
    if not small:
        return list(rows)
    labels = sorted({row.label for row in rows})
    return [r for label in labels for r in [r for r in rows if r.label == label][:_OF_GROUP]]


def _background(rows: Sequence[CohortCase]) -> Background:
    """The training background of every fold, which is the same to the level.

    Raises:
        InputError: it is not; then each fold would need encodings of its own.
    """
    found = []
    for row in rows:
        with read_row(row, ReadOptions(cell_type=CELL_TYPE)) as case:
            slide = measured_background(case, [CELL_TYPE], threads=2)
        if slide is not None:
            found.append(slide)
    labels = [row.label for row in rows]
    splits = StratifiedKFold(5, shuffle=True, random_state=0).split(labels, labels)
    slides = {middle_background([found[place] for place in fitted]) for fitted, _ in splits}
    if len(slides) > 1:
        raise InputError(f"the folds' backgrounds differ: {sorted(slides)}")
    return slides.pop()


def _cases(rows: Sequence[CohortCase], measured: Sequence[MeasuredCase]) -> list[TrainingCase]:
    return [
        TrainingCase(patient=row.patient, sample=row.sample, group=row.label, measured=case)
        for row, case in zip(rows, measured, strict=True)
    ]


def _core_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _page(outcome: Outcome, slide: Background, minutes: tuple[float, float], *, small: bool) -> str:
    facts = host_facts()
    lines = [
        "# When the gate abstains",
        "",
        *(["**A small run, not for figures.**", ""] if small else []),
        *(__doc__ or "").splitlines()[4:],
        "",
        f"The background of each fold's training patients is {slide}. Measured on {facts['cpu']}, "
        f"{facts['cores']} cores, in {minutes[0]:.0f} min ({minutes[1]:.0f} core-minutes, less "
        "what was already in the work folder).",
        "",
        "Harmed: the score moves by over 0.1. Intervals: 95 %, by resampling patients; n counts "
        "cases over all seeds. A bar that is missed is marked.",
        "",
        "| | figure | bar |",
        "|---|---|---|",
        *(row.line() for row in rows_of(outcome)),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    cli()
