"""Judges a model of some lineages on cells of others, with and without a threshold of their own."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.expression.baselines import (
    ExpressionModel,
    LearnExpression,
    fitted_baseline,
    fitted_gene,
)
from training.expression.calls import Modes, ShareFigures, figures_of_share
from training.expression.cells import ExpressionCells
from training.expression.judging import expression_folds, rank_auc
from training.expression.options import ExpressionOptions
from training.expression.thresholds import LEAST_CELLS_OF_LINEAGE, learnt_modes
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
    modes: Modes


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
        modes=Modes(
            model=learnt_modes(positive_logits(model, fit, options.positive), positive),
            linear=learnt_modes(positive_logits(linear, fit, options.positive), positive),
        ),
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
            share: figures_of_share(stacked, positive, draws, judges.modes)
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
