"""Which cells a page shows, and under what words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from vexas_edge.results.values import CaseScore, ModelScore, Pull, UsedCell

MOST_PICTURES = 40
_KINDS = 4  # of galleries a model
_MOST_OF_KIND = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownCell:
    """A cell on the page.

    number: its place on the page, from 1.
    words: what is said of it.
    """

    number: int
    record: UsedCell
    words: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Gallery:
    """Some cells of one model.

    said: why they are shown, and how they were chosen.
    """

    title: str
    said: str
    cells: tuple[ShownCell, ...]


def galleries_of(result: CaseScore) -> dict[str, tuple[Gallery, ...]]:
    """The galleries of each model, of at most `MOST_PICTURES` cells in all; none is empty.

    Where the case has no answer, nothing tells which cells pull a score.

    Args:
        result: as it may be shown.
    """
    n_models = sum(1 for model in result.models if model.cells)
    most = min(_MOST_OF_KIND, MOST_PICTURES // (_KINDS * max(1, n_models)))
    numbers, found = count(1), dict[str, tuple[Gallery, ...]]()
    for model in result.models:
        pulling = _pulls(model, most) if result.status == "scored" else ()
        galleries = [*pulling, *_others(model, most)]
        found[model.model] = tuple(_numbered(g, numbers) for g in galleries if g.cells)
    return found


def _numbered(gallery: Gallery, numbers: Iterator[int]) -> Gallery:
    cells = tuple(replace(cell, number=next(numbers)) for cell in gallery.cells)
    return replace(gallery, cells=cells)


def _pulls(model: ModelScore, most: int) -> Iterator[Gallery]:
    """The cells that pull the score up, and those that pull it down."""
    pulls = model.pulls
    if pulls is None:
        return
    for title, found, without, way in (
        ("Cells that pull the score up", pulls.up, pulls.without_up, "lower"),
        ("Cells that pull the score down", pulls.down, pulls.without_down, "higher"),
    ):
        said = (
            f"If one of these cells were not there, and nothing else changed, the score would be "
            f"{way} by the figure below it: other cells would take its places in random groups."
        )
        if without is not None and len(found) > 1:
            said += f" Without the {len(found)} strongest, the score would be {without:.3f}."
        yield Gallery(
            title=title,
            said=said,
            cells=tuple(_shown(model, found[:most])),
        )


def _shown(model: ModelScore, pulls: Sequence[Pull]) -> Iterator[ShownCell]:
    used = _used(model)
    for pull in pulls:
        yield ShownCell(
            number=0, record=used[pull.identity], words=f"{pull.change:+.3f}".replace("-", "\u2212")
        )


def _others(model: ModelScore, most: int) -> Iterator[Gallery]:
    """Typical cells, and those that show no whole cell."""
    used = _used(model)
    yield Gallery(
        title="Typical cells",
        said="To the model, these lie nearest to the middle of all cells of the smear.",
        cells=tuple(
            ShownCell(number=0, record=used[identity], words="")
            for identity in model.typical[:most]
        ),
    )
    rejected = {cell.sha256: cell for cell in model.cells if cell.status == "rejected"}
    yield Gallery(
        title="Rejected images",
        said="These were read, and do not show one whole cell; they count for nothing.",
        cells=tuple(
            ShownCell(number=0, record=cell, words=cell.reason.replace("_", " "))
            for _, cell in sorted(rejected.items())[:most]
        ),
    )


def _used(model: ModelScore) -> dict[str, UsedCell]:
    """The cells that the model used, by identity."""
    return {cell.identity: cell for cell in model.cells if cell.status == "used"}
