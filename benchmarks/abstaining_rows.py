"""The rows of the table of `abstaining.py`, from what the folds found."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from foreign_bags import Bag
from judged_folds import FAMILIES, POSITIVE, Fold, Material
from measured_bags import Condition
from numpy.typing import NDArray
from shares import auc_difference, share_text

from calibration.gate.separation import roc_auc
from vexas_edge.smear.cohort import CohortCase

_HARMED, _GROSS, _HARMLESS, _MILD_SHARE = 0.1, 0.3, 0.02, 0.05
_LAMP = ("gain red", "gain green", "gain blue", "brightness", "temperature", "white balance")
_BARRED = ("blasts", "promyelocytes", "neutrophils", "monocytes")
_THRESHOLD = 0.5


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row. missed: whether its bar is not reached; None where there is none."""

    what: str
    figure: str
    bar: str = ""
    missed: bool | None = None

    def line(self) -> str:
        """The row as Markdown."""
        return f"| {self.what} | {self.figure} | {self.bar}{' **missed**' if self.missed else ''} |"


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What the folds found, put together: S seeds, P judged patients, C tested changes."""

    rows: Sequence[CohortCase]
    changes: Sequence[Condition]
    bags: Sequence[Bag]
    material: Material
    folds: Sequence[Sequence[Fold]]

    @cached_property
    def positive(self) -> NDArray[np.bool_]:
        judged = np.sort(np.concatenate([fold.judged for fold in self.folds[0]]))
        return np.array([self.rows[place].label == POSITIVE for place in judged])

    @cached_property
    def tested(self) -> list[Condition]:
        return [change for change in self.changes if not change.group.startswith("fitted")]

    def by_patient(self, part: Callable[[Fold], NDArray]) -> NDArray:  # type: ignore[type-arg]
        """(S, ..., P) of what a fold holds as (..., T)."""
        order = np.argsort(np.concatenate([fold.judged for fold in self.folds[0]]))
        return np.stack(
            [np.concatenate([part(fold) for fold in of], axis=-1)[..., order] for of in self.folds]
        )


def _least(what: str, share: str, least: float) -> Row:
    missed = share[0].isdigit() and float(share.split()[0]) < least
    return Row(what=what, figure=share, bar=f"at least {least:.2f}", missed=missed)


def _most(what: str, share: str, most: float) -> Row:
    missed = share[0].isdigit() and float(share.split()[0]) > most
    return Row(what=what, figure=share, bar=f"at most {most:.2f}", missed=missed)


def rows_of(outcome: Outcome) -> Iterator[Row]:
    """Every row of the table."""
    yield from _clean_rows(outcome)
    yield from _changed_rows(outcome)
    yield from _family_rows(outcome)
    yield from _bag_rows(outcome)


def _title(text: str) -> Row:
    return Row(what=f"**{text}**", figure="")


def _clean_rows(outcome: Outcome) -> Iterator[Row]:
    yield _title("Clean cases")
    abstains, positive = outcome.by_patient(lambda fold: fold.clean), outcome.positive
    for place, cells in enumerate(("16 cells", "all cells")):
        own = abstains[:, place]
        everyone = np.ones_like(own)
        yield _most(f"abstain, {cells}", share_text(own, everyone), 0.06)
        for label, of in ((POSITIVE, positive), ("others", ~positive)):
            yield _most(f"abstain, {cells}, {label}", share_text(own, everyone & of), 0.06)
    scores = outcome.by_patient(lambda fold: fold.scores)
    raw = outcome.by_patient(lambda fold: fold.raw_scores)
    for words, of in (("normalised", scores), ("raw", raw)):
        aucs = [roc_auc(one, positive) for one in of]
        text = f"{np.mean(aucs):.3f} ({min(aucs):.3f} to {max(aucs):.3f} by seed)"
        yield Row(what=f"ROC-AUC, {words}", figure=text)
    mean, low, high = auc_difference(scores, raw, positive)
    yield Row(
        what="ROC-AUC, normalised less raw, paired",
        figure=f"{mean:+.3f} ({low:+.3f} to {high:+.3f})",
        bar="at least -0.010, lower bound over -0.030",
        missed=mean < -0.01 or low <= -0.03,
    )
    calls, answered = scores >= _THRESHOLD, ~abstains[:, 1]
    for word, right, of in (
        ("sensitivity", calls, positive),
        ("specificity", ~calls, ~positive),
    ):
        of_group = np.broadcast_to(of, calls.shape)
        yield Row(what=f"{word}, answered", figure=share_text(right, answered & of_group))
        text = share_text(right & answered, of_group)
        yield Row(what=f"{word}, abstaining counts as wrong", figure=text)


def _changed_rows(outcome: Outcome) -> Iterator[Row]:
    abstains, moved = _changes(outcome)
    groups = np.array([change.group for change in outcome.tested])
    yield _title("Simulated changes that no gate was fitted on, 16 cells")
    every = np.ones(len(groups), bool)
    yield from _pooled(outcome, every, "all", barred=True)
    for group in ("between", "pair", "otherwise"):
        yield from _pooled(outcome, groups == group, group, barred=False)
    yield _title("Harmed that abstain, by kind, and the share that is harmed")
    kinds = np.array([change.kind for change in outcome.tested])
    for kind in dict.fromkeys(kinds.tolist()):
        own, by = abstains[:, kinds == kind], moved[:, kinds == kind]
        harmed = share_text(by > _HARMED, np.ones_like(own)).split()[0]
        yield Row(what=kind, figure=f"{share_text(own, by > _HARMED)}; harmed {harmed}")
    yield _title("Harmed by lamp and camera, after normalising")
    lamp = np.isin(kinds, _LAMP) & (groups == "between")
    by = moved[:, lamp]
    yield _most("all of them", share_text(by > _HARMED, np.ones_like(by, bool)), 0.06)
    for kind in _LAMP:
        by = moved[:, lamp & (kinds == kind)]
        if by.size:
            yield _most(kind, share_text(by > _HARMED, np.ones_like(by, bool)), 0.10)


def _changes(outcome: Outcome) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Whether each changed case abstains, and how far its score moves, (S, C, P) each."""
    abstains = outcome.by_patient(lambda fold: fold.abstains)
    return abstains, np.abs(outcome.by_patient(lambda fold: fold.shifts))


