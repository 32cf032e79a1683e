"""Judges a model of some lineages on cells of others, with and without a threshold of their own."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from training.expression.baselines import (
    ExpressionModel,
    LearnExpression,
    fitted_baseline,
    fitted_gene,
)
from training.expression.cells import ExpressionCells
from training.expression.judging import expression_folds, rank_auc
from training.expression.options import ExpressionOptions
from training.expression.thresholds import (
    LEAST_CELLS_OF_LINEAGE,
    LearntModes,
    learnt_modes,
    threshold_for_share,
    two_normals,
)
from vexas_edge.errors import InputError
from vexas_edge.talk import Say

# Of the cells that would make each share, so many are drawn, so that draws differ.
_DRAWN = 0.9


@dataclass(frozen=True, kw_only=True)
class ZeroShotOptions:
    """What is asked of a model of some lineages.

    sources: the lineages that it learns from; all others are judged.
    positive: the label that is called; there must be two labels.
    shares: of positive cells among those that are judged, drawn from the lineage's.
    draws: of each share.
    gene: that is judged beside the model; empty for the best one where it learns.
    """

    sources: tuple[str, ...]
    positive: str
    shares: tuple[float, ...] = (0.5, 0.3, 0.1, 0.0, 1.0)
    draws: int = 10
    gene: str = ""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Calls:
    """How right one way of calling is, in the mean over draws.

    balanced_accuracy: the mean of sensitivity and specificity; of one kind alone, the share that is
        called rightly.
    f1: of the positive label; None where no cell is positive.
    """

    balanced_accuracy: float
    f1: float | None


@dataclass(frozen=True, kw_only=True)
class ShareFigures:
    """What was found with a share of positive cells.

    n: cells of a draw.
    learnt, recalibrated: calls by the threshold as it was learnt, and by one found without labels.
    by_share: by one over which as many cells lie as a regression on all genes calls positive, by
        its own threshold without labels.
    linear: by that regression itself, and its threshold without labels.
    positive: calls of every cell as positive.
    one_gene, one_gene_recalibrated: by one gene alone, and its threshold without labels.
    mixed, linear_mixed: the share of draws that seem to have cells of both kinds, by the model's
        logits, and by those of a regression on all genes.
    """

    n: int
    learnt: Calls
    recalibrated: Calls
    by_share: Calls
    linear: Calls
    positive: Calls
    one_gene: Calls
    one_gene_recalibrated: Calls
    mixed: float
    linear_mixed: float


@dataclass(frozen=True, kw_only=True)
class ZeroShotRow:
    """One lineage of one patient, judged by what other lineages of other patients taught.

    patient: or those of a fold, one after the other.
    n: its cells. roc_auc: of the model. linear_auc: of a regression on all genes.
    gene, gene_auc: the one gene, and of it alone.
    shares: the figures of each share of positive cells, by the share; not of one for which there
        are too few cells.
    """

    lineage: str
    patient: str
    n: int
    roc_auc: float
    linear_auc: float
    gene: str
    gene_auc: float
    shares: dict[float, ShareFigures]


def judge_zero_shot(
    cells: ExpressionCells,
    learn: LearnExpression,
    options: ZeroShotOptions,
    baseline: ExpressionOptions,
    say: Say,
) -> tuple[ZeroShotRow, ...]:
    """All other lineages of all patients; each patient's by what the other patients teach.

    Where patients have one label each, so that none can be judged alone, folds of patients are.
    Of one patient alone, the sources are of the same.

    Args:
        baseline: how numbers are scaled for the regression and for the one gene.
        say: takes what is found, and which lineages have too few cells to be judged.

    Raises:
        InputError: as `unlearnt_lineages`; nobody has enough cells of both labels; the model does
            not tell the cells apart that it learnt from.
    """
    targets, source = unlearnt_lineages(cells, options), cells.of_lineages(options.sources)
    groups, rows = _groups(cells), []
    for whose, patients in groups.items():
        own = np.isin(source.patients, patients)
        fit = source.of_rows(~own) if len(groups) > 1 else source
        judges = _judges(fit, learn, options, baseline)
        for lineage in targets:
            found = cells.of_rows((cells.lineages == lineage) & np.isin(cells.patients, patients))
            if len(set(found.labels.tolist())) < 2:
                say(f"{lineage} of {whose}: not judged, for want of cells of both labels")
                continue
            row = _row(found, whose, judges, options)
            if not row.shares:
                say(f"{lineage} of {whose}: not judged, for want of cells")
                continue
            say(f"{lineage} of {whose}: ROC-AUC {row.roc_auc:.3f}{_left_out(row, options)}")
            rows.append(row)
    if not rows:
        raise InputError(
            f"there are too few cells of both labels of {', '.join(targets)}; give more patients"
        )
    return tuple(rows)


def unlearnt_lineages(cells: ExpressionCells, options: ZeroShotOptions) -> tuple[str, ...]:
    """The lineages that a model of the sources is judged on.

    Raises:
        InputError: there are not two labels, the positive one among them, or not each of the
            sources, or no other lineage.
    """
    if len(cells.classes) != 2 or options.positive not in cells.classes:
        raise InputError(
            f"cells have the labels {', '.join(cells.classes)}; expected two, one of them "
            f"{options.positive!r}"
        )
    cells.of_lineages(options.sources)
    targets = sorted(set(cells.lineages.tolist()) - set(options.sources))
    if not targets:
        raise InputError("there is no lineage besides those to learn from; name fewer of these")
    return tuple(targets)


def _left_out(row: ZeroShotRow, options: ZeroShotOptions) -> str:
    left_out = [f"{share:.0%}" for share in options.shares if share not in row.shares]
    return f"; too few cells for {', '.join(left_out)} positive" if left_out else ""


def _groups(cells: ExpressionCells) -> dict[str, list[str]]:
    """The patients that are judged together, by a name for them."""
    patients = np.unique(cells.patients).tolist()
    labels = [set(cells.labels[cells.patients == patient].tolist()) for patient in patients]
    if any(len(own) == 2 for own in labels):
        return {patient: [patient] for patient in patients}
    folds = [np.unique(cells.patients[judged]).tolist() for _, judged in expression_folds(cells)]
    return {", ".join(own): own for own in folds}


@dataclass(frozen=True, kw_only=True)
class _Judges:
    """What the sources taught: the model, a regression on all genes, and one on the best gene."""

    model: ExpressionModel
    linear: ExpressionModel
    one_gene: ExpressionModel
    gene: str
    modes: LearntModes
    linear_modes: LearntModes


def _judges(
    fit: ExpressionCells,
    learn: LearnExpression,
    options: ZeroShotOptions,
    baseline: ExpressionOptions,
) -> _Judges:
    positive = fit.labels == options.positive
    model, linear = learn(fit), fitted_baseline("logistic", fit, baseline)
    one_gene: ExpressionModel
    if options.gene:
        one_gene = fitted_gene(options.gene, fit, baseline)
    else:
        one_gene = fitted_baseline("one_gene", fit, baseline)
    return _Judges(
        model=model,
        linear=linear,
        one_gene=one_gene,
        gene=getattr(one_gene, "kept", ("",))[0],
        modes=learnt_modes(positive_logits(model, fit, options.positive), positive),
        linear_modes=learnt_modes(positive_logits(linear, fit, options.positive), positive),
    )


def positive_logits(
    model: ExpressionModel, cells: ExpressionCells, positive: str
) -> NDArray[np.float64]:
    """The logit of one of two classes over the other, of each cell, float64 (N,)."""
    logits, place = model.logits(cells.rows), model.classes.index(positive)
    return logits[:, place] - logits[:, 1 - place]


def _row(
    cells: ExpressionCells, whose: str, judges: _Judges, options: ZeroShotOptions
) -> ZeroShotRow:
    positive = cells.labels == options.positive
    logits, linear, gene = (
        positive_logits(model, cells, options.positive)
        for model in (judges.model, judges.linear, judges.one_gene)
    )
    stacked = np.stack([logits, linear, gene], axis=1)
    drawn = {share: list(_draws(positive, share, options)) for share in options.shares}
    return ZeroShotRow(
        lineage=str(cells.lineages[0]),
        patient=whose,
        n=len(cells),
        roc_auc=rank_auc(logits, positive),
        linear_auc=rank_auc(linear, positive),
        gene=judges.gene,
        gene_auc=rank_auc(gene, positive),
        shares={
            share: _of_share(stacked, positive, draws, judges)
            for share, draws in drawn.items()
            if draws
        },
    )


def _draws(
    positive: NDArray[np.bool_], share: float, options: ZeroShotOptions
) -> Iterator[NDArray[np.int64]]:
    """Rows with this share of positive cells, as many as there can be, int64 (m,).

    Nothing is drawn where these were fewer than ten, or all of one kind where they should not be.
    """
    rng = np.random.default_rng(options.seed)
    own, others = np.flatnonzero(positive), np.flatnonzero(~positive)
    most = min(
        len(own) / share if share else np.inf, len(others) / (1 - share) if share < 1 else np.inf
    )
    n_own, n_others = round(_DRAWN * most * share), round(_DRAWN * most * (1 - share))
    if n_own + n_others < LEAST_CELLS_OF_LINEAGE or (0 < share < 1) != (n_own * n_others > 0):
        return
    for _ in range(options.draws):
        parts = rng.choice(own, n_own, replace=False), rng.choice(others, n_others, replace=False)
        yield np.concatenate(parts)


def _of_share(
    stacked: NDArray[np.float64],
    positive: NDArray[np.bool_],
    draws: Sequence[NDArray[np.int64]],
    judges: _Judges,
) -> ShareFigures:
    """The figures over draws of cells.

    Args:
        stacked: logits of the model, of the regression and by the best gene, float64 (n, 3).
    """
    ways: dict[str, list[tuple[float, float]]] = {}
    mixed, linear_mixed = [], []
    for rows in draws:
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            found, linear, gene = map(two_normals, stacked[rows].T)
        mixed.append(found.seems_mixed(judges.modes))
        linear_mixed.append(linear.seems_mixed(judges.linear_modes))
        thresholds = found.crossing, linear.crossing, gene.crossing
        for name, called in _called(stacked[rows], thresholds).items():
            ways.setdefault(name, []).append(_right(called, positive[rows]))
    means = {name: np.mean(each, axis=0).tolist() for name, each in ways.items()}
    each = {
        name: Calls(balanced_accuracy=right, f1=None if np.isnan(f1) else f1)
        for name, (right, f1) in means.items()
    }
    return ShareFigures(
        n=len(draws[0]),
        mixed=float(np.mean(mixed)),
        linear_mixed=float(np.mean(linear_mixed)),
        **each,
    )


def _called(
    stacked: NDArray[np.float64], thresholds: tuple[float, float, float]
) -> dict[str, NDArray[np.bool_]]:
    """Which cells each way of calling takes for positive, bool (n,).

    Args:
        stacked: as `_of_share` has them.
        thresholds: of the model, the regression and the gene, found without labels.
    """
    logits, _, gene = stacked.T
    recalibrated = stacked > thresholds
    share = float(recalibrated[:, 1].mean())
    return {
        "learnt": logits > 0,
        "recalibrated": recalibrated[:, 0],
        "by_share": logits > threshold_for_share(logits, share),
        "linear": recalibrated[:, 1],
        "positive": np.ones(len(logits), bool),
        "one_gene": gene > 0,
        "one_gene_recalibrated": recalibrated[:, 2],
    }


def _right(called: NDArray[np.bool_], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """Balanced accuracy and F1; NaN for F1 where nothing is positive."""
    sides = [(called == truth)[truth == side].mean() for side in (True, False) if side in truth]
    f1 = 2 * (called & truth).sum() / (called.sum() + truth.sum()) if truth.any() else np.nan
    return float(np.mean(sides)), float(f1)
