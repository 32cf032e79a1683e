"""The bare slide of a training cohort, which a model that normalises brings every case to."""

from collections.abc import Collection, Sequence

from vexas_edge.cells.background import Background, middle_background
from vexas_edge.cells.canvas import measured_background
from vexas_edge.errors import InputError
from vexas_edge.host.process import default_threads
from vexas_edge.smear.cohort import CohortCase, read_row
from vexas_edge.smear.options import ReadOptions


def background_of_cohort(
    rows: Sequence[CohortCase], classes: Collection[str], reading: ReadOptions
) -> Background:
    """In each channel the lower median over the cohort's cases, as their cells of the classes show.

    Raises:
        InputError: a case cannot be read, or none has a readable cell of these classes.
    """
    found = []
    for row in rows:
        with read_row(row, reading) as case:
            measured = measured_background(case, classes, threads=default_threads())
        if measured is not None:
            found.append(measured)
    if not found:
        raise InputError(
            f"none of the {len(rows)} cases has a readable cell of {', '.join(classes)}"
        )
    return middle_background(found)
