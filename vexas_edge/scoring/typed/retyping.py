"""What models that name cells say of those that have a name, by which nothing goes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from vexas_edge.bundle.manifest import Manifest
from vexas_edge.results.typing import Retyping
from vexas_edge.results.values import UsedCell
from vexas_edge.scoring.images.reading import ReadCell, ReadCells
from vexas_edge.scoring.smears import ReadSmear
from vexas_edge.scoring.typed.asking import AllSaid, Ask, asked_of
from vexas_edge.smear.case import UNNAMED
from vexas_edge.typing.rule import meant_by


def retyped(read: ReadSmear, types: Manifest, ask: Ask) -> ReadSmear:
    """The smear with what models that name cells say of those that have a name.

    Each cell keeps that name; the record of it says what the models took it for. Scoring encodes
    the cells as if nobody had been asked.
    """
    groups = [*read.of_models.values(), *([read.bystanders] if read.bystanders else [])]
    cells = {cell.record.path: cell for group in groups for cell in group.distinct}.values()
    classes = {name for model in types.typing.values() for name in model.classes}
    known = [cell for cell in cells if any(_same(cell.record.cell_class, c) for c in classes)]
    by_identity = {cell.record.identity: cell for cell in known}
    nameless = (
        replace(cell, record=replace(cell.record, cell_class=UNNAMED))
        for cell in by_identity.values()
    )
    asked = AllSaid()
    if groups:
        asked = asked_of(replace(groups[0], distinct=tuple(nameless), others=()), types, ask)
    said = {record.identity: record for record in asked.records.values()}
    return replace(
        read,
        of_models={name: _with_said(own, said) for name, own in read.of_models.items()},
        bystanders=read.bystanders and _with_said(read.bystanders, said),
        retyping=Retyping(
            models=tuple(types.typing),
            n_asked=len(said),
            n_sure=asked.n_named,
            n_unknown=len({cell.record.identity for cell in cells} - by_identity.keys()),
            n_too_large=len(asked.too_large),
            otherwise=_otherwise(known, said),
            strangeness=asked.strangeness,
        ),
    )


def _otherwise(
    cells: Iterable[ReadCell], said: Mapping[str, UsedCell]
) -> dict[str, dict[str, int]]:
    """By class, how many cells would get each other name.

    Args:
        said: what was said of cells, by identity.
    """
    found: dict[str, Counter[str]] = {}
    for cell in cells:
        given, record = cell.record.cell_class, said.get(cell.record.identity)
        if record and record.cell_class != UNNAMED and not _same(given, record.cell_class):
            found.setdefault(given, Counter())[record.cell_class] += 1
    return {given: dict(names) for given, names in sorted(found.items())}


def _same(one: str, other: str) -> bool:
    """Whether two names may be of the same cell, one of them perhaps wider."""
    return one in meant_by(other) or other in meant_by(one)


def _with_said(read: ReadCells, said: Mapping[str, UsedCell]) -> ReadCells:
    """The cells with what was said of them, by identity; they keep their names."""

    def seen(cell: ReadCell) -> ReadCell:
        found = said.get(cell.record.identity)
        if found is None:
            return cell
        own = replace(
            cell.record, predicted_class=found.predicted_class, probability=found.probability
        )
        return replace(cell, record=own)

    return replace(read, distinct=tuple(map(seen, read.distinct)))
