"""When a model does not score a case: one rule for scoring, judging and evaluation alike."""

from collections.abc import Iterable
from dataclasses import dataclass

from vexas_edge.results.values import UsedCell

# Of a model's distinct cells, at most this share may be unreadable, and at most that share may be
# unreadable or rejected; one cell may always be. A few damaged files do not change a score much.
# Where many cells are lost, those that are left may not be the smear's.
_UNREADABLE_SHARE = 0.1
_LOST_SHARE = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why a model does not score a case.

    code: machine-readable.
    text: for people, with what to do.
    """

    code: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CellCounts:
    """What became of a model's distinct cells; a copy is none.

    used: those that the model can use.
    unreadable: those that cannot be read, or are larger than the canvas.
    rejected: those that were read and do not show one whole cell.
    """

    used: int
    unreadable: int = 0
    rejected: int = 0

    @property
    def all(self) -> int:
        return self.used + self.unreadable + self.rejected


def counts_from_records(records: Iterable[UsedCell]) -> CellCounts:
    """How many distinct cells there are of each kind.

    Copies of a cell that cannot be decoded are not known as such.
    """
    distinct = {(cell.status, cell.identity or cell.path) for cell in records}
    statuses = [status for status, _ in distinct]
    return CellCounts(
        used=statuses.count("used"),
        unreadable=statuses.count("unreadable"),
        rejected=statuses.count("rejected"),
    )


def reasons_to_abstain(counts: CellCounts, minimum_cells: int) -> tuple[Reason, ...]:
    """Why a model does not score a case, going by the number of its cells; empty if it does.

    Args:
        minimum_cells: how many cells the model needs, as the manifest says.

    >>> [reason.code for reason in reasons_to_abstain(CellCounts(used=9), 10)]
    ['too_few_cells']
    >>> reasons_to_abstain(CellCounts(used=50, unreadable=6), 10)[0].text
    '11 % of the cells (6 of 56) could not be read, 10 % may be: export or copy the smear again'
    """
    reasons = []
    if counts.used < minimum_cells:
        text = f"{counts.used} cells can be used, at least {minimum_cells} needed: export more"
        reasons.append(Reason(code="too_few_cells", text=text))
    if _too_many(counts.unreadable, counts, _UNREADABLE_SHARE):
        what = _share_text(counts.unreadable, counts, "read", _UNREADABLE_SHARE)
        text = f"{what}: export or copy the smear again"
        reasons.append(Reason(code="too_many_unreadable", text=text))
    elif _too_many(counts.unreadable + counts.rejected, counts, _LOST_SHARE):
        what = _share_text(
            counts.unreadable + counts.rejected, counts, "isolated or read", _LOST_SHARE
        )
        text = f"{what}: look for touching or cut cells, focus and stain"
        reasons.append(Reason(code="too_many_rejected", text=text))
    return tuple(reasons)


def _too_many(lost: int, counts: CellCounts, share: float) -> bool:
    return lost > max(1, share * counts.all)


def _share_text(lost: int, counts: CellCounts, done: str, share: float) -> str:
    found = f"{lost / counts.all:.0%}".replace("%", " %")
    allowed = f"{share:.0%}".replace("%", " %")
    return f"{found} of the cells ({lost} of {counts.all}) could not be {done}, {allowed} may be"
