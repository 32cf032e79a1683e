"""Writes an evaluation as one self-contained HTML page, a section of the model card, and JSON."""

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from training.patients.aggregates import DrawOptions, Patient
from training.patients.evaluation import Evaluation
from training.patients.intervals import Mean, Share
from training.patients.patientwise import JudgedPatients
from training.patients.plots import calibration_plot, map_of_aggregates, roc_plot, strip_plot
from training.patients.projection import flatten
from vexas_edge.files import write_atomically
from vexas_edge.results.values import NOTICE

# Aggregates per patient on the map; more would hide each other.
_MAPPED_DRAWS = 30


def write_report(found: Evaluation, patients: Sequence[Patient], title: str, folder: Path) -> None:
    """Write `report.html`, `report.json` and `card.md` to the folder, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"title": title, **asdict(found)}, indent=2, allow_nan=False)
    write_atomically(folder / "report.json", text.encode() + b"\n")
    write_atomically(folder / "card.md", card_section(found).encode())
    write_atomically(folder / "report.html", html_from_evaluation(found, patients, title).encode())


def html_from_evaluation(found: Evaluation, patients: Sequence[Patient], title: str) -> str:
    """The HTML page, with its pictures inside."""
    draws = DrawOptions(draws=_MAPPED_DRAWS)
    flat = flatten(np.concatenate([patient.aggregates(draws) for patient in patients]))
    picture = map_of_aggregates(
        flat.points,
        np.repeat([patient.name for patient in patients], _MAPPED_DRAWS).tolist(),
        np.repeat([patient.group for patient in patients], _MAPPED_DRAWS).tolist(),
        found.order,
    )
    judged = found.held_out or found.out_of_fold
    pictures = {
        "ROC": roc_plot(judged),
        "Scores of patients": strip_plot(judged),
        "Calibration": calibration_plot(judged),
        f"Aggregates, {flat.method}": picture,
    }
    page = _environment().get_template("evaluation.html")
    return page.render(
        title=title,
        notice=NOTICE,
        found=found,
        sentences=evaluation_sentences(found),
        shown=judged,
        pictures={name: base64.b64encode(png).decode() for name, png in pictures.items()},
    )


def card_section(found: Evaluation) -> str:
    """The model card's section on performance, as Markdown."""
    lines = [
        "## Performance",
        "",
        *(f"- {sentence}" for sentence in evaluation_sentences(found)),
        *(
            f"- {c.name} alone, without any image: ROC-AUC {c.separation.roc_auc:.3f} "
            f"({c.separation.low:.3f} to {c.separation.high:.3f})"
            for c in found.covariates
        ),
        *(
            f"- Over aggregates, as the paper prints it, {c.positive} against "
            f"{' and '.join(c.against)}: ROC-AUC {text_of_mean(c.roc_auc)}"
            for c in found.paper
        ),
    ]
    return "\n".join(lines) + "\n"


def evaluation_sentences(found: Evaluation) -> list[str]:
    """Sentences with the patient-level figures, the most reliable first."""
    kinds = (found.held_out, found.out_of_fold, found.leave_one_out)
    sentences = [text for judged in kinds if judged for text in patient_sentences(judged)]
    if found.left_out:
        # Without their names, which only the report has: these sentences go into the bundle.
        sentences.append(f"Patients not judged, having too few cells: {len(found.left_out)}.")
    return [*sentences, *([found.note] if found.note else [])]


def patient_sentences(judged: JudgedPatients) -> list[str]:
    """Sentences with the patient-level figures of one way to judge."""
    s = judged.separation
    ranked = (
        f": ROC-AUC {s.roc_auc:.3f} "
        f"(95 % interval {s.low:.3f} to {s.high:.3f}, bootstrap by patient)"
        if s
        else ""
    )
    return [
        f"By patient, {judged.how}, {len(judged.names)} patients{ranked}.",
        f"At the threshold {judged.threshold:g}: sensitivity {text_of_share(judged.sensitivity)}, "
        f"specificity {text_of_share(judged.specificity)} (exact intervals).",
        f"Brier score of the patients' scores: {judged.brier:.3f}.",
    ]


def text_of_share(share: Share) -> str:
    """The share as text, such as `0.82 (9 of 11; 0.48 to 0.98)`."""
    return f"{share.share:.2f} ({share.k} of {share.n}; {share.low:.2f} to {share.high:.2f})"


def text_of_mean(mean: Mean) -> str:
    """The mean as text, such as `0.95 [0.93 to 0.97]`."""
    if mean.low is None or mean.high is None:
        return f"{mean.mean:.2f} [all {mean.n} alike]"
    return f"{mean.mean:.2f} [{mean.low:.2f} to {mean.high:.2f}]"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("training"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"share": text_of_share, "mean": text_of_mean}
    return environment
