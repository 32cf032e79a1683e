"""What the pages of a run's results show of their smears."""

from pathlib import Path

from vexas_edge.choices import PageKind
from vexas_edge.report.page import cells_on_page
from vexas_edge.report.pictures import Pictures, pictures_from_smear, pictures_of
from vexas_edge.results.values import CaseScore
from vexas_edge.scoring.smears import ReadCase
from vexas_edge.scoring.vectors.reading import ReadTable


def pictures_from_read(kind: PageKind, score: CaseScore, read: ReadCase) -> Pictures | None:
    """The pictures for a new result's page, from its smear, which is open; none of a table.

    Raises:
        InputError: a cell has changed meanwhile.
    """
    if kind != "with pictures" or isinstance(read, ReadTable):
        return None
    return pictures_of(cells_on_page(score), read.pixels)


def pictures_again(kind: PageKind, score: CaseScore, smear: Path) -> Pictures | None:
    """The pictures for a known result's page, from its smear's folder or zip.

    Raises:
        InputError: it cannot be read, or is another smear.
    """
    if kind != "with pictures" or score.of_table:
        return None
    return pictures_from_smear(cells_on_page(score), smear)
