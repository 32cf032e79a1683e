"""Naming the cells that nobody has named, and giving each to the models that take its class.

A name that an analyzer or an expert gave is never changed, and a cell that no model is sure enough
of stays without one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.manifest import Manifest
from vexas_edge.bundle.models import TypingModel
from vexas_edge.results.typing import CellTyping, Retyping, Strangeness
from vexas_edge.results.values import CaseScore, UsedCell
from vexas_edge.scoring.reading import ReadCell, ReadCells, remarked
from vexas_edge.scoring.smears import ReadSmear, TypedSmear
from vexas_edge.scoring.typed.said import SaidOfCells
from vexas_edge.smear.case import UNNAMED
from vexas_edge.typing.rule import NamedCell, is_of, meant_by, named

TOO_LARGE = "not_one_cell"
# From cells and the name of a model to what it says of each, as `cell_probabilities` has it.
Ask = Callable[[ReadCells, str], SaidOfCells]


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What the models said of cells that were nameless to them.

    records: of those that they were shown, by path.
    too_large: of images that are no single cell.
    encodings: as `TypedSmear` has them.
    strangeness: of the smear; no cell of a strange one has a name.
    """

    records: dict[str, UsedCell]
    too_large: tuple[UsedCell, ...]
    encodings: dict[str, Mapping[str, NDArray[np.float32]]]
    strangeness: Strangeness | None = None

    @property
    def n_named(self) -> int:
        return sum(record.cell_class != UNNAMED for record in self.records.values())


def typed_smear(before: TypedSmear, types: Manifest, ask: Ask, manifest: Manifest) -> TypedSmear:
    """The smear with its unnamed cells named, as far as the models are sure.

    Args:
        before: the smear, with what the models may have said of cells that had a name.
        types: of the models that name cells.
        manifest: of the models that score.
    """
    read = before.read
    if read.unnamed is None:
        return replace(before, is_whole=True)
    asked = _asked(read.unnamed, types, ask)
    typing = CellTyping(
        models=tuple(types.typing),
        n_asked=len(asked.records),
        n_named=asked.n_named,
        n_too_large=len(asked.too_large),
        strangeness=asked.strangeness,
    )
    cells = (*asked.records.values(), *asked.too_large, *read.unnamed.others)
    routed = _routed(read, read.unnamed, cells, typing, manifest)
    return replace(routed, retyping=before.retyping, encodings=asked.encodings)


def retyped_smear(read: ReadSmear, types: Manifest, ask: Ask) -> TypedSmear:
    """The smear with what models that name cells say of those that have a name.

    Each cell keeps that name; the record of it says what the models took it for. Scoring encodes
    the cells as if nobody had been asked.
    """
    groups = [*read.of_models.values(), *([read.bystanders] if read.bystanders else [])]
    named_cells = {cell.record.path: cell for group in groups for cell in group.distinct}.values()
    classes = {name for model in types.typing.values() for name in model.classes}
    known = [cell for cell in named_cells if _is_among(cell.record.cell_class, classes)]
    by_identity = {cell.record.identity: cell for cell in known}
    nameless = (
        replace(cell, record=replace(cell.record, cell_class=UNNAMED))
        for cell in by_identity.values()
    )
    asked = _Asked(records={}, too_large=(), encodings={})
    if groups:
        asked = _asked(replace(groups[0], distinct=tuple(nameless), others=()), types, ask)
    said = {record.identity: record for record in asked.records.values()}
    by_class: dict[str, Counter[str]] = {}
    for cell in known:
        given, found = cell.record.cell_class, said.get(cell.record.identity)
        if found and found.cell_class != UNNAMED and not _same(given, found.cell_class):
            by_class.setdefault(given, Counter())[found.cell_class] += 1
    retyping = Retyping(
        models=tuple(types.typing),
        n_asked=len(said),
        n_sure=asked.n_named,
        n_unknown=len({cell.record.identity for cell in named_cells} - by_identity.keys()),
        n_too_large=len(asked.too_large),
        otherwise={given: dict(names) for given, names in sorted(by_class.items())},
        strangeness=asked.strangeness,
    )
    return TypedSmear(
        read=replace(
            read,
            of_models={name: _with_said(own, said) for name, own in read.of_models.items()},
            bystanders=read.bystanders and _with_said(read.bystanders, said),
        ),
        retyping=retyping,
    )


def _same(one: str, other: str) -> bool:
    """Whether two names may be of the same cell, one of them perhaps wider."""
    return one in meant_by(other) or other in meant_by(one)


def _is_among(name: str, classes: Iterable[str]) -> bool:
    return any(_same(name, one) for one in classes)


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


def _asked(unnamed: ReadCells, types: Manifest, ask: Ask) -> _Asked:
    """What the models say of cells without a name, each of those that it is for."""
    models = types.typing
    largest_px = min(model.largest_px for model in models.values())
    shown = [cell for cell in unnamed.distinct if max(cell.size_px) <= largest_px]
    large = [cell.record for cell in unnamed.distinct if max(cell.size_px) > largest_px]
    records = {cell.record.path: cell.record for cell in shown}
    encodings: dict[str, Mapping[str, NDArray[np.float32]]] = {}
    strangeness: Strangeness | None = None
    for name, model in models.items():
        whose = model.of or (UNNAMED,)
        asked = tuple(cell for cell in shown if records[cell.record.path].cell_class in whose)
        if asked:
            found = ask(replace(unnamed, distinct=asked, others=()), name)
            encodings[name] = found.encodings
            if not model.of:
                strangeness = found.strangeness
            limits = {} if strangeness and strangeness.is_strange else model.limits
            records |= {one.path: one for one in _with_names(found, records, model, limits)}
    too_large = tuple(_no_cell(record, largest_px) for record in large)
    return _Asked(
        records=records, too_large=too_large, encodings=encodings, strangeness=strangeness
    )


def typed_as_known(read: ReadSmear, known: CaseScore, manifest: Manifest) -> TypedSmear:
    """The smear with the names that its cells have in a known result, without an engine."""
    if read.unnamed is None or known.typing is None:
        return TypedSmear(read=read, retyping=known.retyping, is_whole=bool(known.differential))
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
    routed = _routed(read, read.unnamed, cells, known.typing, manifest)
    return replace(routed, retyping=known.retyping)


def _with_names(
    said: SaidOfCells,
    before: Mapping[str, UsedCell],
    model: TypingModel,
    limits: Mapping[str, float],
) -> Iterator[UsedCell]:
    """The records of cells with what one model says of them.

    Args:
        before: their records by path, with the names that models before this one gave.
        limits: the least probability with which a cell gets each name.
    """
    rows = list(said.probabilities.values())
    found = named(np.array(rows), model.classes, limits) if rows else []
    by_identity = dict(zip(said.probabilities, found, strict=True))
    for record in said.records:
        if record.identity in by_identity:
            yield _with_name(before[record.path], by_identity[record.identity])
        else:  # it could not be put on the canvas; the name before stays
            yield before[record.path] if model.of else record


def _with_name(record: UsedCell, said: NamedCell) -> UsedCell:
    """The record of a cell that a model was shown; the name before stays where it gives none."""
    seen = replace(record, predicted_class=said.predicted, probability=said.probability)
    if said.name == UNNAMED:
        return seen
    return replace(seen, cell_class=said.name, named_by="model")


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


def _no_cell(record: UsedCell, largest_px: int) -> UsedCell:
    detail = f"the image is over {largest_px} px, larger than any of one cell"
    return replace(record, status="rejected", reason=TOO_LARGE, detail=detail)
