"""When a model does not score a case: one rule for scoring, judging and evaluation alike."""

from typing import Literal

Reason = Literal["too_few_cells"]


def reasons_to_abstain(n_cells: int, minimum_cells: int) -> tuple[Reason, ...]:
    """The machine-readable reasons why a model does not score a case; empty if it does.

    Args:
        n_cells: distinct cells of the case that the model can use.
        minimum_cells: how many cells the model needs, as the manifest says.

    >>> reasons_to_abstain(9, 10)
    ('too_few_cells',)
    """
    return ("too_few_cells",) if n_cells < minimum_cells else ()
