"""Hashes the images of cells, each once a run, and of these the cells that a stage reads."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from training.chain.inputs import GivenCells
from vexas_edge.errors import CellError
from vexas_edge.smear.case import Case, Cell
from vexas_edge.smear.cohort import CohortCase, read_row


@dataclass(frozen=True, kw_only=True)
class CellHashes:
    """The hashes of this run, by path; in a zip, the path of the zip and that in it."""

    known: dict[Path, str] = field(default_factory=dict)

    def know(self, folder: Path, files: Mapping[str, str]) -> None:
        """Take over hashes that are known already, by name in the folder."""
        self.known.update({folder / name: sha256 for name, sha256 in files.items()})

    def given(self, rows: Sequence[CohortCase], classes: Sequence[str]) -> GivenCells:
        """The rows and their cells of these classes, with their hash.

        Raises:
            InputError: a case cannot be read.
        """
        told = []
        for row in rows:
            said = [row.patient, row.sample, row.label, row.split, row.covariates]
            told.append([*said, self._cells(row, classes)])
        return GivenCells(
            rows=tuple(rows) if classes else tuple(replace(row, path=Path()) for row in rows),
            classes=tuple(classes),
            sha256=hashlib.sha256(json.dumps([list(classes), told]).encode()).hexdigest(),
        )

    def _cells(self, row: CohortCase, classes: Sequence[str]) -> list[list[str]]:
        if not classes:
            return []
        with read_row(row) as case:
            cells = case.cells_of(classes)
            return [[c.path, c.cell_class, self._hash(row.path, case, c)] for c in cells]

    def _hash(self, folder: Path, case: Case, cell: Cell) -> str:
        place = folder / cell.path
        if place not in self.known:
            try:
                content = case.source.read(cell.path)
            except CellError:
                return "damaged"
            self.known[place] = hashlib.sha256(content).hexdigest()
        return self.known[place]
