"""Plots a comparison: each smear's score in each precision, and the time per cell."""

from io import BytesIO
from typing import TYPE_CHECKING

from calibration.gate.comparison import Compared
from vexas_edge.host.libraries import load_library

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

matplotlib_figure = load_library("matplotlib.figure")

_INCHES = 3.2
_COLOURS = {
    "fp32": "#555555",
    "fp16": "#7a5195",
    "int8": "#1f77b4",
    "int8-rr": "#2a9d8f",
    "int8-trt": "#d1740f",
}


def png_from_compared(compared: list[Compared]) -> bytes:
    """A PNG with a row of panels per model: scores against the reference's, then ms per cell."""
    models = list(dict.fromkeys(row.model for row in compared))
    most = max(sum(row.model == model for row in compared) for model in models)
    figure: Figure = matplotlib_figure.Figure(
        figsize=(_INCHES * most, _INCHES * len(models) + 0.4), layout="constrained"
    )
    panels = figure.subplots(len(models), most, squeeze=False)
    for model, line in zip(models, panels, strict=True):
        rows = [row for row in compared if row.model == model]
        reference, *others = rows
        for row, axes in zip(others, line, strict=False):
            _show_scores(axes, reference, row)
        for axes in line[len(others) : -1]:
            axes.axis("off")
        _show_times(line[-1], rows)
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    return stream.getvalue()


def _show_scores(axes: "Axes", reference: Compared, row: Compared) -> None:
    names = list(reference.scores)
    x, y = [reference.scores[n] for n in names], [row.scores[n] for n in names]
    threshold = row.gate.threshold
    axes.plot([0, 1], [0, 1], color="#cccccc", linewidth=1)
    axes.axhline(threshold, color="#cccccc", linestyle=":")
    axes.axvline(threshold, color="#cccccc", linestyle=":")
    axes.scatter(x, y, s=14, color=_COLOURS[row.kind], alpha=0.7, linewidths=0)
    flipped = {flip.sample for flip in row.gate.flips}
    at = [(a, b) for n, a, b in zip(names, x, y, strict=True) if n in flipped]
    if at:
        x, y = [a for a, _ in at], [b for _, b in at]
        axes.scatter(x, y, s=60, facecolors="none", edgecolors="#c1121f")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="score, fp32", ylabel="score")
    axes.set_title(f"{row.model} {row.kind}: {len(flipped)} calls flip", fontsize=9)


def _show_times(axes: "Axes", rows: list[Compared]) -> None:
    timed = [row for row in rows if row.ms_per_cell is not None]
    times = [row.ms_per_cell or 0 for row in timed]
    bars = axes.barh(
        [row.kind for row in timed], times, color=[_COLOURS[row.kind] for row in timed]
    )
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.set_xlabel("ms per cell on this CPU")
    axes.set_title(f"{rows[0].model}: time", fontsize=9)
