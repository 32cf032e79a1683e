"""When a model does not score a case: one rule for scoring, judging and evaluation alike."""

from typing import Literal

Reason = Literal["too_few_cells", "too_many_unreadable"]

# Of a model's distinct cells, at most this share may be unreadable, or this many, to be scored.
_UNREADABLE_SHARE = 0.1
_UNREADABLE_CELLS = 1


def reasons_to_abstain(
    n_cells: int, minimum_cells: int, n_unreadable: int = 0
) -> tuple[Reason, ...]:
    """The machine-readable reasons why a model does not score a case; empty if it does.

    A few damaged files do not change a score much; where many cells are lost, those that are left
    may not be the smear's.

    Args:
        n_cells: distinct cells of the case that the model can use.
        minimum_cells: how many cells the model needs, as the manifest says.
        n_unreadable: further cells, which cannot be read.

    >>> reasons_to_abstain(9, 10)
    ('too_few_cells',)
    >>> reasons_to_abstain(50, 10, n_unreadable=6)
    ('too_many_unreadable',)
    """
    reasons: list[Reason] = []
    if n_cells < minimum_cells:
        reasons.append("too_few_cells")
    share = _UNREADABLE_SHARE * (n_cells + n_unreadable)
    if n_unreadable > max(_UNREADABLE_CELLS, share):
        reasons.append("too_many_unreadable")
    return tuple(reasons)
