"""What the page of a result must say of the other results in its folder."""

from vexas_edge.ledger.lines import CaseLine
from vexas_edge.ledger.sameness import Known
from vexas_edge.report.answers import OtherCases


def other_cases_of(line: CaseLine, known: Known) -> OtherCases:
    """Whose cells a result's are, too, and whether a newer one has taken its place."""
    if known.state(line) == "replaced":
        return OtherCases(replaced=True)
    if known.withholds(line):
        names = map(known.case_of, line.entry.shares_cells_with)
        return OtherCases(unclear=tuple(dict.fromkeys(names)), held=(line.case,))
    held = _held_for(line, known)
    return OtherCases(unclear=held, held=held, same_cells=_with_same_cells(line, known))


def related(line: CaseLine, known: Known) -> list[CaseLine]:
    """The results whose pages may have to say something else since this one came."""
    told = filter(None, map(known.line_of, line.told))
    cases = dict.fromkeys([line.case, *(other.case for other in told)])
    return [one for case in cases for one in known.of_case(case)]


def _held_for(line: CaseLine, known: Known) -> tuple[str, ...]:
    """The cases that are held since half or more of their cells are this case's, too.

    It does not matter which result of this case they were held for.
    """
    telling = [other for own in known.of_case(line.case) for other in known.telling_of(own.number)]
    named = filter(None, map(known.line_of, line.entry.shares_cells_with))
    found = [
        other.case
        for other in (*telling, *named)
        if known.state(other) == "held"
        and line.case in map(known.case_of, other.entry.shares_cells_with)
    ]
    return tuple(dict.fromkeys(found))


def _with_same_cells(line: CaseLine, known: Known) -> tuple[str, ...]:
    """Other cases with the very same cells."""
    copies = [o for o in known.telling_of(line.number) if o.entry.same_cells_as == line.number]
    if line.entry.same_cells_as and (original := known.line_of(line.entry.same_cells_as)):
        copies.append(original)
    standing = (other.case for other in copies if known.state(other) in ("current", "held"))
    return tuple(dict.fromkeys(name for name in standing if name != line.case))
