"""How far scores moved without names as lines, as JSON and as a page with pictures."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.judging.intervals import text_of_share
from training.judging.page import rendered
from training.judging.words import aligned, text_of_bounded
from training.png import COLOURS, png_from_figure
from training.typed.blind import Blind, Moves
from vexas_edge.files import write_atomically
from vexas_edge.host.libraries import load_library

if TYPE_CHECKING:
    from matplotlib.figure import Figure

matplotlib_figure = load_library("matplotlib.figure")

# Scores that differ less than this among patients (as their standard deviation) stay where they
# are whatever is scored, so it says little that they did.
_HARDLY = 0.1


def write_blind(found: Blind, title: str, folder: Path) -> Path:
    """Write `blind.json` and `blind.html`, each whole or not at all; gives the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"title": title, **asdict(found)}, indent=2, allow_nan=False)
    write_atomically(folder / "blind.json", text.encode() + b"\n")
    pictures = {
        moves.model: moves_plot(found, moves.model) for moves in found.moves if moves.n_answered
    }
    words = {moves.model: sentences_of(moves) for moves in found.moves}
    page = rendered("blind.html", title, found=found, words=words, pictures=pictures)
    write_atomically(folder / "blind.html", page.encode())
    return folder / "blind.html"


def lines_from_blind(found: Blind) -> list[str]:
    """What moved, for the console."""
    lines = [f"{found.cases}, scored by {found.bundle}", f"named by {found.types}"]
    for moves in found.moves:
        why = Counter(
            reason
            for one in found.answers
            if one.model == moves.model and one.blind.score is None
            for reason in one.blind.reasons
        )
        lines += ["", f"{moves.model}:", *sentences_of(moves)]
        lines += aligned([(f"without names: {word}", str(n)) for word, n in why.most_common()])
    return lines


def sentences_of(moves: Moves) -> list[str]:
    """The figures of one model in words."""
    kept = f"{moves.n_same} of {moves.n_cells} cells came back, with {moves.n_others} others"
    lines = [
        f"{moves.n_cases} cases: {moves.n_answered} with a score both ways, {moves.n_lost} only as "
        f"signed, {moves.n_gained} only without names; {kept}"
    ]
    if moves.median and moves.most and moves.shift and moves.calls_changed:
        lines += [
            f"of {moves.n_patients} patients the score moved by {text_of_bounded(moves.median)} in "
            f"the median, and by no more than {text_of_bounded(moves.most)} in nine of ten; it is "
            f"{text_of_bounded(moves.shift, signed=True)} higher in the median",
            f"another call in {text_of_share(moves.calls_changed)} of patients",
        ]
    if moves.spread is not None:
        hardly = "; so little is said by how far they move" if moves.spread < _HARDLY else ""
        lines.append(f"scores as signed have a standard deviation of {moves.spread:.3f}{hardly}")
    return lines


def moves_plot(found: Blind, model: str) -> bytes:
    """The scores without names against those as signed, as a PNG."""
    figure: Figure = matplotlib_figure.Figure(figsize=(4.4, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#cccccc", linewidth=1)
    both = [one for one in found.answers if one.model == model and one.shift is not None]
    for colour, same in ((COLOURS[1], True), (COLOURS[0], False)):
        own = [one for one in both if (one.signed.call == one.blind.call) == same]
        points = np.array([(one.signed.score, one.blind.score) for one in own]).reshape(-1, 2)
        label = f"{'same' if same else 'another'} call ({len(own)})"
        axes.plot(*points.T, "o", color=colour, markersize=5, alpha=0.8, label=label)
    axes.set(xlabel="score as signed", ylabel="score without names", aspect="equal")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    return png_from_figure(figure)
