"""One run of `vexas-workshop train typing`: labelled cells are read, judged and learnt from."""

from pathlib import Path

import msgspec
import numpy as np

from training.typed.judging import Judgement, judged_by_folds
from training.typed.report import write_judgement
from training.typing.classes import learnt_classes
from training.typing.inputs import ShownCells
from training.typing.learning import TypingLearning
from training.typing.options import TypingOptions
from training.typing.sources import LabelledCells, labelled_cells, sources_from_file
from training.typing.writing import write_typer
from vexas_edge.errors import InputError, UsageError
from vexas_edge.fields import Name
from vexas_edge.talk import Say

_TRAININGS = "trainings"


def judged_and_taught(
    sources: Path,
    options: TypingOptions,
    folder: Path,
    *,
    folds: int,
    name: str,
    skip_unreadable: bool,
    say: Say,
) -> Judgement:
    """The judgement by folds; then all cells are learnt from, and a bundle's parts are written.

    Args:
        sources: the TOML file that names them.
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
    learning = _learning(labelled, options, folder / _TRAININGS, say)
    judgement = judged_by_folds(learning, folds)
    write_judgement(judgement, name, folder)
    say("learning from all cells")
    typer = learning(np.arange(len(labelled.cells)))
    if not typer.limits:
        raise InputError(
            "no class can be told surely enough to name a cell; ask for a lower --precision, or "
            "give more cells"
        )
    write_typer(typer, labelled, options, name, folder)
    return judgement


def _learning(
    labelled: LabelledCells, options: TypingOptions, folder: Path, say: Say
) -> TypingLearning:
    """What learns from these cells; its finished trainings lie in the folder."""
    for line in labelled.lost:
        say(f"warning: left out: {line}")
    cells = labelled.cells
    classes = learnt_classes(cells.labels, cells.patients)
    owners = len(set(cells.patients))
    say(f"{len(cells)} cells of {owners} patients or sources; {len(classes.names)} classes")
    folder.mkdir(parents=True, exist_ok=True)
    return TypingLearning(
        cells=cells,
        classes=classes,
        options=options,
        shown=ShownCells(cells, options, say),
        folder=folder,
        say=say,
    )


def _check_name(name: str) -> None:
    """Check that a bundle may be called so, before the long work."""
    try:
        msgspec.convert(name, Name)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"a bundle cannot be called {name!r}: letters, digits, - and _ only, at most 64"
        ) from error
