"""One run of `vexas-workshop train expression`: cells are judged, and all of them learnt from."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from training.expression.baselines import ExpressionModel, LearnExpression, baseline_learners
from training.expression.bundling import BundleOptions, familiar_of, for_positive, write_parts
from training.expression.cells import ExpressionCells
from training.expression.judging import JudgedExpression, expression_folds, judge_expression
from training.expression.learning import ExpressionLearning
from training.expression.options import ExpressionOptions, Unit
from training.expression.report import ExpressionReport, write_expression
from training.expression.zero_shot import ZeroShotOptions, judge_zero_shot, unlearnt_lineages
from training.judging.folds import Fold
from vexas_edge.errors import InputError, UsageError
from vexas_edge.talk import Say
from vexas_edge.text import unicode_text

_Model = TypeVar("_Model", bound=ExpressionModel)


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

    @property
    def zero_shot(self) -> ZeroShotOptions:
        """What is asked of a model of the sources."""
        return ZeroShotOptions(sources=self.sources, positive=self.bundle.positive)


@dataclass(frozen=True, kw_only=True)
class _Remembering(Generic[_Model]):
    """Learning that does not learn twice from the same cells with the same labels."""

    learning: Callable[[ExpressionCells], _Model]
    known: dict[bytes, _Model] = field(default_factory=dict)

    def __call__(self, cells: ExpressionCells) -> _Model:
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
    own = _checked(cells, asked)
    options = asked.learning
    learn = _Remembering(learning=ExpressionLearning(options=options))
    folds = expression_folds(cells, asked.folds, options.seed)
    learners: dict[str, LearnExpression] = {options.head: learn}
    for name, baseline in baseline_learners(options).items():
        learners[name] = _Remembering(learning=baseline)
    report = ExpressionReport(
        title=f"{len(cells)} cells, {', '.join(cells.classes)}",
        how=_how(cells, folds),
        judged=judge_expression(cells, learners, folds, say, options.per),
        cases=_by_case(own, learners, folds, options.per, say),
    )
    write_expression(report, folder)
    say("learning from all cells")
    taught = learn(own)
    familiar = familiar_of(own, taught, learn, folds)
    if familiar is None:
        say("warning: too few patients tell what strange cells are, so any table is scored")
    write_parts(taught, familiar, own, asked.bundle, asked.name, folder)
    if asked.sources:
        report = replace(
            report, zero_shot=judge_zero_shot(own, learn, asked.zero_shot, options, say)
        )
        write_expression(report, folder)
    return report


def _checked(cells: ExpressionCells, asked: ExpressionRun) -> ExpressionCells:
    """The cells with two labels, after all has been checked that can be before the first hour."""
    positive, pretrained_on = asked.bundle.positive, asked.learning.pretrain_lineages
    if positive not in cells.classes:
        raise InputError(
            f"no cell has the label {positive!r}; the labels are {', '.join(cells.classes)}"
        )
    if unicode_text(asked.name) != asked.name:
        raise UsageError("the name of the bundle is no text")
    own = for_positive(cells, positive)
    cells.of_lineages(pretrained_on)
    if asked.sources:
        unlearnt_lineages(own, asked.zero_shot)
        if strays := [name for name in pretrained_on if name not in asked.sources]:
            raise UsageError(
                f"the autoencoder cannot learn from {strays[0]!r}, as that is not among the "
                "lineages to learn from, and would not be unknown to it; name it there, too"
            )
    return own


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
