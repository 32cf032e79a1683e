"""Which cells a page shows, and under what words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from vexas_edge.results.values import CaseScore, ModelScore, Pull, UsedCell

MOST_PICTURES = 40
# How many kinds of galleries a model has, and one whose cells weigh more or less.
_KINDS, _KINDS_OF_BAG = 4, 5
_MOST_OF_KIND = 6
# Of the mean weight: the least that the heaviest cell has where cells do not weigh the same.
_HEAVIER = 1.001


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
    kinds = [_KINDS_OF_BAG if model.heaviest else _KINDS for model in result.models if model.cells]
    most = min(_MOST_OF_KIND, MOST_PICTURES // max(1, sum(kinds)))
    numbers, found = count(1), dict[str, tuple[Gallery, ...]]()
    for model in result.models:
        telling = [*_pulls(model, most), *_heaviest(model, most)]
        galleries = [
            *(telling if result.status == "scored" else ()),
            _typical(model, most),
            *([] if result.of_table else [_rejected(model, most)]),
        ]
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
        places = ": other cells would take its places in random groups" if model.n_draws else ""
        said = (
            f"If one of these cells were not there, and nothing else changed, the score would be "
            f"{way} by the figure below it{places}."
        )
        if without is not None and len(found) > 1:
            said += f" Without the {len(found)} strongest, the score would be {without:.3f}."
        yield Gallery(
            title=title,
            said=said,
            cells=tuple(_shown(model, found[:most])),
        )


def _heaviest(model: ModelScore, most: int) -> Iterator[Gallery]:
    """The cells that weigh most in a bag, unless all of them weigh the same."""
    if not model.heaviest or model.heaviest[0].weight * model.n_cells < _HEAVIER:
        return
    used = _used(model)
    yield Gallery(
        title="Cells that weigh most",
        said="Below each: its share of the weights of all cells, and the score if all cells were "
        f"like it. If all weighed the same, each would have {_percent(1 / model.n_cells)}.",
        cells=tuple(
            ShownCell(
                number=0,
                record=used[cell.identity],
                words=f"{_percent(cell.weight)}, {cell.score:.2f}",
            )
            for cell in model.heaviest[:most]
        ),
    )


def _percent(share: float) -> str:
    """A share in words, with a space that no line ends at."""
    return f"{100 * share:.1f}\u00a0%"


def _shown(model: ModelScore, pulls: Sequence[Pull]) -> Iterator[ShownCell]:
    used = _used(model)
    for pull in pulls:
        yield ShownCell(
            number=0, record=used[pull.identity], words=f"{pull.change:+.3f}".replace("-", "\u2212")
        )


def _typical(model: ModelScore, most: int) -> Gallery:
    used = _used(model)
    return Gallery(
        title="Typical cells",
        said="To the model, these lie nearest to the middle of all cells.",
        cells=tuple(
            ShownCell(number=0, record=used[identity], words="")
            for identity in model.typical[:most]
        ),
    )


def _rejected(model: ModelScore, most: int) -> Gallery:
    """Images that show no whole cell."""
    rejected = {cell.sha256: cell for cell in model.cells if cell.status == "rejected"}
    return Gallery(
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
