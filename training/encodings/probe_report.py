"""Writes a probe for people: a table, probe.json, a heat map and a map of the cells."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.encodings.probe import PairProbe, probe_pairs
from training.encodings.projection import OF_CELLS, flattened
from training.encodings.table import Encodings
from training.png import png_from_figure
from vexas_edge.files import write_atomically
from vexas_edge.host.libraries import load_library

if TYPE_CHECKING:
    from matplotlib.figure import Figure

matplotlib_figure = load_library("matplotlib.figure")


def write_probe(
    found: Encodings, order: Sequence[str], title: str, folder: Path
) -> tuple[PairProbe, ...]:
    """Probe every pair of groups, and write `probe.json`, `probe.png` and `umap.png`."""
    probes = probe_pairs(found.encodings, found.groups, order or None)
    folder.mkdir(parents=True, exist_ok=True)
    lines = json.dumps([asdict(pair) for pair in probes], indent=2)
    write_atomically(folder / "probe.json", lines.encode() + b"\n")
    write_atomically(folder / "probe.png", heat_map(probes, title))
    names = list(dict.fromkeys(name for pair in probes for name in (pair.first, pair.second)))
    write_atomically(folder / "umap.png", map_of_cells(found, names, title))
    return probes


def map_of_cells(found: Encodings, groups: Sequence[str], title: str) -> bytes:
    """The cells of these groups as a map (UMAP of five neighbours), with a colour per group."""
    labels = np.array(found.groups)
    chosen = np.isin(labels, groups)
    points, shown = flattened(found.encodings[chosen], OF_CELLS), labels[chosen]
    figure: Figure = matplotlib_figure.Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.subplots()
    for group in groups:
        x, y = points[shown == group].T
        axes.scatter(x, y, s=18, alpha=0.75, linewidths=0, label=group)
    axes.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    axes.set_title(f"{title}, {len(points)} cells", fontsize=10)
    figure.legend(loc="outside right upper", frameon=False)
    return png_from_figure(figure)


def lines_from_probes(probes: Sequence[PairProbe]) -> list[str]:
    """The table in lines: its head, and one per pair."""
    lines = [f"{'first':16}{'second':16}{'cells':>6}{'5 neighbours':>14}{'SVM':>10}"]
    lines += [
        f"{pair.first:16}{pair.second:16}{pair.n:>6}{pair.knn_auc:>14.6f}{pair.svm_auc:>10.6f}"
        for pair in probes
    ]
    return lines


def heat_map(probes: Sequence[PairProbe], title: str) -> bytes:
    """ROC-AUC of each pair of groups, by neighbours above the diagonal, by the SVM below it."""
    names = list(dict.fromkeys(name for probe in probes for name in (probe.first, probe.second)))
    grid = np.full((len(names), len(names)), np.nan)
    for probe in probes:
        row, column = names.index(probe.first), names.index(probe.second)
        grid[row, column], grid[column, row] = probe.knn_auc, probe.svm_auc
    side = 1.6 + 0.75 * len(names)
    figure: Figure = matplotlib_figure.Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(grid, vmin=0.5, vmax=1, cmap="viridis")
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=45, ha="right")
    axes.set_yticks(ticks, names)
    for row, column in zip(*np.nonzero(~np.isnan(grid)), strict=True):
        value = grid[row, column]
        colour = "black" if value > 0.85 else "white"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=9)
    figure.colorbar(image, ax=axes, shrink=0.8, label="ROC-AUC")
    axes.set_title(f"{title}\n5 neighbours above the diagonal, SVM below", fontsize=10)
    return png_from_figure(figure)
