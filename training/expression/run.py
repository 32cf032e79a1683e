"""One run of `vexas-workshop train expression`: cells are judged, and all of them learnt from."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from training.expression.baselines import LearnExpression, baseline_learners
from training.expression.bundling import BundleOptions, familiar_of, for_positive, write_parts
from training.expression.cells import ExpressionCells
from training.expression.judging import JudgedExpression, expression_folds, judge_expression
from training.expression.learning import ExpressionLearning, LearntExpression
from training.expression.options import ExpressionOptions, Unit
from training.expression.report import ExpressionReport, write_expression
from training.expression.zero_shot import ZeroShotOptions, judge_zero_shot
from training.judging.folds import Fold
from vexas_edge.errors import InputError
from vexas_edge.talk import Say


@dataclass(frozen=True, kw_only=True)
class ExpressionRun:
    """What is asked of a run.

    folds: of patients, at most.
    sources: lineages that are learnt from, to be judged on all others; empty asks for none of that.
    bundle: what the bundle says; its class is looked for against all others.
    name: of the bundle.
    """

    learning: ExpressionOptions
    bundle: BundleOptions
    folds: int = 5
    sources: tuple[str, ...] = ()
    name: str = "expression"


@dataclass(frozen=True, kw_only=True)
class _Remembering:
    """Learning that does not learn twice from the same cells with the same labels."""

    learning: ExpressionLearning
    known: dict[bytes, LearntExpression] = field(default_factory=dict)

    def __call__(self, cells: ExpressionCells) -> LearntExpression:
        text = "\0".join((*cells.names.tolist(), *cells.labels.tolist()))
        key = hashlib.sha256(text.encode()).digest()
        if key not in self.known:
            self.known[key] = self.learning(cells)
        return self.known[key]


def learnt_from_tables(
    cells: ExpressionCells, asked: ExpressionRun, folder: Path, say: Say
) -> ExpressionReport:
    """The judgement by folds, beside baselines; then all cells teach, and parts are written.

    Args:
        folder: it gets expression.json, and what `vexas-workshop export bundle` takes.

    Raises:
        UsageError, InputError: the cells or the options cannot be used.
        HostError: a file cannot be written.
    """
    options, positive = asked.learning, asked.bundle.positive
    if positive not in cells.classes:
        raise InputError(
            f"no cell has the label {positive!r}; the labels are {', '.join(cells.classes)}"
        )
    learn = _Remembering(learning=ExpressionLearning(options=options))
    folds = expression_folds(cells, asked.folds, options.seed)
    learners: dict[str, LearnExpression] = {options.head: learn, **baseline_learners(options)}
    report = ExpressionReport(
        title=f"{len(cells)} cells, {', '.join(cells.classes)}",
        how=_how(cells, folds),
        judged=judge_expression(cells, learners, folds, say, options.per),
        cases=_by_case(cells, {options.head: learn}, folds, options.per, say),
        zero_shot=()
        if not asked.sources
        else judge_zero_shot(
            cells, learn, ZeroShotOptions(sources=asked.sources, positive=positive), options, say
        ),
    )
    write_expression(report, folder)
    say("learning from all cells")
    own = for_positive(cells, positive)
    taught = learn(own)
    familiar = familiar_of(own, taught, learn, folds)
    if familiar is None:
        say("warning: too few patients tell what strange cells are, so any table is scored")
    write_parts(taught, familiar, own, asked.bundle, asked.name, folder)
    return report


def _how(cells: ExpressionCells, folds: list[Fold]) -> str:
    n_patients = len(set(cells.patients.tolist()))
    whose = f"the {n_patients} patients" if n_patients > 1 else "the cells of one patient"
    return f"by {len(folds)} folds of {whose}"


def _by_case(
    cells: ExpressionCells,
    learners: Mapping[str, LearnExpression],
    folds: list[Fold],
    per: Unit,
    say: Say,
) -> dict[str, JudgedExpression]:
    """The same of samples, by the mean over their cells; none where that says nothing new."""
    samples = np.unique(cells.samples)
    labels = {(s, one) for s, one in zip(cells.samples, cells.labels, strict=True)}
    if per == "case" or len(labels) > len(samples) or len(samples) == len(cells):
        return {}
    return judge_expression(cells, learners, folds, say, "case")
