"""How a result stands among the others, in words for a person."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from vexas_edge.ledger.lines import CaseLine
from vexas_edge.ledger.sameness import Known
from vexas_edge.results.values import CaseScore, ModelScore
from vexas_edge.text import folded, listed, unicode_text


def shown_result(score: CaseScore, line: CaseLine, known: Known, folder: Path) -> CaseScore:
    """The result that a line is of, as it may be shown.

    Args:
        folder: the results folder.
    """
    if not known.withholds(line):
        return score
    others = list(map(known.case_of, line.entry.shares_cells_with))
    return _held_back(score, others, unicode_text(str(folder)))


def _held_back(score: CaseScore, others: Sequence[str], folder: str) -> CaseScore:
    """A held result as it may be shown: without an answer, and with what to do.

    Args:
        others: the cases that half or more of the cells are in, too.
        folder: the results folder.
    """
    why = (
        f"half or more of its cells are those of {listed(others)}: was a slide exported under "
        "another name? If not, "
        f"`vexas-edge results confirm {shlex.quote(folder)} {shlex.quote(score.case)}`"
    )
    models = tuple(
        ModelScore(
            model=model.model,
            status="abstained",
            threshold=model.threshold,
            n_cells=model.n_cells,
            n_unreadable=model.n_unreadable,
            n_rejected=model.n_rejected,
            minimum_cells=model.minimum_cells,
            reasons=("held",),
            explanations=(why,),
            covariates=model.covariates,
            typical=model.typical,
            domain=model.domain,
            cells=model.cells,
        )
        for model in score.models
    )
    return replace(
        score, status="abstained", call=None, models=models, differential={}, retyping=None
    )


def remarks_from_line(line: CaseLine, known: Known, held: Sequence[str]) -> Iterator[str]:
    """What a person should look into, of how a result stands among the others.

    Args:
        held: the cases that are held since they share cells with it.
    """
    case, entry = line.case, line.entry
    if held and not known.withholds(line):
        yield f"warning: {case}: must wait: it shares cells with {listed(held)}, which is held"
    other = known.case_of(entry.same_cells_as) if entry.same_cells_as else case
    if other != case:
        yield f"warning: {case}: the same cells as {other}; was one slide exported under two names?"
    if folded(case) != folded(entry.given):
        yield f"warning: {case}: another smear was called {entry.given} before; both are kept"
    if entry.revises and known.state(line) == "current":
        yield f"note: {case}: takes the place of result {entry.revises}, which is kept"
