"""Quality lights of a table: what was looked at in its cells and features, and what to do."""

from collections import Counter
from collections.abc import Iterator

from vexas_edge.report.lights import Light, enough_cells
from vexas_edge.results.values import ModelScore
from vexas_edge.text import listed

_NOT_COMPARED = "the bundle does not know those that it was trained on"


def lights_of_table(model: ModelScore) -> tuple[Light, ...]:
    """The lights of one model's cells in a table."""
    return (enough_cells(model), *_of_rows(model), _of_features(model), _of_likeness(model))


def _of_rows(model: ModelScore) -> Iterator[Light]:
    statuses = Counter(cell.status for cell in model.cells)
    for name, number, what, remedy in (
        ("no empty cell", statuses["rejected"], "have no number", "why are they in the table?"),
        (
            "no cell twice",
            statuses["duplicate"],
            "have the same numbers as another",
            "find out where they come from",
        ),
    ):
        if number:
            found = f"{what}: {number} of {len(model.cells)} cells"
            yield Light(name=name, state="look", found=found, remedy=remedy)
        else:
            yield Light(name=name, state="in order", found=f"{what}: none")


def _of_features(model: ModelScore) -> Light:
    missing = model.missing
    if missing is None:
        return Light(name="all features", state="in order", found="none is missing")
    share = f"{100 * missing.share:.1f}\u00a0%"
    return Light(
        name="all features",
        state="fault" if missing.share > missing.allowed else "look",
        found=f"{missing.number} ({share}) are missing, such as {listed(missing.examples)}",
        remedy="look at the names that the table has, their species and their kind",
    )


def _of_likeness(model: ModelScore) -> Light:
    strangeness = model.strangeness
    if strangeness is None:
        return Light(name="like training", state="not compared", found=_NOT_COMPARED)
    found = f"median distance {strangeness.distance:.2f}, at most {strangeness.farthest:.2f}"
    if not strangeness.is_strange:
        return Light(name="like training", state="in order", found=found)
    remedy = "check that the numbers are of such cells, and were made in the same way"
    return Light(name="like training", state="fault", found=found, remedy=remedy)
