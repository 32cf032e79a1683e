"""What tells whether a smear is one that is known already: its files, and its cells by pixels."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress

from vexas_edge.bundle.manifest import Manifest
from vexas_edge.cells.vectors.case import TableCase
from vexas_edge.commands.smears.steps import Looked
from vexas_edge.errors import CellError
from vexas_edge.ledger.lines import marks_from_identities
from vexas_edge.ledger.smears import Smear, content_of, key_of
from vexas_edge.naming.case_ids import Naming
from vexas_edge.scoring.smears import AnyCase, ReadCase
from vexas_edge.scoring.vectors.reading import ReadTable
from vexas_edge.smear.case import UNNAMED


def files_of(
    case: AnyCase, manifest: Manifest, naming: Naming, *, whole: bool
) -> Iterator[tuple[str, str, str]]:
    """Path as shown, class and hash of the files of all cells that a model looks at.

    Args:
        whole: whether models look at all of its cells.
    """
    if isinstance(case, TableCase):
        yield "", UNNAMED, case.sha256()
        return
    classes = {c for model in manifest.models.values() for c in model.cells}
    for cell in case.cells if whole else case.cells_of(classes):
        sha256 = ""
        with suppress(CellError):  # what cannot be read has no hash in its result either
            sha256 = hashlib.sha256(case.source.read(cell.path)).hexdigest()
        yield naming.shown_path(cell.cell_class, cell.path), cell.cell_class, sha256


def smear_of(looked: Looked, read: ReadCase, series: str, naming: Naming) -> Smear:
    """What the ledger is told of a smear whose cells were read."""
    records, covariates = list(read.records), looked.covariates
    if isinstance(read, ReadTable):
        files = [("", UNNAMED, read.sha256)]
    else:
        files = [(naming.shown_path(r.cell_class, r.path), r.cell_class, r.sha256) for r in records]
    return Smear(
        given=looked.named.name,
        series=series,
        stamp=looked.stamp,
        content=content_of(files, covariates),
        key=key_of(series, records, covariates),
        marks=marks_from_identities(record.identity for record in records),
    )
