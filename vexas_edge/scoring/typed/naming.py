"""Naming the cells that nobody has named, and giving each to the models that take its class.

A name that an analyzer or an expert gave is never changed, and a cell that no model is sure enough
of stays without one.
"""

from collections.abc import Iterable
from dataclasses import replace

from vexas_edge.bundle.manifest import Manifest
from vexas_edge.results.typing import CellTyping
from vexas_edge.results.values import CaseScore, UsedCell
from vexas_edge.scoring.images.reading import ReadCell, ReadCells, remarked
from vexas_edge.scoring.smears import ReadSmear, TypedSmear
from vexas_edge.scoring.typed.asking import Ask, asked_of
from vexas_edge.smear.case import UNNAMED
from vexas_edge.typing.rule import is_of


def typed_smear(read: ReadSmear, types: Manifest, ask: Ask, manifest: Manifest) -> TypedSmear:
    """The smear with its unnamed cells named, as far as the models are sure.

    Args:
        types: of the models that name cells.
        manifest: of the models that score.
    """
    if read.unnamed is None:
        return TypedSmear(read=read, is_whole=True)
    asked = asked_of(read.unnamed, types, ask)
    typing = CellTyping(
        models=tuple(types.typing),
        n_asked=len(asked.records),
        n_named=asked.n_named,
        n_too_large=len(asked.too_large),
        strangeness=asked.strangeness,
    )
    cells = (*asked.records.values(), *asked.too_large, *read.unnamed.others)
    routed = _routed(read, read.unnamed, cells, typing, manifest)
    return replace(routed, encodings=asked.encodings)


def typed_as_known(read: ReadSmear, known: CaseScore, manifest: Manifest) -> TypedSmear:
    """The smear with the names that its cells have in a known result, without an engine."""
    read = replace(read, retyping=known.retyping)
    if read.unnamed is None or known.typing is None:
        return TypedSmear(read=read, is_whole=bool(known.differential))
    by_identity = {
        cell.identity: cell
        for cell in known.typed_cells
        if cell.identity and cell.status != "duplicate"
    }
    cells = [
        replace(by_identity[record.identity], path=record.path, sha256=record.sha256)
        if record.identity in by_identity and record.status != "duplicate"
        else record
        for record in read.unnamed.records
    ]
    return _routed(read, read.unnamed, cells, known.typing, manifest)


def _routed(
    read: ReadSmear,
    unnamed: ReadCells,
    cells: Iterable[UsedCell],
    typing: CellTyping,
    manifest: Manifest,
) -> TypedSmear:
    """The smear whose models have these cells, too, each the ones that are of its classes.

    Args:
        unnamed: the smear's, with the images of these cells.
    """
    records = {record.path: record for record in cells}
    with_names = [
        _renamed(cell, records[cell.record.path])
        for cell in unnamed.distinct
        if records[cell.record.path].cell_class != UNNAMED
    ]
    of_models = dict(read.of_models)
    for name, model in manifest.models.items():
        if own := [cell for cell in with_names if is_of(cell.record.cell_class, model.cells)]:
            before = of_models.get(name, replace(unnamed, distinct=(), others=()))
            of_models[name] = _joined(before, own)
    order = {name: of_models[name] for name in manifest.models if name in of_models}
    return TypedSmear(
        read=replace(read, of_models=order),
        typing=typing,
        is_whole=True,
        cells=tuple(records[path] for path in sorted(records)),
    )


def _renamed(cell: ReadCell, record: UsedCell) -> ReadCell:
    own = replace(cell.cell, cell_class=record.cell_class, named_by="model")
    return replace(cell, cell=own, record=record)


def _joined(before: ReadCells, more: Iterable[ReadCell]) -> ReadCells:
    """A model's cells and more of them, by path."""
    distinct = sorted((*before.distinct, *more), key=lambda cell: cell.record.path)
    return replace(before, distinct=remarked(distinct))
