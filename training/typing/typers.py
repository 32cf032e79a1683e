"""What names cells: one model, or two in turn, and how sure each must be.

Of two, the first tells wide classes, and the second tells what these hold: neutrophils are
segmented or band ones; immature granulocytes are metamyelocytes, myelocytes or promyelocytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training.pretraining.cell_stack import CellStack
from training.typing.classes import LearntClasses, learnt_classes
from training.typing.inputs import ShownCells
from training.typing.learning import CellClassifier, TypingLearning, class_probabilities
from training.typing.limits import limits_for
from training.typing.network import TypingNetwork, encoded
from training.typing.options import TypingOptions
from training.typing.turns import OneSaid, SaidInTurn, said_in_turn
from vexas_edge.errors import InputError
from vexas_edge.smear.vocabulary import SUBCLASSES
from vexas_edge.talk import Say
from vexas_edge.typing.familiar import Familiar

_FIRST, _SECOND = "leukocyte", "granulocyte"
_WIDE = ("neutrophil", "immature_granulocyte")


@dataclass(frozen=True, kw_only=True)
class Typer:
    """One model, as some cells taught it.

    network: the encoder, trained.
    classifier: of its encodings; its classes are those that are learnt, in their order.
    limits: the least probability with which a cell gets each name.
    familiar: by which a smear that is unlike these cells gets no names; None if nothing tells.
    of: the classes of the first whose cells it names anew; empty for the first.
    """

    name: str
    network: TypingNetwork
    classifier: CellClassifier
    classes: tuple[str, ...]
    limits: dict[str, float]
    familiar: Familiar | None
    of: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TypersLearning:
    """Learning from rows of the same cells.

    first, second: of each model; the second is None where there is one alone.
    of: the classes of the first whose cells the second names anew.
    """

    first: TypingLearning
    second: TypingLearning | None = None
    of: tuple[str, ...] = ()

    def __call__(self, fit: np.ndarray) -> tuple[Typer, ...]:
        """Learn from these cells; limits are from inner folds of their patients.

        Those of the second model are from the cells that it would be asked of.

        Args:
            fit: rows of cells, int64 (n,).
        """
        typers: list[Typer] = []
        said: list[OneSaid] = []
        for name, learning, of in self._in_turn:
            taught = learning(fit)
            rows = np.isin(said_in_turn(*said).names, of) if said else np.ones(len(fit), bool)
            labels = [learning.cells.labels[row] for row in fit[rows]]
            names = learning.classes.names
            limits = limits_for(taught.held_out[rows], names, labels, learning.options.precision)
            one = Typer(
                name=name,
                network=taught.network,
                classifier=taught.classifier,
                classes=names,
                limits=limits,
                familiar=None if of else taught.familiar,
                of=of,
            )
            typers.append(one)
            said.append(_said(one, taught.held_out))
        return tuple(typers)

    def said(self, typers: tuple[Typer, ...], rows: np.ndarray) -> SaidInTurn:
        """What the models say of cells of these rows; those of a strange patient have no names."""
        encodings = [encoded(one.network, self.first.shown, rows) for one in typers]
        each = [
            _said(one, class_probabilities(one.classifier, own, one.classes))
            for one, own in zip(typers, encodings, strict=True)
        ]
        strange = np.zeros(len(rows), bool)
        owners = np.array(self.first.cells.patients)[rows]
        for owner in np.unique(owners):
            familiar, own = typers[0].familiar, owners == owner
            found = familiar.strangeness(encodings[0][own]) if familiar else None
            strange |= own & bool(found and found.is_strange)
        return said_in_turn(*each).without_strange(strange)

    @property
    def _in_turn(self) -> Iterator[tuple[str, TypingLearning, tuple[str, ...]]]:
        yield _FIRST, self.first, ()
        if self.second:
            yield _SECOND, self.second, self.of


def _said(typer: Typer, probabilities: np.ndarray) -> OneSaid:
    return OneSaid(
        classes=typer.classes, probabilities=probabilities, limits=typer.limits, of=typer.of
    )


def learning_of(
    cells: CellStack, options: TypingOptions, folder: Path, say: Say, *, cascade: bool
) -> TypersLearning:
    """What learns from these cells.

    Args:
        folder: of finished trainings, which are not repeated.
        cascade: whether two models tell classes in turn.

    Raises:
        InputError: there are too few cells of too few classes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    classes = learnt_classes(cells.labels, cells.patients)
    of = _whole(classes) if cascade else ()
    shown = ShownCells(cells, options, say)

    def learning(own: LearntClasses) -> TypingLearning:
        return TypingLearning(
            cells=cells, classes=own, options=options, shown=shown, folder=folder, say=say
        )

    if not of:
        return TypersLearning(first=learning(classes))
    return TypersLearning(
        first=learning(_wide(cells, of)), second=learning(_fine(classes, of)), of=of
    )


def _whole(classes: LearntClasses) -> tuple[str, ...]:
    """The wide classes of which every finer one is learnt, so that a second model knows them all.

    Raises:
        InputError: there is none.
    """
    whole = tuple(name for name in _WIDE if set(SUBCLASSES[name]) <= set(classes.names))
    if not whole:
        missing = {
            wide: ", ".join(name for name in SUBCLASSES[wide] if name not in classes.names)
            for wide in _WIDE
        }
        lacking = "; ".join(f"of {wide}, {names}" for wide, names in missing.items())
        raise InputError(
            "a second model needs cells enough of every class that neutrophils or immature "
            f"granulocytes are made of; there are too few {lacking}: leave --cascade out"
        )
    return whole


def _wide(cells: CellStack, of: tuple[str, ...]) -> LearntClasses:
    """The classes of the first model."""
    wide_of = {fine: wide for wide in of for fine in SUBCLASSES[wide]}
    return learnt_classes([wide_of.get(label, label) for label in cells.labels], cells.patients)


def _fine(classes: LearntClasses, of: tuple[str, ...]) -> LearntClasses:
    """The classes of the second model."""
    wanted = {fine for wide in of for fine in SUBCLASSES[wide]}
    places = [place for place, name in enumerate(classes.names) if name in wanted]
    names = tuple(classes.names[place] for place in places)
    return replace(classes, names=names, allowed=classes.allowed[:, places])
