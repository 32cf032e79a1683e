"""Several kinds of scores side by side as a page, with ROC and decision curves."""

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from sklearn.metrics import roc_curve

from training.judging.beside import Beside
from training.judging.intervals import text_of_mean, text_of_share
from training.judging.joining import BOTH, COVARIATES, IMAGE
from training.judging.words import KIND_WORDS, text_of_bounded
from training.png import COLOURS, png_from_figure
from vexas_edge.files import write_atomically
from vexas_edge.host.libraries import load_library
from vexas_edge.results.values import NOTICE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

matplotlib_figure = load_library("matplotlib.figure")

_COLOURS = dict(zip((BOTH, IMAGE, COVARIATES), COLOURS, strict=False))


def write_beside(found: Beside, title: str, folder: Path) -> None:
    """Write `covariates.html` and `covariates.json` to the folder, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"title": title, **asdict(found)}, indent=2, allow_nan=False)
    write_atomically(folder / "covariates.json", text.encode() + b"\n")
    pictures = {"ROC curves": roc_curves(found), "Decision curves": decision_curves(found)}
    page = rendered("covariates.html", title, found=found, words=KIND_WORDS, pictures=pictures)
    write_atomically(folder / "covariates.html", page.encode())


def rendered(template: str, title: str, **values: Any) -> str:
    """An HTML page of one of the templates, with the notice that every page has."""
    environment = Environment(
        loader=PackageLoader("training"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {
        "share": text_of_share,
        "mean": text_of_mean,
        "bounded": text_of_bounded,
        "png": lambda png: base64.b64encode(png).decode(),
    }
    return environment.get_template(template).render(title=title, notice=NOTICE, **values)


def roc_curves(found: Beside) -> bytes:
    """The ROC curve of each kind of score, as a PNG."""
    truth = [group == found.positive for group in found.groups]
    figure: Figure = matplotlib_figure.Figure(figsize=(4.6, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#cccccc", linewidth=1)
    for kind in found.nested.kinds:
        scores = [of_patient[kind.kind] for of_patient in found.scores.values()]
        wrong, right, _ = roc_curve(truth, scores)
        label = f"{KIND_WORDS[kind.kind]} {kind.separation.roc_auc:.3f}"
        axes.step(wrong, right, where="post", color=_COLOURS[kind.kind], label=label)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return png_from_figure(figure)


def decision_curves(found: Beside) -> bytes:
    """What calls at each level of probability are worth, by each kind of score, as a PNG."""
    figure: Figure = matplotlib_figure.Figure(figsize=(5.6, 4.6), layout="constrained")
    axes = figure.subplots()
    for kind in found.nested.kinds:
        levels = [point.level for point in kind.decision_curve]
        worth = [point.model for point in kind.decision_curve]
        axes.plot(levels, worth, color=_COLOURS[kind.kind], label=KIND_WORDS[kind.kind])
    everybody = [point.everybody for point in found.nested.kinds[0].decision_curve]
    axes.plot(levels, everybody, color="#888888", linestyle="--", label="everybody called")
    axes.axhline(0, color="#888888", linewidth=1, label="nobody called")
    highest = max(point.everybody for point in found.nested.kinds[0].decision_curve)
    axes.set(xlabel="probability from which on a patient is called", ylabel="net benefit")
    axes.set(xlim=(0, 1), ylim=(-0.1, highest + 0.05))
    axes.legend(frameon=False, fontsize=9)
    return png_from_figure(figure)
