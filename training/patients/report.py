"""Writes an evaluation as one self-contained HTML page, a section of the model card, and JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from training.judging.intervals import text_of_mean, text_of_share
from training.judging.page import rendered
from training.judging.words import aligned
from training.patients.aggregates import Patient
from training.patients.evaluation import Evaluation
from training.patients.patientwise import JudgedPatients
from training.patients.phenotype import compared_patients
from training.patients.plots import calibration_plot, paper_figure, roc_plot, strip_plot
from vexas_edge.files import write_atomically


def write_report(
    found: Evaluation,
    patients: Sequence[Patient],
    title: str,
    folder: Path,
    *,
    figures: bool = False,
) -> None:
    """Write `report.html`, `report.json` and `card.md` to the folder, each whole or not at all.

    Args:
        figures: whether the page has the paper's figure of each comparison, which takes a minute
            for 100 patients.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"title": title, **asdict(found)}, indent=2, allow_nan=False)
    write_atomically(folder / "report.json", text.encode() + b"\n")
    write_atomically(folder / "card.md", card_section(found).encode())
    maps = paper_figures(found, patients) if figures else {}
    write_atomically(folder / "report.html", html_from_evaluation(found, title, maps).encode())


def paper_figures(found: Evaluation, patients: Sequence[Patient]) -> dict[str, bytes]:
    """The paper's figure of each comparison, as a PNG, by what was compared."""
    return {
        f"{c.positive} against {' and '.join(c.against)}": paper_figure(
            c, compared_patients(patients, c), found.order
        )
        for c in found.paper
    }


def html_from_evaluation(found: Evaluation, title: str, maps: Mapping[str, bytes]) -> str:
    """The HTML page, with its pictures inside.

    Args:
        maps: the paper's figures.
    """
    judged = found.held_out or found.out_of_fold
    pictures = {
        "ROC": roc_plot(judged),
        "Scores of patients": strip_plot(judged),
        "Calibration": calibration_plot(judged),
    }
    return rendered(
        "evaluation.html",
        title,
        found=found,
        sentences=evaluation_sentences(found),
        shown=judged,
        pictures=pictures,
        maps=maps,
    )


def paper_lines(found: Evaluation) -> list[str]:
    """The paper's table in lines: its head, and one per comparison."""
    head = ("positive", "against", "patients", "ROC-AUC", "sensitivity", "specificity")
    rows = [
        (
            c.positive,
            " and ".join(c.against),
            f"{c.patients[0]} and {c.patients[1]}",
            *map(text_of_mean, (c.roc_auc, c.sensitivity, c.specificity)),
        )
        for c in found.paper
    ]
    return aligned([head, *rows])


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
