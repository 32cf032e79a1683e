"""Judges what a bundle says of labelled cells, by the very numbers that scoring would go by."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from training.typed.judging import Judgement, judgement_of
from training.typed.tables import JudgedCells
from training.typing.sources import CellSource, cases_of
from training.typing.turns import OneSaid, SaidInTurn, said_in_turn, said_of_all
from vexas_edge.errors import InputError, UsageError
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.encoding import cell_probabilities
from vexas_edge.scoring.images.reading import ReadCells, read_cells
from vexas_edge.smear.case import Case
from vexas_edge.talk import Say, silent


def judged_bundle(
    sessions: Sessions, sources: Mapping[str, CellSource], folder: Path, say: Say
) -> Judgement:
    """The judgement of all labelled cells of the sources, each distinct one once per case.

    Args:
        folder: where the sources' paths start.
        say: is told of cells that are left out.

    Raises:
        UsageError: the bundle has no model that names cells.
        InputError: a source cannot be read, or holds no readable cell.
    """
    typing = sessions.bundle.manifest.typing
    if not typing:
        raise UsageError(f"{sessions.bundle.path} holds no model that names cells")
    labels, owners, places = list[str](), list[str](), list[str]()
    parts: list[SaidInTurn] = []
    for name, source in sources.items():
        for owner, case in cases_of(name, source, folder):
            with closing(case):
                own, said = _said_of(_single_cells(case, name, sessions, say), sessions)
            labels += own
            owners += [owner] * len(own)
            places += [name] * len(own)
            parts.append(said)
    if not labels:
        raise InputError("the sources hold no readable cell of a known class")
    judged = JudgedCells(
        labels=tuple(labels),
        owners=tuple(owners),
        sources=tuple(places),
        said=said_of_all(parts),
    )
    manifest, models = sessions.bundle.manifest, ", then ".join(typing)
    how = f"by {manifest.name} {manifest.version}, {models}, {sessions.graph.precision}"
    return judgement_of(judged, how)


def _single_cells(case: Case, source: str, sessions: Sessions, say: Say) -> ReadCells:
    """The distinct cells of a case, without images that are too large for one cell."""
    largest_px = min(model.largest_px for model in sessions.bundle.manifest.typing.values())
    classes = {cell.cell_class for cell in case.cells}
    read = read_cells(case, source, classes, silent, threads=sessions.threads)
    for record in read.others:
        if record.status != "duplicate":
            say(f"warning: left out: {source}: {record.path}: {record.detail}")
    single = [cell for cell in read.distinct if max(cell.size_px) <= largest_px]
    for path in sorted({c.record.path for c in read.distinct} - {c.record.path for c in single}):
        say(f"warning: left out: {source}: {path}: over {largest_px} px, so no cell")
    return replace(read, distinct=tuple(single), others=())


def _said_of(cells: ReadCells, sessions: Sessions) -> tuple[list[str], SaidInTurn]:
    """The labels of the cells that all models can be shown, and what these say in turn."""
    typing = sessions.bundle.manifest.typing
    ask = partial(cell_probabilities, sessions=sessions, chunk_cells=None, progress=silent)
    found = {name: ask(cells, name) for name in typing}
    rows = {name: one.probabilities for name, one in found.items()}
    kept = [
        cell.record
        for cell in cells.distinct
        if all(cell.record.identity in own for own in rows.values())
    ]
    each = [
        OneSaid(
            classes=model.classes,
            probabilities=np.array([rows[name][one.identity] for one in kept]).reshape(
                len(kept), len(model.classes)
            ),
            limits=model.limits,
            of=model.of,
        )
        for name, model in typing.items()
    ]
    strangeness = next(iter(found.values())).strangeness
    strange = np.full(len(kept), bool(strangeness and strangeness.is_strange))
    return [one.cell_class for one in kept], said_in_turn(*each).without_strange(strange)
