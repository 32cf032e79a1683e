"""The plots of a report as PNGs, with a colour per group and a marker per patient."""

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_curve

from training.patients.patientwise import JudgedPatients
from training.png import png_from_figure
from vexas_edge.host.libraries import load_library

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

matplotlib_figure = load_library("matplotlib.figure")
matplotlib_lines = load_library("matplotlib.lines")

# Distinct for colour-blind eyes, too (Okabe and Ito 2008); the positive group has the first.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = "osD^v<>pPX*hHd8"


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


def map_of_aggregates(
    points: np.ndarray, patients: Sequence[str], groups: Sequence[str], order: Sequence[str]
) -> bytes:
    """Aggregates in two dimensions, float (A, 2): colour by group, marker by patient.

    Args:
        order: of the groups, the positive one last.
    """
    figure: Figure = matplotlib_figure.Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.subplots()
    colours = dict(zip(reversed(order), cycle(COLOURS), strict=False))
    of_patient = np.array(patients)
    for number, name in enumerate(dict.fromkeys(patients)):
        mine = of_patient == name
        axes.scatter(
            points[mine, 0],
            points[mine, 1],
            s=9,
            marker=MARKERS[number % len(MARKERS)],
            color=colours[groups[int(np.flatnonzero(mine)[0])]],
            alpha=0.6,
            linewidths=0,
        )
    _group_legend(axes, colours)
    axes.set(xticks=[], yticks=[])
    return png_from_figure(figure)


def _positive_first(judged: JudgedPatients) -> list[str]:
    return [judged.positive, *sorted(set(judged.groups) - {judged.positive})]


def _group_legend(axes: "Axes", colours: dict[str, str]) -> None:
    handles = [
        matplotlib_lines.Line2D([], [], linestyle="", marker="o", color=colour, label=name)
        for name, colour in colours.items()
    ]
    axes.legend(handles=handles, frameon=False, fontsize=9)
