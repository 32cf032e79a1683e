"""Naming the cells that nobody has named, and giving each to the models that take its class.

A name that an analyzer or an expert gave is never changed, and a cell that no model is sure enough
of stays without one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.contract import DRAWS, PROBABILITIES
from vexas_edge.bundle.manifest import Manifest
from vexas_edge.errors import HostError
from vexas_edge.results.typing import CellTyping
from vexas_edge.results.values import CaseScore, UsedCell
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.answering import check_call
from vexas_edge.scoring.encoding import encode_cells
from vexas_edge.scoring.reading import ReadCell, ReadCells, ReadSmear, remarked
from vexas_edge.smear.case import UNNAMED
from vexas_edge.talk import Progress
from vexas_edge.typing.rule import NamedCell, is_of, named

TOO_LARGE = "not_one_cell"


@dataclass(frozen=True, kw_only=True)
class TypedSmear:
    """A smear whose cells have the names that a model gave.

    read: its models have the cells that were named as theirs, too.
    typing: how cells were named; None where there was nobody to name them, or nothing to name.
    cells: those that nobody had named, by path.
    """

    read: ReadSmear
    typing: CellTyping | None = None
    cells: tuple[UsedCell, ...] = ()


def typed_smear(
    read: ReadSmear, sessions: Sessions, chunk_cells: int | None, progress: Progress
) -> TypedSmear:
    """The smear with its unnamed cells named, as far as the models are sure.

    Args:
        sessions: `sessions.typers` has the models that name cells.

    Raises:
        HostError, BundleError, InputError: as `score_case`.
    """
    if read.unnamed is None or (typers := sessions.typers) is None:
        return TypedSmear(read=read)
    largest_px = min(model.largest_px for model in typers.bundle.manifest.typing.values())
    shown = [cell for cell in read.unnamed.distinct if _longest_px(cell) <= largest_px]
    too_large = [
        _no_cell(cell.record, largest_px)
        for cell in read.unnamed.distinct
        if _longest_px(cell) > largest_px
    ]
    records = {cell.record.identity: cell.record for cell in shown}
    for name, model in typers.bundle.manifest.typing.items():
        whose = model.of or (UNNAMED,)
        asked = [cell for cell in shown if records[cell.record.identity].cell_class in whose]
        own = replace(read.unnamed, distinct=tuple(asked), others=())
        for record in _named_by(own, name, typers, chunk_cells, progress):
            records[record.identity] = record
    n_named = sum(record.cell_class != UNNAMED for record in records.values())
    typing = CellTyping(
        sha256=typers.bundle.sha256,
        models=tuple(typers.bundle.manifest.typing),
        n_asked=len(shown),
        n_named=n_named,
        n_too_large=len(too_large),
    )
    cells = (*records.values(), *too_large, *read.unnamed.others)
    return _routed(read, cells, typing, sessions.bundle.manifest)


def typed_as_known(read: ReadSmear, known: CaseScore, manifest: Manifest) -> TypedSmear:
    """The smear with the names that its cells have in a known result, without an engine."""
    if read.unnamed is None or known.typing is None:
        return TypedSmear(read=read)
    by_identity = {cell.identity: cell for cell in known.typed_cells if cell.status != "duplicate"}
    cells = [
        replace(by_identity[record.identity], path=record.path, sha256=record.sha256)
        if record.identity in by_identity and record.status != "duplicate"
        else record
        for record in read.unnamed.records
    ]
    return _routed(read, cells, known.typing, manifest)


def _named_by(
    cells: ReadCells,
    name: str,
    typers: Sessions,
    chunk_cells: int | None,
    progress: Progress,
) -> Iterable[UsedCell]:
    """The records of cells with what one model says of them."""
    if not cells.distinct:
        return ()
    encoded = encode_cells(cells, name, typers, chunk_cells, progress)
    if not np.isfinite(encoded.encodings).all():
        raise HostError(
            f"model {name}: the engine returned encodings that are not finite; "
            "run `vexas-edge verify` on this PC"
        )
    check_call(name, encoded, typers)
    order = encoded.by_identity
    found = _naming(name, encoded.encodings[order], typers)
    said = dict(zip((encoded.identities[place].hex() for place in order), found, strict=True))
    return [
        _with_name(record, said[record.identity]) if record.identity in said else record
        for record in encoded.records
    ]


def _naming(name: str, encodings: NDArray[np.float32], typers: Sessions) -> list[NamedCell]:
    """What the model's head says of each cell."""
    if not len(encodings):
        return []
    model = typers.bundle.manifest.typing[name]
    draws = np.arange(len(encodings), dtype=np.int64)[:, None]
    outputs = typers.classify(name, encodings, {DRAWS: draws})
    return named(outputs[PROBABILITIES].astype(np.float64), model.classes, model.limits)


def _with_name(record: UsedCell, said: NamedCell) -> UsedCell:
    """The record of a cell that a model was shown; the name before stays where it gives none."""
    seen = replace(record, predicted_class=said.predicted, probability=said.probability)
    if said.name == UNNAMED:
        return seen
    return replace(seen, cell_class=said.name, named_by="model")


def _routed(
    read: ReadSmear, cells: Iterable[UsedCell], typing: CellTyping, manifest: Manifest
) -> TypedSmear:
    """The smear whose models have these cells, too, each the ones that are of its classes."""
    assert read.unnamed is not None  # of which these cells are
    records = {record.path: record for record in cells}
    with_names = [
        _renamed(cell, records[cell.record.path])
        for cell in read.unnamed.distinct
        if records[cell.record.path].cell_class != UNNAMED
    ]
    of_models = dict(read.of_models)
    for name, model in manifest.models.items():
        if own := [cell for cell in with_names if is_of(cell.record.cell_class, model.cells)]:
            before = of_models.get(name, replace(read.unnamed, distinct=(), others=()))
            of_models[name] = _joined(before, own)
    order = {name: of_models[name] for name in manifest.models if name in of_models}
    return TypedSmear(
        read=replace(read, of_models=order),
        typing=typing,
        cells=tuple(records[path] for path in sorted(records)),
    )


def _renamed(cell: ReadCell, record: UsedCell) -> ReadCell:
    own = replace(cell.cell, cell_class=record.cell_class, named_by="model")
    return replace(cell, cell=own, record=record)


def _joined(before: ReadCells, more: Iterable[ReadCell]) -> ReadCells:
    """A model's cells and more of them, by path."""
    distinct = sorted((*before.distinct, *more), key=lambda cell: cell.record.path)
    return replace(before, distinct=remarked(distinct))


def _longest_px(cell: ReadCell) -> int:
    return max(cell.size_px)


def _no_cell(record: UsedCell, largest_px: int) -> UsedCell:
    detail = f"the image is over {largest_px} px, larger than any of one cell"
    return replace(record, status="rejected", reason=TOO_LARGE, detail=detail)
