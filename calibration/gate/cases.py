"""The cohort's cases that a calibration works on, as the bundle takes them."""

from collections.abc import Sequence
from contextlib import ExitStack

from calibration.gate.smears import Smear, open_smears
from calibration.gate.tables import CohortTable, open_tables
from vexas_edge.bundle.archive import Bundle
from vexas_edge.smear.cohort import CohortCase
from vexas_edge.smear.options import ReadOptions

OpenedCase = Smear | CohortTable


def open_cases(
    bundle: Bundle,
    rows: Sequence[CohortCase],
    split: str,
    options: ReadOptions,
    stack: ExitStack,
) -> tuple[OpenedCase, ...]:
    """The cohort's smears or tables of one split, as the bundle takes them.

    Raises:
        InputError: as `open_smears` and `open_tables`.
    """
    if bundle.manifest.takes_tables:
        return open_tables(rows, split, bundle)
    return open_smears(rows, split, options, stack)
