"""When a model does not score a case: one rule for scoring, judging and evaluation alike."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from vexas_edge.results.typing import CellTyping
from vexas_edge.results.values import UsedCell

# Of a model's distinct cells, at most this share may be unreadable, and at most that share may be
# unreadable or rejected; one cell may always be. A few damaged files do not change a score much.
# Where many cells are lost, those that are left may not be the smear's.
_UNREADABLE_SHARE = 0.1
_LOST_SHARE = 0.25

_EXPORT_AGAIN = "export or copy the smear again"
_LOOK_AT_CELLS = "look for touching or cut cells, focus and stain"
# Where most of them are lost for one of these reasons.
_REMEDIES = {
    "no_numbers": "most have no number at all; look at how the table was made",
    "empty": "most show nothing but one colour; look at the images, the lamp and the export",
    "larger_than_canvas": "most are larger than the model takes; check magnification and export",
}


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
    copies: how many images show another one's cell; they are no cells.
    mostly: the commonest reason for which cells are unreadable or rejected, machine-readable.
    """

    used: int
    unreadable: int = 0
    rejected: int = 0
    copies: int = 0
    mostly: str = ""

    @property
    def all(self) -> int:
        return self.used + self.unreadable + self.rejected


def counts_from_records(records: Collection[UsedCell]) -> CellCounts:
    """How many distinct cells there are of each kind.

    Copies of a cell that cannot be decoded are not known as such.
    """
    distinct = {(cell.status, _key(cell)) for cell in records}
    statuses = [status for status, _ in distinct]
    lost = Counter(cell.reason for cell in records if cell.status in ("unreadable", "rejected"))
    return CellCounts(
        used=statuses.count("used"),
        unreadable=statuses.count("unreadable"),
        rejected=statuses.count("rejected"),
        copies=statuses.count("duplicate"),
        mostly=max(sorted(lost), key=lost.__getitem__, default=""),
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
        text = f"{_used_text(counts)}, at least {minimum_cells} needed: export more"
        reasons.append(Reason(code="too_few_cells", text=text))
    if _too_many(counts.unreadable, counts, _UNREADABLE_SHARE):
        what = _share_text(counts.unreadable, counts, "read", _UNREADABLE_SHARE)
        text = f"{what}: {_REMEDIES.get(counts.mostly, _EXPORT_AGAIN)}"
        reasons.append(Reason(code="too_many_unreadable", text=text))
    elif _too_many(counts.unreadable + counts.rejected, counts, _LOST_SHARE):
        what = _share_text(counts.unreadable + counts.rejected, counts, "used", _LOST_SHARE)
        text = f"{what}: {_REMEDIES.get(counts.mostly, _LOOK_AT_CELLS)}"
        reasons.append(Reason(code="too_many_rejected", text=text))
    return tuple(reasons)


def with_unnamed(reasons: tuple[Reason, ...], typing: CellTyping | None) -> tuple[Reason, ...]:
    """The same reasons; that no cell was named stands in place of there being too few."""
    strangeness = typing.strangeness if typing else None
    others = tuple(reason for reason in reasons if reason.code != "too_few_cells")
    is_short = len(others) < len(reasons)
    if typing is None or strangeness is None or not (strangeness.is_strange and is_short):
        return reasons
    text = (
        f"none of {typing.n_asked} cells without a class was named, as they look unlike those that "
        f"the model which names cells was fitted on (median distance {strangeness.distance:.2f}, "
        f"at most {strangeness.farthest:.2f})"
    )
    return (Reason(code="cells_not_named", text=text), *others)


def reason_for_cut_out(n_cut_out: int, counts: CellCounts) -> tuple[Reason, ...]:
    """Why a model that needs the slide around its cells does not score cells alone on black."""
    if not _too_many(n_cut_out, counts, _LOST_SHARE):
        return ()
    text = (
        f"{n_cut_out} of {counts.all} cells lie cut out on black, while the model needs the slide "
        "around them: export the images as the analyzer shows them"
    )
    return (Reason(code="cut_out_cells", text=text),)


def _key(cell: UsedCell) -> str:
    """What makes a cell distinct; each copy is one more."""
    return cell.path if cell.status == "duplicate" else cell.identity or cell.path


def _used_text(counts: CellCounts) -> str:
    left_out = {"copies of others": counts.copies, "rejected": counts.rejected}
    left_out["unreadable"] = counts.unreadable
    beside = ", ".join(f"{n} {what}" for what, n in left_out.items() if n)
    cells = "1 cell" if counts.used == 1 else f"{counts.used} cells"
    return f"{cells} can be used" + (f" (beside {beside})" if beside else "")


def _too_many(lost: int, counts: CellCounts, share: float) -> bool:
    return lost > max(1, share * counts.all)


def _share_text(lost: int, counts: CellCounts, done: str, share: float) -> str:
    found = f"{lost / counts.all:.0%}".replace("%", " %")
    allowed = f"{share:.0%}".replace("%", " %")
    return f"{found} of the cells ({lost} of {counts.all}) could not be {done}, {allowed} may be"
