"""The work of the stage `export`: encoders and SVMs become a bundle."""

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from export import spec_from_fields, write_bundle
from training.chain.inputs import GivenCells, GivenFile
from training.talk import Talk
from vexas_edge.cells.canvas import Canvas, decode_cell
from vexas_edge.cells.limits import IsolationLimits, LargerCells
from vexas_edge.errors import InputError
from vexas_edge.scoring.images.isolator import opened_isolator
from vexas_edge.smear.cohort import CohortCase, read_row

EXPORTED = "exported.vxb"
_PARITY_CELLS = 12


@dataclass(frozen=True, kw_only=True)
class ModelParts:
    """One model.

    fields: of its spec, except those below.
    parts: files that its spec names, by field.
    cells: of the patients that it is fitted on, some of which the bundle is tested with.
    """

    fields: dict[str, Any]
    parts: dict[str, GivenFile]
    cells: GivenCells
    canvas_px: int
    larger: LargerCells


@dataclass(frozen=True, kw_only=True)
class ExportInputs:
    """The bundle's parts.

    fields: of its spec, except `models`.
    network: the mask network, if cells are isolated.
    limits: within which an isolated cell is accepted.
    """

    fields: dict[str, Any]
    models: dict[str, ModelParts]
    network: GivenFile | None
    limits: IsolationLimits


def make_bundle(to: Path, given: ExportInputs, _: Talk) -> None:
    """Write `exported.vxb`, and the cells that it was tested with.

    Raises:
        InputError: fewer than two cases have a cell that a model can use.
    """
    models = {}
    for name, model in given.models.items():
        fields = {
            **model.fields,
            **{field: str(file.path.resolve()) for field, file in model.parts.items()},
            "cells": model.cells.classes,
            "parity_cells": str(_parity_cells(name, model, given, to / "parity" / name)),
        }
        if given.network:
            fields["isolate"] = str(given.network.path.resolve())
            fields["isolation"] = msgspec.to_builtins(given.limits)
        models[name] = fields
    spec = spec_from_fields({**given.fields, "models": models})
    write_bundle(spec, to=to / EXPORTED)


def _parity_cells(name: str, model: ModelParts, given: ExportInputs, to: Path) -> Path:
    """The folder `to` with some original cells that the model can use."""
    to.mkdir(parents=True)
    n_found = 0
    with ExitStack() as stack:
        isolate = None
        if given.network:
            network = given.network.path.read_bytes()
            isolate = stack.enter_context(opened_isolator(network, given.limits))
        canvas = Canvas(canvas_px=model.canvas_px, larger=model.larger, isolate=isolate)
        for row in model.cells.rows:
            if n_found < _PARITY_CELLS and (
                found := _usable_cell(row, model.cells.classes, canvas)
            ):
                file, content = found
                (to / f"{n_found:03d}{Path(file).suffix}").write_bytes(content)
                n_found += 1
    if n_found < 2:
        raise InputError(
            f"model {name!r}: fewer than two cases that it is fitted on have a cell that it can use"
        )
    return to


def _usable_cell(
    row: CohortCase, classes: Collection[str], canvas: Canvas
) -> tuple[str, bytes] | None:
    """Name and content of the first cell of a smear that a model can use."""
    with read_row(row) as case:
        for cell in case.cells_of(classes):
            if decode_cell(case.source, cell, canvas).pixels is not None:
                return cell.path, case.source.read(cell.path)
    return None
