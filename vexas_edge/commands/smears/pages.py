"""What the pages of a run's results show of their smears."""

from pathlib import Path

from vexas_edge.choices import PageKind
from vexas_edge.report.page import cells_on_page
from vexas_edge.report.pictures import Pictures, pictures_from_smear, pictures_of
from vexas_edge.results.values import CaseScore
from vexas_edge.scoring.smears import ReadSmear


def pictures_from_read(kind: PageKind, score: CaseScore, read: ReadSmear) -> Pictures | None:
    """The pictures for a new result's page, from its smear, which is open.

    Raises:
        InputError: a cell has changed meanwhile.
    """
    return pictures_of(cells_on_page(score), read.pixels) if kind == "with pictures" else None


def pictures_again(kind: PageKind, score: CaseScore, smear: Path) -> Pictures | None:
    """The pictures for a known result's page, from its smear's folder or zip.

    Raises:
        InputError: it cannot be read, or is another smear.
    """
    if kind != "with pictures":
        return None
    return pictures_from_smear(cells_on_page(score), smear)
