"""What is the same smear, the same cells, or another smear under a name that is taken.

Names are what people gave; cells are what was there. A result never takes the place of another
smear's, and no smear is scored twice for the same answer.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count

import numpy as np

from vexas_edge.ledger.lines import MARK_BYTES, CaseLine, JournalLine, RunLine
from vexas_edge.ledger.smears import Placing, Smear
from vexas_edge.results.values import Entry, ResultState
from vexas_edge.smear.stamp import is_of_one_place
from vexas_edge.text import folded

_MARK = np.dtype(f"u{MARK_BYTES}")


class Known:
    """The results of a folder in memory, and what a new smear is to them.

    changes: how often something was taken in.
    """

    def __init__(self, lines: Iterable[CaseLine]) -> None:
        self._lines: dict[int, CaseLine] = {}
        self._by_name: dict[str, list[CaseLine]] = defaultdict(list)
        self._by_key: dict[str, CaseLine] = {}
        # By series and case: the newest result that has not failed, and that may be looked at.
        self._latest: dict[tuple[str, str], int] = {}
        self._current: dict[tuple[str, str], int] = {}
        self._flags: dict[int, list[str]] = defaultdict(list)
        self.changes = 0
        self._confirmed: set[int] = set()
        self._mended: set[int] = set()
        self._marks = np.empty(0, _MARK)
        self._owners = np.empty(0, np.int64)
        self._remember(sorted(lines, key=lambda line: line.number))

    def __iter__(self) -> Iterator[CaseLine]:
        return iter(self._lines.values())

    def case_of(self, number: int) -> str:
        """The case of a result; of one that was removed, its number."""
        line = self._lines.get(number)
        return line.case if line else f"result {number}, which was removed"

    def line(self, number: int) -> CaseLine | None:
        """The line of a result; None if it was removed."""
        return self._lines.get(number)

    def add(self, line: CaseLine) -> None:
        """Take in a new result."""
        self._remember([line])

    def take_in(self, record: RunLine) -> None:
        """Take in that held results are right, or that failures were mended."""
        self.changes += 1
        self._mended.update(record.mended)
        self._confirmed.update(record.confirmed)
        if not record.confirmed:
            return
        self._current.clear()
        for line in self:
            self._stand(line)

    def state(self, line: CaseLine) -> ResultState:
        """How a result stands today."""
        place = (line.entry.series, line.case)
        if line.status == "failed":
            stands = line.number > self._latest.get(place, 0) and line.number not in self._mended
            return "failed" if stands else "replaced"
        if self._current.get(place) == line.number:
            return "current"
        return "held" if self._latest.get(place) == line.number else "replaced"

    def changes_others(self, line: CaseLine) -> bool:
        """Whether another result's row of cases.csv changes with this one, which is the newest."""
        if line.told or folded(line.case) != folded(line.entry.given):
            return True
        earlier = (other for other in self._of_name(line.case) if other.number < line.number)
        place = (line.entry.series, line.case)
        return any(
            other.status == "failed" and (other.entry.series, other.case) == place
            for other in earlier
        )

    def failures(self, line: CaseLine, stamp: str) -> tuple[int, ...]:
        """The numbers of the failures of a result's case that stand beside it, of that place."""
        place = (line.entry.series, line.case)
        return tuple(
            other.number
            for other in self._of_name(line.case)
            if (other.entry.series, other.case) == place
            and self.state(other) == "failed"
            and is_of_one_place(other.entry.stamp, stamp)
        )

    def flags(self, line: CaseLine) -> list[str]:
        """What a person should look into, as words with the name of another result."""
        return list(dict.fromkeys(self._flags.get(line.number, [])))

    def withholds(self, line: CaseLine) -> bool:
        """Whether a result's answer is shown nowhere: it was held, and nobody has confirmed it."""
        return line.entry.held and line.number not in self._confirmed

    def alike(self, line: CaseLine) -> list[CaseLine]:
        """Standing results of other cases that share half or more of the smaller one's cells."""
        return [other for other in self._alike(line.marks) if other.case != line.case]

    def held(self, case: str) -> list[CaseLine]:
        """The held results of a case."""
        return [
            line
            for line in self._of_name(case)
            if self.state(line) == "held" and folded(line.case) == folded(case)
        ]

    def untouched(self, given: str, series: str, stamp: str) -> CaseLine | None:
        """The standing result of a smear of this name none of whose files was touched."""
        return self._standing(given, lambda e: (e.series, e.stamp) == (series, stamp))

    def same_files(self, given: str, series: str, content: str) -> CaseLine | None:
        """The standing result of a smear of this name that had these very files."""
        return self._standing(given, lambda e: (e.series, e.content) == (series, content))

    def has_name(self, given: str, series: str) -> bool:
        """Whether a smear of this name has a standing result."""
        return self._standing(given, lambda entry: entry.series == series) is not None

    def failed_alike(self, given: str, series: str, stamp: str, error: str) -> CaseLine | None:
        """The standing result of a smear of this name that has failed in the very same way."""
        wanted = (series, stamp, error)
        alike = (
            line
            for line in self._of_name(given)
            if (line.entry.series, line.entry.stamp, line.error) == wanted
            and self.state(line) == "failed"
        )
        return next(alike, None)

    def place(self, smear: Smear, *, again: bool = False) -> Placing:
        """Where a smear's result belongs among the others.

        Args:
            again: whether a smear that has its result is scored once more.
        """
        family = [line for line in self._of_name(smear.given) if self._stands(line)]
        same = next((line for line in family if line.entry.key == smear.key), None)
        if same and not again:
            return Placing(case=same.case, known=same)
        alike = self._alike(smear.marks)
        case = self._case_of(smear, family, alike)
        same_key = None if again else self._by_key.get(smear.key)
        # Of smears under other names, the newest result each.
        others = {line.case: line.number for line in alike if line.case != case}
        if same_key:
            copies = {line.case for line in alike if line.entry.key == smear.key}
            others = {name: number for name, number in others.items() if name not in copies}
        accepted = self._accepted(case)
        if same_key and not self.withholds(same_key):
            accepted |= self._accepted(same_key.case)
        # Who is held for being like this case does not hold it in turn.
        clear = accepted | {name for name, n in others.items() if self._waits_for(n, case)}
        shares, unclear = set(others.values()), not others.keys() <= clear
        if same_key and self.withholds(same_key) and not self._waits_for(same_key.number, case):
            unclear, shares = True, shares | {same_key.number}  # it is not shown through a copy
        return Placing(
            case=case,
            same_key=same_key,
            revises=self._latest.get((smear.series, case)),
            shares_cells_with=tuple(sorted(shares)),
            held=unclear,
        )

    def _case_of(self, smear: Smear, family: Sequence[CaseLine], alike: Sequence[CaseLine]) -> str:
        """The name of a smear's result: its own, unless that is another smear's."""
        own = [line for line in family if line in alike]
        if own:
            return own[0].case
        if any(line.marks for line in family):
            numbered = (f"{smear.given} ({number})" for number in count(2))
            return next(name for name in numbered if folded(name) not in self._by_name)
        return family[0].case if family else smear.given

    def _waits_for(self, number: int, case: str) -> bool:
        line = self._lines[number]
        return self.withholds(line) and case in map(self.case_of, line.entry.shares_cells_with)

    def _accepted(self, case: str) -> set[str]:
        """The cases that this one is known to share cells with, without being held for it."""
        found = set()
        for line in self:
            entry = line.entry
            linked = {*entry.shares_cells_with, *filter(None, [entry.same_cells_as])}
            linked = {
                n for n in linked if n not in self._lines or not self.withholds(self._lines[n])
            }
            if not linked or self.withholds(line):
                continue
            names = {self.case_of(number) for number in linked}
            if line.case == case:
                found |= names
            elif case in names:
                found.add(line.case)
        return found

    def _alike(self, marks: bytes) -> list[CaseLine]:
        """The standing results that half or more of the smaller smear's cells are in, by number."""
        own = np.frombuffer(marks, _MARK)
        numbers, counts = np.unique(self._owners[np.isin(self._marks, own)], return_counts=True)
        return [
            line
            for line, shared in zip(map(self._lines.__getitem__, numbers), counts, strict=True)
            if 2 * MARK_BYTES * shared >= min(len(marks), len(line.marks)) and self._stands(line)
        ]

    def _standing(self, given: str, wanted: Callable[[Entry], bool]) -> CaseLine | None:
        lines = (line for line in self._of_name(given) if wanted(line.entry))
        return next((line for line in lines if self._stands(line)), None)

    def _of_name(self, name: str) -> Iterator[CaseLine]:
        """The results of smears that were found under this name or got it, the newest first."""
        return reversed(self._by_name.get(folded(name), []))

    def _stands(self, line: CaseLine) -> bool:
        return self.state(line) in ("current", "held")

    def _remember(self, lines: Sequence[CaseLine]) -> None:
        self.changes += 1
        for line in lines:
            self._lines[line.number] = line
            self._flag(line)
            for name in {folded(line.entry.given), folded(line.case)}:
                self._by_name[name].append(line)
            if line.entry.key:
                self._by_key.setdefault(line.entry.key, line)
            self._stand(line)
        marks = [np.frombuffer(line.marks, _MARK) for line in lines]
        owners = [np.full(len(m), line.number) for m, line in zip(marks, lines, strict=True)]
        self._marks = np.concatenate([self._marks, *marks])
        self._owners = np.concatenate([self._owners, *owners])

    def _stand(self, line: CaseLine) -> None:
        if line.status == "failed":
            return
        place = (line.entry.series, line.case)
        self._latest[place] = line.number
        if not self.withholds(line):
            self._current[place] = line.number

    def _flag(self, line: CaseLine) -> None:
        """Note what a person should look into, at this result and at the other one."""
        entry = line.entry
        linked = [("shares_cells_with", number) for number in entry.shares_cells_with]
        linked += [("same_cells_as", entry.same_cells_as)] if entry.same_cells_as else []
        for word, number in linked:
            if (other := self._lines.get(number)) and other.case != line.case:
                self._flags[line.number].append(f"{word} {other.case}")
                self._flags[number].append(f"{word} {line.case}")
        if folded(line.case) != folded(entry.given):
            self._flags[line.number].append(f"same_name_as {entry.given}")
            for other in self._by_name.get(folded(entry.given), []):
                if other.case != line.case:
                    self._flags[other.number].append(f"same_name_as {line.case}")


def known_from_lines(lines: Iterable[JournalLine]) -> Known:
    """The results that these lines are of."""
    every = list(lines)
    known = Known(line for line in every if isinstance(line, CaseLine))
    for line in every:
        if isinstance(line, RunLine):
            known.take_in(line)
    return known
