"""Judges how cells' classes are learnt, by folds of patients, beside features nobody trained."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from training.judging.folds import Fold
from training.typed.acceptance import Acceptance, Sureness, acceptance_of, sureness_of
from training.typed.tables import TABLES, JudgedCells, Table, groups_of, places_in, table_of
from training.typing.inputs import ShownCells
from training.typing.learning import TypingLearning, folds_of
from training.typing.network import TypingNetwork, encoded
from training.typing.turns import said_of_all
from training.typing.typers import TypersLearning

_FROZEN_C = 1.0


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How well cells' classes are told.

    how: what the cells were judged by, for people.
    classes: that the model gives.
    unlike: the patients or sources that are so unlike those fitted on that no cell of theirs is
        named.
    """

    how: str
    n_cells: int
    n_owners: int
    classes: tuple[str, ...]
    tables: dict[str, Table]
    unlike: tuple[str, ...]
    acceptance: Acceptance
    sureness: Sureness


@dataclass(frozen=True, kw_only=True)
class FrozenFeatures:
    """The features of the encoder as it starts, and an SVM on them, which each fold fits anew."""

    learning: TypingLearning

    @cached_property
    def features(self) -> np.ndarray:
        """Divided by their L2 norm, float64 (N, D)."""
        cells = self.learning.cells
        options = replace(self.learning.options, train="head", copies=1)
        shown = ShownCells(cells, options, self.learning.say)
        network = TypingNetwork(options, len(self.learning.classes.names))
        found = encoded(network, shown, np.arange(len(cells))).astype(np.float64)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def said(
        self, labels: Sequence[str], groups: dict[str, tuple[str, ...]], folds: Sequence[Fold]
    ) -> np.ndarray:
        """The class of a table that the SVM says of each of its cells, str (N,); else empty."""
        truth, names = places_in(labels, groups), np.array(list(groups))
        found = np.full(len(labels), "", dtype=object)
        for fit, judge in folds:
            own, others = fit[truth[fit] >= 0], judge[truth[judge] >= 0]
            svm = make_pipeline(StandardScaler(), SVC(C=_FROZEN_C, class_weight="balanced"))
            svm.fit(self.features[own], truth[own])
            found[others] = names[svm.predict(self.features[others])]
        return found


def judged_by_folds(learning: TypersLearning, n_folds: int) -> Judgement:
    """The judgement of cells by what others of other patients taught.

    Raises:
        InputError: there are fewer patients than folds.
    """
    first, cells = learning.first, learning.first.cells
    folds = folds_of(cells.labels, cells.patients, n_folds)
    parts = []
    for number, (fit, judge) in enumerate(folds, start=1):
        first.say(f"fold {number} of {n_folds}")
        parts.append(learning.said(learning(fit), judge))
    order = np.argsort(np.concatenate([judge for _, judge in folds]))
    judged = JudgedCells(
        labels=cells.labels,
        owners=cells.patients,
        sources=cells.samples,
        said=said_of_all(parts).of_rows(order),
    )
    frozen = None if first.options.start is None else FrozenFeatures(learning=first)
    return judgement_of(judged, f"{n_folds} folds of patients", frozen, folds)


def judgement_of(
    judged: JudgedCells,
    how: str,
    frozen: FrozenFeatures | None = None,
    folds: Sequence[Fold] = (),
) -> Judgement:
    """All tables of what was said of cells."""
    tables, owners = {}, np.array(judged.owners)
    for name in TABLES:
        groups = groups_of(judged, name)
        beside = frozen.said(judged.labels, groups, folds) if frozen and len(groups) > 1 else None
        if table := table_of(judged, name, beside):
            tables[name] = table
    return Judgement(
        how=how,
        n_cells=len(judged.labels),
        n_owners=len(set(judged.owners)),
        classes=judged.said.classes,
        unlike=tuple(dict.fromkeys(owners[judged.said.strange].tolist())),
        tables=tables,
        acceptance=acceptance_of(judged),
        sureness=sureness_of(judged),
    )
