"""What the page of a result must say of the other results in its folder.

It is asked of the cells that standing results share today, and not of what a result said of others
when it came: those may be replaced or removed by now, and others may have come.
"""

from collections import defaultdict

from vexas_edge.ledger.lines import CaseLine
from vexas_edge.ledger.sameness import Known
from vexas_edge.report.answers import OtherCases

_Names = dict[str, list[str]]
_NOTHING = (OtherCases(), OtherCases(replaced=True))


class Others:
    """Which cases share cells, from the results in a folder; they grow."""

    def __init__(self, known: Known) -> None:
        self._known, self._seen = known, -1

    def of(self, line: CaseLine) -> OtherCases:
        """What the page of a result must say."""
        self._look()
        known, state = self._known, self._known.state(line)
        withheld = known.withholds(line)
        if state == "replaced":
            return OtherCases(replaced=True, withheld=withheld)
        if withheld:
            names = map(known.case_of, line.entry.shares_cells_with)
            unclear = dict.fromkeys([*self._alike[line.number], *names])
            return OtherCases(unclear=tuple(unclear), held=(line.case,), withheld=True)
        held = tuple(self._held_for.get(line.case, ()))
        copies = (case for case in self._by_marks.get(line.marks, {}) if case != line.case)
        return OtherCases(
            unclear=held,
            held=held,
            same_cells=tuple(copies) if line.marks and state == "current" else (),
            newer_is_held=state == "current" and line.case in self._held,
        )

    def waits(self, line: CaseLine) -> bool:
        """Whether a result that has an answer must wait, as another case with its cells is held."""
        self._look()
        return self._known.state(line) == "current" and line.case in self._held_for

    def may_tell(self, line: CaseLine) -> bool:
        """Whether the page of a result tells of another case, or did so once."""
        self._look()
        return line.case in self._flagged or self.of(line) not in _NOTHING

    def _look(self) -> None:
        """Find out who shares cells with whom, unless nothing has changed."""
        if self._seen == self._known.changes:
            return
        self._seen = self._known.changes
        self._held: set[str] = set()
        self._flagged = {line.case for line in self._known if self._known.flags(line)}
        self._alike: dict[int, list[str]] = defaultdict(list)
        self._held_for: _Names = {}
        self._by_marks: dict[bytes, dict[str, None]] = defaultdict(dict)
        for line in self._known:
            state = self._known.state(line)
            if state in ("current", "held"):
                self._by_marks[line.marks][line.case] = None
            if state == "held":
                self._held.add(line.case)
                self._look_at_held(line)

    def _look_at_held(self, line: CaseLine) -> None:
        for other in self._known.alike(line):
            self._alike[line.number].append(other.case)
            if not self._known.withholds(other):
                names = self._held_for.setdefault(other.case, [])
                names += [line.case] if line.case not in names else []
