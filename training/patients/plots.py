"""The plots of a report as PNGs, with a colour per group and a marker per patient."""

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_curve

from training.encodings.projection import OF_AGGREGATES, flattened
from training.judging.intervals import text_of_mean
from training.patients.aggregates import DrawOptions, Patient
from training.patients.patientwise import JudgedPatients
from training.patients.phenotype import Comparison
from training.png import COLOURS, png_from_figure
from vexas_edge.host.libraries import load_library

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

matplotlib_figure = load_library("matplotlib.figure")
matplotlib_lines = load_library("matplotlib.lines")

MARKERS = "osD^v<>pPX*hHd8"
# Of more patients a legend would hide the map; and how many rows a column of it has.
_NAMED_PATIENTS, _LEGEND_ROWS = 60, 22


def roc_plot(judged: JudgedPatients) -> bytes:
    """The ROC curve of the patients' scores, with its area and interval."""
    truth = np.array(judged.groups) == judged.positive
    wrong, right, _ = roc_curve(truth, judged.scores)
    figure: Figure = matplotlib_figure.Figure(figsize=(4.2, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#cccccc", linewidth=1)
    axes.step(wrong, right, where="post", color=COLOURS[0])
    found = judged.separation
    if found:
        interval = f"ROC-AUC {found.roc_auc:.3f} ({found.low:.3f} to {found.high:.3f})"
        axes.set_title(f"{found.n} patients, {judged.how}\n{interval}", fontsize=10)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    return png_from_figure(figure)


def strip_plot(judged: JudgedPatients) -> bytes:
    """Every patient's score in one column per group, with the threshold as a dashed line."""
    groups = _positive_first(judged)
    figure: Figure = matplotlib_figure.Figure(
        figsize=(1.6 + 1.5 * len(groups), 4.2), layout="constrained"
    )
    axes = figure.subplots()
    jitter = np.random.default_rng(0).uniform(-0.22, 0.22, len(judged.scores))
    for column, group in enumerate(groups):
        mine = np.array([name == group for name in judged.groups])
        axes.scatter(
            column + jitter[mine],
            np.array(judged.scores)[mine],
            s=22,
            color=COLOURS[column % len(COLOURS)],
            alpha=0.75,
            linewidths=0,
        )
    axes.axhline(judged.threshold, color="#888888", linestyle="--", linewidth=1)
    axes.set_xticks(range(len(groups)), groups)
    axes.set(ylim=(-0.02, 1.02), ylabel=f"score for {judged.positive}")
    return png_from_figure(figure)


def calibration_plot(judged: JudgedPatients) -> bytes:
    """The share of positive patients against the mean score, by bins of score."""
    figure: Figure = matplotlib_figure.Figure(figsize=(4.2, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#cccccc", linewidth=1)
    for one in judged.calibration:
        shown = one.positive
        axes.plot([one.mean_score] * 2, [shown.low, shown.high], color=COLOURS[1], linewidth=1)
        axes.plot(one.mean_score, shown.share, "o", color=COLOURS[1])
        axes.annotate(f"{one.n}", (one.mean_score, shown.share), (5, 3), textcoords="offset points")
    axes.set(xlabel="mean score", ylabel=f"share that is {judged.positive}", aspect="equal")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_title(f"Brier score {judged.brier:.3f}; patients beside each point", fontsize=10)
    return png_from_figure(figure)


def paper_figure(found: Comparison, patients: Sequence[Patient], order: Sequence[str]) -> bytes:
    """The paper's figure of a comparison: its patients' aggregates as a map (UMAP), 100 of each.

    Colours show the groups and markers the patients, and a box has the figures over aggregates.

    Args:
        order: of all groups, also those that are not compared, the positive one last.
    """
    draws = DrawOptions()
    patients = sorted(patients, key=lambda patient: -order.index(patient.group))
    points = flattened(np.concatenate([p.aggregates(draws) for p in patients]), OF_AGGREGATES)
    colours = dict(zip(reversed(order), cycle(COLOURS), strict=False))
    groups = dict.fromkeys(patient.group for patient in patients)
    figure: Figure = matplotlib_figure.Figure(figsize=(8.4, 5.2), layout="constrained")
    axes = figure.subplots()
    marks: list[Any] = []
    for patient, own in zip(patients, points.reshape(len(patients), draws.draws, 2), strict=True):
        colour = colours[patient.group]
        marker = MARKERS[len(marks) % len(MARKERS)]
        axes.scatter(
            own[:, 0], own[:, 1], s=9, marker=marker, color=colour, alpha=0.6, linewidths=0
        )
        marks.append(_mark(marker, colour, patient.name))
    axes.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    _add_figures(axes, found)
    legend = [_mark("o", colours[group], group) for group in groups]
    if len(patients) <= _NAMED_PATIENTS:
        legend += marks
    columns = -(-len(legend) // _LEGEND_ROWS)
    figure.legend(handles=legend, loc="outside right upper", frameon=False, ncols=columns)
    return png_from_figure(figure)


def _add_figures(axes: "Axes", found: Comparison) -> None:
    text = "\n".join(
        f"{name} {text_of_mean(value)}"
        for name, value in (
            ("ROC-AUC", found.roc_auc),
            ("sensitivity", found.sensitivity),
            ("specificity", found.specificity),
        )
    )
    box = {"boxstyle": "round", "facecolor": "white", "edgecolor": "#cccccc", "alpha": 0.85}
    axes.text(0.02, 0.02, text, transform=axes.transAxes, fontsize=9, bbox=box)


def _mark(marker: str, colour: str, label: str) -> Any:
    """An entry of a legend."""
    return matplotlib_lines.Line2D(
        [], [], linestyle="", marker=marker, color=colour, label=label, markersize=5
    )


def _positive_first(judged: JudgedPatients) -> list[str]:
    return [judged.positive, *sorted(set(judged.groups) - {judged.positive})]
