"""Judges the network of bags on a cohort's patients, by folds, and trains it on all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training.bags.bags import Bags, bags_of
from training.bags.learning import BagLearning
from training.bags.model import bag_model
from training.bags.trainer import BagOptions, kept_inputs
from training.judging.beside import Beside, BesideOptions, judged_beside
from training.judging.joining import joining_of
from training.judging.learnt import Subjects
from training.judging.stacking import AskedCovariate
from training.pretraining.cell_stack import WantedCells, stack_cells
from vexas_edge.errors import InputError
from vexas_edge.files import write_atomically
from vexas_edge.smear.cohort import CohortCase
from vexas_edge.talk import Say

MODEL, TRAININGS = "bags.safetensors", "trainings"
_OTHERS = "others"


@dataclass(frozen=True, kw_only=True)
class BagTask:
    """What is to be told apart, and how that is judged.

    asked: the covariates.
    halved: whether ten halvings are judged beside the folds.
    """

    positive: str
    asked: tuple[AskedCovariate, ...] = ()
    folds: int = 5
    halved: bool = False
    minimum_cells: int = 1


def judged_and_trained(
    rows: Sequence[CohortCase],
    wanted: WantedCells,
    task: BagTask,
    options: BagOptions,
    folder: Path,
    say: Say,
) -> Beside:
    """The figures of the network by folds, beside covariates; then it is trained on all patients.

    Args:
        folder: it gets the model; its `trainings` are the checkpoints, finished ones of which are
            not repeated.

    Raises:
        UsageError, InputError: the cells, the covariates or the encoder cannot be used.
    """
    bags = _read_bags(rows, wanted, task, say)
    subjects = Subjects(
        names=bags.patients,
        groups=tuple(g if g == task.positive else _OTHERS for g in bags.groups),
        positive=task.positive,
        covariates=bags.covariates,
    )
    trainings = folder / TRAININGS
    trainings.mkdir(parents=True, exist_ok=True)
    learn = BagLearning(
        bags=bags,
        positive=task.positive,
        options=options,
        inputs=kept_inputs(options, bags),
        asked=task.asked,
        folder=trainings,
        say=say,
    )
    joined = options.joined == "head"
    how = BesideOptions(asked=task.asked, folds=task.folds, halved=task.halved, joined=joined)
    beside = judged_beside(subjects, learn, how)
    everybody = np.arange(len(bags))
    taught = learn(everybody)
    joining = joining_of(subjects, task.asked, taught, everybody, joined=joined)
    write_atomically(folder / MODEL, bag_model(task.positive, taught, joining).file())
    return beside


def _read_bags(rows: Sequence[CohortCase], wanted: WantedCells, task: BagTask, say: Say) -> Bags:
    """The patients who have cells enough; what is left out is told."""
    cells, lost = stack_cells(rows, replace(wanted, apart=True))
    for text in lost:
        say(f"warning: {text}")
    bags = bags_of(cells, rows, task.minimum_cells)
    left_out = sorted({row.patient for row in rows} - set(bags.patients))
    if left_out:
        say(f"warning: not judged, having too few cells: {', '.join(left_out)}")
    if task.positive not in bags.groups:
        raise InputError(
            f"no patient with enough cells is in the group {task.positive!r}; the groups are "
            f"{', '.join(sorted(set(bags.groups)))}"
        )
    say(f"{bags.starts[-1]} cells of {len(bags)} patients")
    return bags
