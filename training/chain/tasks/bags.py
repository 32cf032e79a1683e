"""The work of the stage `bags`: patients are learnt from, whose cells have no labels."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from calibration.gate.separation import separation
from export.bags.bag_file import load_bag
from training.bags.held_out import held_out_scores
from training.bags.judging import MODEL, TRAININGS, judged_and_trained, read_bags
from training.bags.trainer import BagOptions
from training.chain.inputs import SENTENCES, GivenCells, GivenFile
from training.judging.beside import Beside, BesideOptions
from training.judging.page import write_beside
from training.judging.words import KIND_WORDS, text_of_bounded
from training.pretraining.cell_stack import WantedCells
from training.talk import Talk
from vexas_edge.cells.background import Background
from vexas_edge.errors import InputError
from vexas_edge.files import write_atomically
from vexas_edge.smear.cohort import CohortCase
from vexas_edge.smear.options import ReadOptions

BAG = MODEL


@dataclass(frozen=True, kw_only=True)
class BagInputs:
    """The patients and how they are learnt from.

    cells: of all patients, with labels and the covariates that are asked for.
    fit, judge: the splits that is learnt from, and that is held out.
    options: with the mere name of the weights to start from.
    start: these weights; None for random ones.
    title: of the report.
    libraries: what weights depend on besides.
    """

    cells: GivenCells
    fit: str
    judge: str
    positive: str
    canvas_px: int
    background: Background | None
    minimum_cells: int
    options: BagOptions
    start: GivenFile | None
    how: BesideOptions
    title: str
    libraries: dict[str, Any]


def make_bags(to: Path, given: BagInputs, talk: Talk) -> None:
    """Write the bag, its report, and `sentences.txt`; goes on with trainings in the folder.

    Raises:
        InputError: no patient to judge has cells enough, or there are too few patients.
    """
    wanted = WantedCells(
        classes=given.cells.classes,
        canvas_px=given.canvas_px,
        skip_unreadable=True,
        background=given.background,
        reading=ReadOptions(),
    )
    options = replace(given.options, start=str(given.start.path) if given.start else None)
    learnt, held_out = (
        read_bags(_of_split(given.cells.rows, split), wanted, given.minimum_cells, talk.say)
        for split in (given.fit, given.judge)
    )
    groups = dict(zip(held_out.patients, held_out.groups, strict=True))
    if len({group == given.positive for group in groups.values()}) < 2:
        raise InputError(f"{given.title}: the patients of {given.judge!r} are of one group")
    beside = judged_and_trained(learnt, given.positive, given.how, options, to, talk.say)
    write_beside(beside, given.title, to)
    scores = held_out_scores(load_bag(to / BAG), held_out)
    positive = np.array([groups[name] == given.positive for name in scores], bool)
    text = f"{_by_folds(beside)} {_on_held_out(scores, positive, len(held_out))}"
    write_atomically(to / SENTENCES, text.encode())
    shutil.rmtree(to / TRAININGS)


def _of_split(rows: Sequence[CohortCase], split: str) -> tuple[CohortCase, ...]:
    return tuple(row for row in rows if row.split == split)


def _on_held_out(scores: dict[str, float], positive: np.ndarray, n: int) -> str:
    """How well the patients held out are told apart who have a score, of `n` in all."""
    n_more = n - len(scores)
    without = f" ({n_more} more have none, as a covariate is missing or out of range)"
    said = f"On {len(scores)} patients held out with a score{without if n_more else ''}: "
    if positive.all() or not positive.any():
        return f"{said}they are of one group."
    found = separation(np.array(list(scores.values())), positive)
    return f"{said}ROC-AUC {found.roc_auc:.3f} ({found.low:.3f} to {found.high:.3f})."


def _by_folds(found: Beside) -> str:
    kinds = [
        f"{KIND_WORDS[kind.kind]} ROC-AUC {kind.separation.roc_auc:.3f} "
        f"({kind.separation.low:.3f} to {kind.separation.high:.3f}), balanced accuracy "
        f"{text_of_bounded(kind.balanced_accuracy)}"
        for kind in found.nested.kinds
    ]
    return f"By {found.nested.how}: {'; '.join(kinds)}."
