"""Judges what a bundle says of labelled cells, by the very numbers that scoring would go by."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.typed.judging import Judgement, judgement_of
from training.typed.tables import JudgedCells
from training.typing.sources import CellSource, cases_of
from vexas_edge.errors import InputError, UsageError
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.encoding import cell_probabilities
from vexas_edge.scoring.reading import read_cells
from vexas_edge.smear.case import Case
from vexas_edge.talk import Say, silent
from vexas_edge.typing.rule import named


@dataclass(frozen=True, kw_only=True)
class _Said:
    """Of one cell: its class as labelled, its owner and source, and what the model says."""

    label: str
    owner: str
    source: str
    probabilities: np.ndarray
    name: str


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
    (name, model), *others = typing.items()
    for other, _ in others:
        say(f"warning: model {other} is not judged, only {name}, which is asked first")
    said = [
        one
        for source_name, source in sources.items()
        for owner, case in cases_of(source_name, source, folder)
        for one in _said_of(case, owner, source_name, name, sessions, say)
    ]
    if not said:
        raise InputError("the sources hold no readable cell of a known class")
    judged = JudgedCells(
        labels=tuple(one.label for one in said),
        owners=tuple(one.owner for one in said),
        sources=tuple(one.source for one in said),
        classes=model.classes,
        probabilities=np.stack([one.probabilities for one in said]),
        names=tuple(one.name for one in said),
    )
    manifest = sessions.bundle.manifest
    how = f"by {manifest.name} {manifest.version}, model {name}, {sessions.graph.precision}"
    return judgement_of(judged, how)


def _said_of(
    case: Case, owner: str, source: str, name: str, sessions: Sessions, say: Say
) -> Iterator[_Said]:
    """What the model says of each distinct cell of a case that may be one cell."""
    model = sessions.bundle.manifest.typing[name]
    with closing(case):
        classes = {cell.cell_class for cell in case.cells}
        read = read_cells(case, name, classes, silent, threads=sessions.threads)
        for record in read.others:
            if record.status != "duplicate":
                say(f"warning: left out: {source}: {record.path}: {record.detail}")
        large = {c.record.path for c in read.distinct if max(c.size_px) > model.largest_px}
        for path in sorted(large):
            say(f"warning: left out: {source}: {path}: over {model.largest_px} px, so no cell")
        said = cell_probabilities(read, name, sessions=sessions, chunk_cells=None, progress=silent)
    rows = said.probabilities
    kept = [one for one in said.records if one.identity in rows and one.path not in large]
    found = np.stack([rows[one.identity] for one in kept]) if kept else np.empty((0, 0))
    names = named(found, model.classes, model.limits) if kept else []
    for record, row, cell in zip(kept, found, names, strict=True):
        yield _Said(
            label=record.cell_class,
            owner=owner,
            source=source,
            probabilities=row,
            name=cell.name,
        )
