"""A judgement of cells' classes as lines, as JSON and as a page with pictures."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.judging.page import rendered
from training.judging.words import aligned, text_of_bounded
from training.png import COLOURS, png_from_figure
from training.typed.judging import Judgement
from training.typed.tables import Table
from vexas_edge.files import write_atomically
from vexas_edge.host.libraries import load_library
from vexas_edge.text import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

matplotlib_figure = load_library("matplotlib.figure")

JSON_FILE, PAGE = "typing.json", "typing.html"
TITLE_WORDS = {
    "five": "five classes",
    "eight": "eight classes, as in the Leukopy study: bands are immature granulocytes",
    "subclasses": "neutrophils and immature granulocytes",
    "eleven": "eleven classes",
}
# A square of a confusion matrix is written on in white from this share on.
_DARK = 0.5


def write_judgement(found: Judgement, title: str, folder: Path) -> None:
    """Write `typing.json` and `typing.html` to the folder, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"title": title, **asdict(found)}, indent=2, allow_nan=False)
    write_atomically(folder / JSON_FILE, text.encode() + b"\n")
    pictures = {TITLE_WORDS[name]: confusion_plot(t) for name, t in found.tables.items()}
    pictures["how sure, and how often right"] = sureness_plot(found)
    page = rendered("typing.html", title, found=found, words=TITLE_WORDS, pictures=pictures)
    write_atomically(folder / PAGE, page.encode())


def lines_from_judgement(found: Judgement) -> list[str]:
    """All tables and what became of all cells, for the console."""
    head = f"{found.n_cells} cells of {found.n_owners} patients or sources, {found.how}:"
    lines = [head, *(line for table in found.tables.values() for line in _lines_of_table(table))]
    named = [
        (name, str(f.n_named), _text(f.precision), f"{_text(f.found)} of {f.n_of_class}")
        for name, f in found.acceptance.of_names.items()
    ]
    of_labels = [
        (label, str(sum(names.values())), _names_text(names))
        for label, names in found.acceptance.of_labels.items()
    ]
    return [
        *lines,
        *["", "over all cells, of any class:"],
        *_unlike_lines(found),
        *aligned([("name", "given to", "right", "of its own cells"), *named]),
        *["", *aligned([("cells of", "all", "named"), *of_labels])],
        *[
            "",
            f"mean difference of probability and share that is right: {found.sureness.error:.3f}",
        ],
    ]


def _unlike_lines(found: Judgement) -> Iterator[str]:
    """Of whom no cell was named, if of any."""
    if found.unlike:
        yield (
            f"no cell is named of {len(found.unlike)} that are unlike those fitted on: "
            f"{listed(found.unlike)}"
        )


def _lines_of_table(table: Table) -> Iterator[str]:
    yield ""
    yield f"{TITLE_WORDS[table.name]}: {table.n} cells"
    yield (
        f"accuracy {table.accuracy:.3f}, balanced accuracy "
        f"{_balanced_text(table)}, macro F1 {table.macro_f1:.3f}"
    )
    if table.frozen and table.gain:
        yield (
            f"an SVM on features that nobody trained: {text_of_bounded(table.frozen)}; gained "
            f"{text_of_bounded(table.gain, signed=True)}"
        )
    rows = [
        (name, str(f.n), f"{f.recall:.3f}", _text(f.precision), f"{f.f1:.3f}")
        for name, f in table.classes.items()
    ]
    yield from aligned([("class", "cells", "recall", "precision", "F1"), *rows])
    if len(table.per_source) > 1:
        sources = [(name, f"{value:.3f}") for name, value in table.per_source.items()]
        yield from aligned([("source", "balanced accuracy"), *sources])


def _balanced_text(table: Table) -> str:
    """With its interval, unless all cells are of one owner, so that there is none."""
    value = table.balanced_accuracy
    return text_of_bounded(value) if table.n_owners > 1 else f"{value.value:.3f} (no interval)"


def _text(share: float | None) -> str:
    return "" if share is None else f"{share:.3f}"


def _names_text(names: dict[str, int]) -> str:
    """The names that cells got, the commonest first."""
    ordered = sorted(names.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{name or 'not named'} {n}" for name, n in ordered)


def confusion_plot(table: Table) -> bytes:
    """Which class cells of each class were called, as shares of a row, as a PNG."""
    names, counts = list(table.classes), np.array(table.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 1.8 + 0.55 * len(names)
    figure: Figure = matplotlib_figure.Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        if counts[row, column]:
            colour = "white" if share > _DARK else "#222222"
            text = f"{share:.2f}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    words = [name.replace("_", " ") for name in names]
    axes.set_xticks(range(len(names)), words, rotation=45, ha="right", fontsize=8)
    of_all = [f"{word} ({n})" for word, n in zip(words, counts.sum(axis=1), strict=True)]
    axes.set_yticks(range(len(names)), of_all, fontsize=8)
    axes.set(xlabel="called", ylabel="labelled")
    return png_from_figure(figure)


def sureness_plot(found: Judgement) -> bytes:
    """The share that is right against the probability, with the number of cells, as a PNG."""
    figure: Figure = matplotlib_figure.Figure(figsize=(4.4, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#cccccc", linewidth=1)
    for n, mean, share in found.sureness.bins:
        axes.plot(mean, share, "o", color=COLOURS[1])
        axes.annotate(f"{n}", (mean, share), (5, -9), textcoords="offset points", fontsize=8)
    axes.set(xlabel="probability of the likeliest class", ylabel="share that is right")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    return png_from_figure(figure)
