"""The cohort's tables that a calibration works on: opened, with each model's cells read."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vexas_edge.bundle.archive import Bundle
from vexas_edge.cells.vectors.cases import read_table
from vexas_edge.errors import InputError
from vexas_edge.results.values import UsedCell
from vexas_edge.scoring.vectors.reading import ReadRow, ReadRows
from vexas_edge.scoring.vectors.tables import read_table_for
from vexas_edge.smear.cohort import CohortCase, cases_of_split
from vexas_edge.talk import silent


@dataclass(frozen=True, kw_only=True)
class CohortTable:
    """One opened table of the cohort."""

    row: CohortCase
    of_models: dict[str, ReadRows]

    @property
    def identities(self) -> dict[str, bytes]:
        """Of each cell by its name; as the models take it, where they take other features."""
        return {
            f"{model} {cell.record.path}": bytes.fromhex(cell.record.identity)
            for model, rows in self.of_models.items()
            for cell in rows.distinct
        }

    @property
    def faults(self) -> tuple[str, ...]:
        """A line of text per lost cell."""
        return tuple(f"{self.row.sample}: {cell.path}: {cell.detail}" for cell in self.lost)

    @property
    def lost(self) -> tuple[UsedCell, ...]:
        """The cells that no model can use."""
        return tuple(
            cell
            for rows in self.of_models.values()
            for cell in rows.others
            if cell.status == "rejected"
        )

    @property
    def unreadable(self) -> tuple[str, ...]:
        """None: a table that holds what is no number is refused whole."""
        return ()

    def cells(self, name: str) -> dict[bytes, np.ndarray]:
        """Rows of a model's cells by their identity, float32 (n_features,)."""
        read = self.of_models[name]
        rows = read.placed(read.distinct)
        identities = (bytes.fromhex(cell.record.identity) for cell in read.distinct)
        return dict(zip(identities, rows, strict=True))


def open_tables(rows: Sequence[CohortCase], split: str, bundle: Bundle) -> tuple[CohortTable, ...]:
    """The cohort's tables of one split, read for each of the bundle's models.

    Raises:
        InputError: the split has no case, one cannot be read, or it lacks more features than a
            model allows.
    """
    return tuple(_opened(row, bundle) for row in cases_of_split(rows, split))


def _opened(row: CohortCase, bundle: Bundle) -> CohortTable:
    try:
        with read_table(row.path) as case:
            read = read_table_for(case, bundle, silent)
    except InputError as error:
        raise InputError(f"{row.written}: {error}") from error
    for name, rows in read.of_models.items():
        vectors = bundle.manifest.models[name].vectors
        if len(rows.matched.missing) > vectors.missing_share * vectors.n_features:
            raise InputError(
                f"{row.written}: the table lacks {len(rows.matched.missing)} of the "
                f"{vectors.n_features} features of model {name!r}"
            )
    return CohortTable(row=row, of_models=read.of_models)


def rows_in_turns(
    tables: Sequence[CohortTable], name: str, seed: int
) -> list[tuple[CohortTable, ReadRow]]:
    """A model's cells of all tables, patients taking turns; it depends on their content alone."""
    groups: dict[str, list[tuple[bytes, CohortTable, ReadRow]]] = defaultdict(list)
    for table in tables:
        for cell in table.of_models[name].distinct:
            mixed = hashlib.sha256(f"{seed} {cell.record.identity}".encode()).digest()
            groups[table.row.patient].append((mixed, table, cell))
    ranked = [
        (turn, mixed, table, cell)
        for group in groups.values()
        for turn, (mixed, table, cell) in enumerate(sorted(group, key=lambda found: found[0]))
    ]
    ranked.sort(key=lambda found: found[:2])
    return [(table, cell) for _, _, table, cell in ranked]
