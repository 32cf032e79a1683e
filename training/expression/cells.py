"""Labelled cells with their genes: tables of numbers, and one CSV file that says what each cell is.

cell,label,patient,sample,lineage
AAACATACCAAGCT-1,stim,101,stim101,CD14+ Monocytes
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from vexas_edge.cells.limits import FeatureKind
from vexas_edge.cells.vectors.matching import WantedFeatures, are_ensembl, checked_blocks
from vexas_edge.cells.vectors.reading import feature_table
from vexas_edge.cells.vectors.table import FeatureTable, SparseRows
from vexas_edge.errors import InputError
from vexas_edge.inputs import table_from_csv
from vexas_edge.talk import Say
from vexas_edge.text import listed

_REQUIRED, _OPTIONAL = ("cell", "label", "patient"), ("sample", "lineage")


@dataclass(frozen=True, kw_only=True, eq=False)
class ExpressionCells:
    """N cells of G features.

    rows: their numbers as the tables have them, a sparse float32 matrix (N, G) in CSR.
    features: their names.
    names, labels, patients, samples, lineages: of each cell, str (N,). A sample is what one case
        is; a lineage may be empty.
    """

    rows: sparse.csr_matrix
    features: tuple[str, ...]
    names: NDArray[np.str_]
    labels: NDArray[np.str_]
    patients: NDArray[np.str_]
    samples: NDArray[np.str_]
    lineages: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that there are, in alphabetical order."""
        return tuple(np.unique(self.labels).tolist())

    def dense(self, chosen: NDArray[np.int64] | slice = slice(None)) -> NDArray[np.float32]:
        """The numbers of some cells, float32 (n, G).

        Args:
            chosen: their rows, int64 (n,).
        """
        return self.rows[chosen].toarray().astype(np.float32, copy=False)

    def of_rows(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> "ExpressionCells":
        """Some of the cells.

        Args:
            chosen: their rows, int64 (n,), or whether each is chosen, bool (N,).
        """
        return ExpressionCells(
            rows=self.rows[chosen],
            features=self.features,
            names=self.names[chosen],
            labels=self.labels[chosen],
            patients=self.patients[chosen],
            samples=self.samples[chosen],
            lineages=self.lineages[chosen],
        )

    def of_lineages(self, wanted: Sequence[str]) -> "ExpressionCells":
        """The cells of some lineages.

        Raises:
            InputError: there is no cell of one of them.
        """
        if unknown := [name for name in wanted if name not in self.lineages]:
            there = ", ".join(map(repr, np.unique(self.lineages).tolist()))
            raise InputError(f"no cell is of the lineage {unknown[0]!r}; there are {there}")
        return self.of_rows(np.isin(self.lineages, wanted))


@dataclass(frozen=True, kw_only=True)
class TakenNumbers:
    """What numbers of cells must be.

    names: what the names of their features are.
    counts: whether they are counts as they were counted.
    """

    names: FeatureKind = "other"
    counts: bool = False


ANY_NUMBERS = TakenNumbers()


@dataclass(frozen=True, kw_only=True)
class _Row:
    """What the CSV file says of a cell."""

    label: str
    patient: str
    sample: str
    lineage: str
    line: int


def expression_cells(
    tables: Sequence[Path], cells_csv: Path, say: Say, taken: TakenNumbers = ANY_NUMBERS
) -> ExpressionCells:
    """The cells that a CSV file names, with their numbers from the tables, in the tables' order.

    Args:
        cells_csv: has the columns cell, label and patient, and maybe sample (else the patient) and
            lineage (else empty).
        say: takes how many cells of the tables the CSV does not name, and which features have
            the name of another, all of which are left out.
        taken: what numbers and names of features must be.

    Raises:
        InputError: a file cannot be read; the CSV lacks a column or a value, names a cell twice, or
            one that no table has; a cell is in the tables twice; a table has other features than
            the first, or numbers or names that are not taken. The message says where.
        HostError: what reads .h5ad is not installed.
    """
    wanted = _wanted(cells_csv)
    opened = [(path, feature_table(path)) for path in tables]
    if not opened:
        raise InputError("no table of cells is given; name at least one")
    features = _features_of(*opened[0], taken.names, say)
    wanted_numbers = WantedFeatures(names=(), kind=taken.names, are_counts=taken.counts)
    found: dict[str, Path] = {}
    parts: list[sparse.csr_matrix] = []
    n_others = 0
    for path, table in opened:
        places = _places(path, _names_of_kind(path, table, taken.names), features)
        for block in checked_blocks(table, wanted_numbers):
            known = np.array([name in wanted for name in block.names], bool)
            n_others += int((~known).sum())
            for name in compress(block.names, known):
                if name in found:
                    raise InputError(
                        f"cell {name!r} is in {found[name]} and again in {path}; give each cell a "
                        "name of its own, such as the sample's before it"
                    )
                found[name] = path
            parts.append(_sparse(block.rows)[known][:, places])
    _check_found(wanted, found, cells_csv)
    if n_others:
        say(f"note: {n_others} cells of the tables are not in {cells_csv}, and are left out")
    return _joined(wanted, tuple(found), sparse.vstack(parts, format="csr"), features)


def _features_of(path: Path, table: FeatureTable, kind: FeatureKind, say: Say) -> tuple[str, ...]:
    """The features of the first table that share their name with no other."""
    features, repeated = _names_once(_names_of_kind(path, table, kind))
    if not features:
        raise InputError(f"{path} has every feature twice; name each once")
    if repeated:
        say(
            f"note: {len(repeated)} features are left out, as others have their names: "
            f"{listed(repeated)}"
        )
    return features


def _joined(
    wanted: Mapping[str, _Row],
    names: tuple[str, ...],
    rows: sparse.csr_matrix,
    features: tuple[str, ...],
) -> ExpressionCells:
    of_each = [wanted[name] for name in names]
    return ExpressionCells(
        rows=rows,
        features=features,
        names=np.array(names, np.str_),
        labels=np.array([row.label for row in of_each], np.str_),
        patients=np.array([row.patient for row in of_each], np.str_),
        samples=np.array([row.sample for row in of_each], np.str_),
        lineages=np.array([row.lineage for row in of_each], np.str_),
    )


def _wanted(path: Path) -> dict[str, _Row]:
    """What the CSV file says of each cell, by its name."""
    table = table_from_csv(path, "table of cells")
    if missing := [name for name in _REQUIRED if name not in table.columns]:
        raise InputError(
            f"{path} lacks the columns {', '.join(missing)}; its columns are {table.has}"
        )
    for name in (*_REQUIRED, *_OPTIONAL):
        if table.columns.count(name) > 1:
            raise InputError(f"{path} has the column {name!r} twice; rename one")
    wanted: dict[str, _Row] = {}
    for line, texts in table.rows:
        if len(texts) != len(table.columns):
            raise InputError(
                f"{path}, line {line}: {len(texts)} values for {len(table.columns)} columns"
            )
        values = dict(zip(table.columns, texts, strict=True))
        if empty := [name for name in _REQUIRED if not values[name]]:
            raise InputError(f"{path}, line {line}: no value for {', '.join(empty)}")
        cell, patient = values["cell"], values["patient"]
        if cell in wanted:
            raise InputError(
                f"{path}, line {line}: cell {cell!r} is already in line {wanted[cell].line}; "
                "name each cell once"
            )
        wanted[cell] = _Row(
            label=values["label"],
            patient=patient,
            sample=values.get("sample") or patient,
            lineage=values.get("lineage", ""),
            line=line,
        )
    if not wanted:
        raise InputError(f"{path} names no cell; expected a row for each")
    owners: dict[str, str] = {}
    for row in wanted.values():
        if owners.setdefault(row.sample, row.patient) != row.patient:
            raise InputError(
                f"{path}, line {row.line}: the sample {row.sample!r} is of the patients "
                f"{owners[row.sample]!r} and {row.patient!r}; a sample is of one"
            )
    return wanted


def _places(path: Path, own: Sequence[str], features: Sequence[str]) -> NDArray[np.int64]:
    """Which column of a table each feature is, int64 (G,)."""
    places, (once, _) = {name: place for place, name in enumerate(own)}, _names_once(own)
    differing = sorted(set(features) ^ set(once))
    if differing:
        raise InputError(
            f"{path} and the first table differ in {len(differing)} features: "
            f"{listed(differing)}; give tables of the same features"
        )
    return np.array([places[name] for name in features], np.int64)


def _names_once(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names that one feature alone has, and those that several have."""
    times = Counter(names)
    once = tuple(name for name in names if times[name] == 1)
    return once, tuple(name for name, n in times.items() if n > 1)


def _names_of_kind(path: Path, table: FeatureTable, kind: FeatureKind) -> tuple[str, ...]:
    """Those of a table's two kinds of names that are of the kind that is asked for.

    Raises:
        InputError: neither is.
    """
    both = [names for names in (table.features.names, table.features.others) if names]
    if kind == "other":
        return both[0]
    found = [names for names in both if are_ensembl(names) == (kind == "ensembl")]
    if not found:
        other = "symbol" if kind == "ensembl" else "ensembl"
        raise InputError(
            f"{path} names its features otherwise, such as {listed(both[0])}; give --names {other}"
        )
    return found[0]


def _sparse(rows: SparseRows) -> sparse.csr_matrix:
    shape = (len(rows), rows.n_columns)
    return sparse.csr_matrix((rows.values, rows.columns, rows.starts), shape)


def _check_found(wanted: Mapping[str, _Row], found: Mapping[str, Path], path: Path) -> None:
    if lost := [name for name in wanted if name not in found]:
        first = wanted[lost[0]]
        raise InputError(
            f"{path}, line {first.line}: no table has the cell {lost[0]!r}, and {len(lost)} of "
            f"{len(wanted)} named cells in all; give the tables that have them, or take them out"
        )
