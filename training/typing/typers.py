"""What names cells: one model, or two in turn, and how sure each must be.

Of two, the first tells wide classes, and the second tells what two of these hold: neutrophils are
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

FIRST, SECOND = "leukocyte", "granulocyte"
_WIDE = ("neutrophil", "immature_granulocyte")
_WIDE_OF = {fine: wide for wide in _WIDE for fine in SUBCLASSES[wide]}


@dataclass(frozen=True, kw_only=True)
class Typer:
    """One model, as some cells taught it.

    network: the encoder, trained.
    classifier: of its encodings; its classes are those that are learnt, in their order.
    limits: the least probability with which a cell gets each name.
    of: the names whose cells it names anew; empty for the first.
    """

    name: str
    network: TypingNetwork
    classifier: CellClassifier
    classes: tuple[str, ...]
    limits: dict[str, float]
    of: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TypersLearning:
    """Learning from rows of the same cells.

    first, second: of each model; the second is None where there is one alone.
    """

    first: TypingLearning
    second: TypingLearning | None = None

    def __call__(self, fit: np.ndarray) -> tuple[Typer, ...]:
        """Learn from these cells; limits are from inner folds of their patients.

        Those of the second model are from the cells that it would be asked of.

        Args:
            fit: rows of cells, int64 (n,).
        """
        typers: list[Typer] = []
        said: list[OneSaid] = []
        for name, learning, wide in self._in_turn:
            of = tuple(one for one in wide if one in typers[0].limits)
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
                of=of,
            )
            typers.append(one)
            said.append(_said(one, taught.held_out))
        return tuple(typers)

    def said(self, typers: tuple[Typer, ...], rows: np.ndarray) -> SaidInTurn:
        """What the models say of cells of these rows."""
        shown = self.first.shown
        each = [
            _said(one, class_probabilities(one.classifier, encoded(one.network, shown, rows)))
            for one in typers
        ]
        return said_in_turn(*each)

    @property
    def _in_turn(self) -> Iterator[tuple[str, TypingLearning, tuple[str, ...]]]:
        yield FIRST, self.first, ()
        if self.second:
            yield SECOND, self.second, _WIDE


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
    shown = ShownCells(cells, options, say)

    def of(classes: LearntClasses) -> TypingLearning:
        return TypingLearning(
            cells=cells, classes=classes, options=options, shown=shown, folder=folder, say=say
        )

    if not cascade:
        return TypersLearning(first=of(learnt_classes(cells.labels, cells.patients)))
    wide, fine = _cascade_classes(cells)
    return TypersLearning(first=of(wide), second=of(fine))


def _cascade_classes(cells: CellStack) -> tuple[LearntClasses, LearntClasses]:
    """The classes of the first model and of the second."""
    fine = learnt_classes(cells.labels, cells.patients)
    places = [place for place, name in enumerate(fine.names) if name in _WIDE_OF]
    if len(places) < 2:
        told = ", ".join(fine.names[place] for place in places) or "none"
        raise InputError(
            f"a second model needs cells enough of two of {', '.join(_WIDE_OF)}; there are enough "
            f"of {told}: leave --cascade out"
        )
    names = tuple(fine.names[place] for place in places)
    wide = learnt_classes([_WIDE_OF.get(label, label) for label in cells.labels], cells.patients)
    return wide, replace(fine, names=names, allowed=fine.allowed[:, places])
