"""One run of `vexas-workshop train typing`: labelled cells are read, judged and learnt from."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from training.typed.judging import Judgement, judged_by_folds
from training.typed.report import write_judgement
from training.typing.familiarity import LEAST_CASES
from training.typing.options import TypingOptions
from training.typing.sources import labelled_cells, sources_from_file
from training.typing.typers import Typer, TypersLearning, learning_of
from training.typing.writing import write_typers
from vexas_edge.errors import InputError, UsageError
from vexas_edge.fields import Name
from vexas_edge.talk import Say
from vexas_edge.typing.familiar import LEAST_CELLS

_TRAININGS = "trainings"


def judged_and_taught(
    sources: Path,
    options: TypingOptions,
    folder: Path,
    *,
    folds: int,
    cascade: bool,
    name: str,
    skip_unreadable: bool,
    say: Say,
) -> Judgement:
    """The judgement by folds; then all cells are learnt from, and a bundle's parts are written.

    Args:
        sources: the TOML file that names them.
        cascade: whether two models tell classes in turn.
        folder: it gets everything; its `trainings` are finished ones, which are not repeated.
        name: of the bundle.

    Raises:
        UsageError, InputError: the sources, the options or the encoder cannot be used.
    """
    _check_name(name)
    labelled = labelled_cells(
        sources_from_file(sources),
        sources.parent,
        side_px=options.side_px,
        skip_unreadable=skip_unreadable,
    )
    for line in labelled.lost:
        say(f"warning: left out: {line}")
    learning = learning_of(labelled.cells, options, folder / _TRAININGS, say, cascade=cascade)
    say(_sentence(learning))
    judgement = judged_by_folds(learning, folds)
    write_judgement(judgement, name, folder)
    say("learning from all cells")
    typers = learning(np.arange(len(labelled.cells)))
    _check_useful(typers, say)
    write_typers(typers, labelled, options, name, folder)
    return judgement


def _check_useful(typers: Sequence[Typer], say: Say) -> None:
    """Check that each model gives a name, and the second is asked; warn if nothing is strange."""
    first, *others = typers
    if not first.limits:
        raise InputError(
            "no class can be told surely enough to name a cell; ask for a lower --precision, or "
            "give more cells"
        )
    if first.familiar is None:
        say(
            f"warning: under {LEAST_CASES} patients or sources have {LEAST_CELLS} cells, so "
            "nothing tells strange smears, and cells of any smear are named"
        )
    for typer in others:
        if not set(typer.of) & set(first.limits):
            raise InputError(
                f"no cell can be named {' or '.join(typer.of)} surely enough, so the second model "
                "would never be asked; leave --cascade out, or ask for a lower --precision"
            )
        if not typer.limits:
            raise InputError(
                f"the second model tells none of {', '.join(typer.classes)} surely enough; leave "
                "--cascade out, or ask for a lower --precision"
            )


def _sentence(learning: TypersLearning) -> str:
    """What is to be learnt from, for people."""
    cells = learning.first.cells
    each = [one for one in (learning.first, learning.second) if one]
    classes = ", then ".join(str(len(one.classes.names)) for one in each)
    owners = len(set(cells.patients))
    return f"{len(cells)} cells of {owners} patients or sources; {classes} classes"


def _check_name(name: str) -> None:
    """Check that a bundle may be called so, before the long work."""
    try:
        msgspec.convert(name, Name)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"a bundle cannot be called {name!r}: letters, digits, - and _ only, at most 64"
        ) from error