def _pooled(outcome: Outcome, of: NDArray[np.bool_], words: str, *, barred: bool) -> Iterator[Row]:
    abstains, moved = _changes(outcome)
    abstains, moved = abstains[:, of], moved[:, of]
    mild = (moved > _HARMED).mean(axis=(0, 2)) <= _MILD_SHARE
    own, everyone = abstains[:, mild], np.ones_like(abstains[:, mild])
    rows = (
        (f"{words}: moved by over 0.1, abstain", share_text(abstains, moved > _HARMED), 0.85),
        (f"{words}: moved by over 0.3, abstain", share_text(abstains, moved > _GROSS), 0.95),
        (f"{words}: moved by under 0.02, abstain", share_text(abstains, moved < _HARMLESS), 0.25),
        (
            f"{words}: in {mild.sum()} conditions that harm at most 5 %, abstain",
            share_text(own, everyone),
            0.10,
        ),
    )
    for place, (what, share, bar) in enumerate(rows):
        barred_row = _least(what, share, bar) if place < 2 else _most(what, share, bar)
        yield barred_row if barred else Row(what=what, figure=share)


def _without(family: str, fold: Fold) -> NDArray[np.bool_]:
    return fold.without[family]


def _family_rows(outcome: Outcome) -> Iterator[Row]:
    abstains, moved = _changes(outcome)
    families = np.array([change.family for change in outcome.tested])
    yield _title("Harmed that abstain, with their family left out of training (first seed)")
    first = Outcome(
        rows=outcome.rows,
        changes=outcome.changes,
        bags=outcome.bags,
        material=outcome.material,
        folds=outcome.folds[:1],
    )
    for family in outcome.folds[0][0].without:
        if (families == family).any():
            own = first.by_patient(partial(_without, family))
            share = share_text(own, moved[:1][:, families == family] > _HARMED)
            row = _least(family, share, 0.70)
            yield Row(what=family, figure=share) if family == "size" else row
    yield _title("Family named first, of abstaining one-kind changes")
    named = outcome.by_patient(lambda fold: fold.named)
    right = (named == families[None, :, None]) & abstains
    yield _least("right", share_text(right, abstains & (families != "")[None, :, None]), 0.75)
    for family in FAMILIES:
        of = abstains[:, families == family]
        if of.any():
            others = Counter(str(name) for name in named[:, families == family][of])
            most = ", ".join(f"{name} {n}" for name, n in others.most_common(3))
            share = share_text(right[:, families == family], of)
            yield Row(what=family, figure=f"{share}: {most}")


def _bag_rows(outcome: Outcome) -> Iterator[Row]:
    yield _title("Other bags that abstain (of them for too few distinct cells), and cells a bag")
    said = np.stack([np.stack([fold.bags for fold in of]) for of in outcome.folds])
    kinds = [bag.kind for bag in outcome.bags]
    for kind in dict.fromkeys(kinds):
        places = [k for k, other in enumerate(kinds) if other == kind]
        few, gate = said[..., 0, places], said[..., 1, places]
        heard = few >= 0
        shown = kind.startswith(_FOREIGN)
        silent = gate if shown else (few | gate)
        share = (silent * heard).sum() / heard.sum()
        cells = sorted(len(outcome.material.bags[place].identities) for place in places)
        text = (
            f"{share:.3f} ({(few * heard).sum() / heard.sum():.2f}); {len(places)} bags of "
            f"{cells[0]} to {cells[-1]}"
        )
        least = _bar_of(kind)
        if least is None:
            yield Row(what=kind, figure=text)
        else:
            bar = f"at least {least:.2f}"
            yield Row(what=kind, figure=text, bar=bar, missed=bool(share < least))


# Bags of these are held against the gate alone: a patient of another hospital may have few cells.
_FOREIGN = (*_BARRED, "lymphocytes", "cellavision100", "bccd", "barcelona", "munich")


def _bar_of(kind: str) -> float | None:
    """The share that must abstain; none where it is only reported."""
    if kind.startswith(_BARRED):
        return 0.90
    return None if kind.startswith(_FOREIGN) or "%" in kind else 0.95
