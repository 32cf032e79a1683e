"""The plot of latency against the number of cells per call."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vexas_edge.errors import HostError
from vexas_edge.host.libraries import load_library

try:
    _figures = load_library("matplotlib.figure")
except ImportError as error:
    raise HostError(
        "--plot needs matplotlib, which is not installed with vexas-edge; "
        "install it with `python -m pip install matplotlib`, or leave --plot out"
    ) from error


def draw_latency(lines: Sequence[Mapping[str, Any]], to: Path) -> None:
    """Draw the median latency of a call and its interval against its cells, one line per model.

    Args:
        lines: the figures of one run, as `vexas-edge bench -o` writes them.
        to: the file to write; its suffix says whether it is a PNG, an SVG or a PDF.

    Raises:
        HostError: the file cannot be written.
    """
    canvas = _figures.Figure(figsize=(6, 4), layout="constrained")
    axes = canvas.subplots()
    for model in dict.fromkeys(line["model"] for line in lines if line["model"]):
        points = [
            line
            for line in lines
            if line["model"] == model and line["scenario"] in ("single_stream", "batch")
        ]
        batches = [point["batch"] for point in points]
        values = [point["value"] for point in points]
        below = [point["value"] - point["low"] for point in points]
        above = [point["high"] - point["value"] for point in points]
        axes.errorbar(batches, values, yerr=(below, above), marker="o", capsize=3, label=model)
    run = lines[0]["run"]
    axes.set_xscale("log", base=2)
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.set_yscale("log")
    axes.set_xlabel("cells per call")
    axes.set_ylabel("latency of a call, ms")
    axes.set_title(f"{run['engine']}, {run['precision']}, {run['threads']} threads", fontsize=10)
    axes.legend(frameon=False)
    try:
        canvas.savefig(to, dpi=150)
    except (OSError, ValueError) as error:
        raise HostError(f"{to} cannot be drawn: {error}") from error
