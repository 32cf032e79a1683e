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
from vexas_edge.results.typing import CellTyping, Retyping
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
    """

    records: dict[str, UsedCell]
    too_large: tuple[UsedCell, ...]
    encodings: dict[str, Mapping[str, NDArray[np.float32]]]

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
    )
    cells = (*asked.records.values(), *asked.too_large, *read.unnamed.others)
    routed = _routed(read, read.unnamed, cells, typing, manifest)
    encodings = dict(before.encodings)
    for name, found in asked.encodings.items():
        encodings[name] = {**encodings.get(name, {}), **found}
    return replace(routed, retyping=before.retyping, encodings=encodings)


def retyped_smear(read: ReadSmear, types: Manifest, ask: Ask) -> TypedSmear:
    """The smear with what models that name cells say of those that have a name.

    Each cell keeps that name; the record of it says what the models took it for.
    """
    groups = [*read.of_models.values(), *([read.bystanders] if read.bystanders else [])]
    cells = {cell.record.path: cell for group in groups for cell in group.distinct}
    nameless = [replace(c, record=replace(c.record, cell_class=UNNAMED)) for c in cells.values()]
    said = _Asked(records={}, too_large=(), encodings={})
    if groups:
        said = _asked(replace(groups[0], distinct=tuple(nameless), others=()), types, ask)
    by_class: dict[str, Counter[str]] = {}
    for path, record in said.records.items():
        given, name = cells[path].record.cell_class, record.cell_class
        if name != UNNAMED and given not in meant_by(name) and name not in meant_by(given):
            by_class.setdefault(given, Counter())[name] += 1
    retyping = Retyping(
        n_asked=len(said.records),
        n_sure=said.n_named,
        otherwise={given: dict(names) for given, names in sorted(by_class.items())},
    )
    return TypedSmear(
        read=replace(
            read,
            of_models={name: _with_said(own, said.records) for name, own in read.of_models.items()},
            bystanders=read.bystanders and _with_said(read.bystanders, said.records),
        ),
        retyping=retyping,
        encodings=said.encodings,
    )


def _with_said(read: ReadCells, said: Mapping[str, UsedCell]) -> ReadCells:
    """The cells with what was said of them; they keep their names."""

    def seen(cell: ReadCell) -> ReadCell:
        found = said.get(cell.record.path)
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
    for name, model in models.items():
        whose = model.of or (UNNAMED,)
        asked = tuple(cell for cell in shown if records[cell.record.path].cell_class in whose)
        if asked:
            found = ask(replace(unnamed, distinct=asked, others=()), name)
            records |= {one.path: one for one in _with_names(found, records, model)}
            encodings[name] = found.encodings
    too_large = tuple(_no_cell(record, largest_px) for record in large)
    return _Asked(records=records, too_large=too_large, encodings=encodings)


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
    said: SaidOfCells, before: Mapping[str, UsedCell], model: TypingModel
) -> Iterator[UsedCell]:
    """The records of cells with what one model says of them.

    Args:
        before: their records by path, with the names that models before this one gave.
    """
    rows = list(said.probabilities.values())
    found = named(np.array(rows), model.classes, model.limits) if rows else []
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
