"""Judges the network of bags on a cohort's patients, by folds, and trains it on all of them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from export.bags.bag_file import bag_file
from training.bags.bags import Bags, bags_of
from training.bags.facts import bag_facts
from training.bags.learning import BagLearning
from training.bags.trainer import BagOptions, kept_inputs
from training.judging.beside import Beside, BesideOptions, judged_beside
from training.judging.joining import joining_of
from training.judging.learnt import Subjects
from training.patients.phenotype import other_group
from training.pretraining.cell_stack import WantedCells, stack_cells
from vexas_edge.errors import InputError
from vexas_edge.files import write_atomically
from vexas_edge.smear.cohort import CohortCase
from vexas_edge.talk import Say

MODEL, TRAININGS = "bags.safetensors", "trainings"


def judged_and_trained(
    bags: Bags, positive: str, how: BesideOptions, options: BagOptions, folder: Path, say: Say
) -> Beside:
    """The figures of the network by folds, beside covariates; then it is trained on all patients.

    Args:
        positive: the group whose probability is the score, against all others.
        how: it is judged, except whether the network has the covariates in it.
        folder: it gets the model; its `trainings` are the checkpoints, finished ones of which are
            not repeated.

    Raises:
        UsageError, InputError: the patients, the covariates or the encoder cannot be used.
    """
    if positive not in bags.groups:
        raise InputError(
            f"no patient with enough cells is in the group {positive!r}; the groups are "
            f"{', '.join(sorted(set(bags.groups)))}"
        )
    how = replace(how, joined=options.joined == "head")
    subjects = _subjects(bags, positive)
    (folder / TRAININGS).mkdir(parents=True, exist_ok=True)
    learn = BagLearning(
        bags=bags,
        positive=positive,
        options=options,
        inputs=kept_inputs(options, bags),
        asked=how.asked,
        folder=folder / TRAININGS,
        say=say,
    )
    beside, everybody = judged_beside(subjects, learn, how), np.arange(len(bags))
    taught = learn(everybody)
    joining = joining_of(subjects, how.asked, taught, everybody, joined=how.joined)
    training = taught.training
    facts = bag_facts(bags, positive, taught, joining)
    content = bag_file(facts, training.backbone.state_dict(), training.network.state_dict())
    write_atomically(folder / MODEL, content)
    return beside


def _subjects(bags: Bags, positive: str) -> Subjects:
    others = other_group(bags.groups, positive)
    return Subjects(
        names=bags.patients,
        groups=tuple(group if group == positive else others for group in bags.groups),
        positive=positive,
        covariates=bags.covariates,
    )


def read_bags(
    rows: Sequence[CohortCase], wanted: WantedCells, minimum_cells: int, say: Say
) -> Bags:
    """The patients who have cells enough; who and what is left out is told.

    Raises:
        InputError: nobody has, a case cannot be read, or two patients have a cell in common.
    """
    cells, lost = stack_cells(rows, replace(wanted, apart=True))
    for text in lost:
        say(f"warning: {text}")
    bags = replace(bags_of(cells, rows, minimum_cells), background=wanted.background)
    left_out = sorted({row.patient for row in rows} - set(bags.patients))
    if left_out:
        say(f"warning: not judged, having too few cells: {', '.join(left_out)}")
    say(f"{bags.starts[-1]} cells of {len(bags)} patients")
    return bags
