"""Asking models that name cells, each of the cells that it is for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.manifest import Manifest
from vexas_edge.bundle.models import TypingModel
from vexas_edge.results.typing import Strangeness
from vexas_edge.results.values import UsedCell
from vexas_edge.scoring.images.reading import ReadCells
from vexas_edge.scoring.typed.said import SaidOfCells
from vexas_edge.smear.case import UNNAMED
from vexas_edge.typing.rule import NamedCell, named

TOO_LARGE = "not_one_cell"
# From cells and the name of a model to what it says of each, as `cell_probabilities` has it.
Ask = Callable[[ReadCells, str], SaidOfCells]


@dataclass(frozen=True, kw_only=True)
class AllSaid:
    """What the models said of cells that were nameless to them.

    records: of those that they were shown, by path.
    too_large: of images that are no single cell.
    encodings: as `TypedSmear` has them.
    strangeness: of the smear; no cell of a strange one has a name.
    """

    records: Mapping[str, UsedCell] = field(default_factory=dict)
    too_large: tuple[UsedCell, ...] = ()
    encodings: Mapping[str, Mapping[str, NDArray[np.float32]]] = field(default_factory=dict)
    strangeness: Strangeness | None = None

    @property
    def n_named(self) -> int:
        return sum(record.cell_class != UNNAMED for record in self.records.values())


def asked_of(unnamed: ReadCells, types: Manifest, ask: Ask) -> AllSaid:
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
    return AllSaid(
        records=records, too_large=too_large, encodings=encodings, strangeness=strangeness
    )


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


def _no_cell(record: UsedCell, largest_px: int) -> UsedCell:
    detail = f"the image is over {largest_px} px, larger than any of one cell"
    return replace(record, status="rejected", reason=TOO_LARGE, detail=detail)
