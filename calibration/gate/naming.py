"""Whether a cheaper graph names cells as the reference does, on patients calibration never saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import ModelProto

from calibration.cosines import cosines
from calibration.gate.figures import distance_of, unless, unlike_calibration, unlike_cosine
from calibration.gate.graphs import encoded_by, session_of
from calibration.gate.judgement import REFERENCE
from calibration.gate.smears import Smear, canvas_of_smear, cells_of, opened_canvas
from export.execution import session_from
from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.budgets import Budget
from vexas_edge.bundle.contract import DRAWS, ENCODINGS, PROBABILITIES, contract_of
from vexas_edge.bundle.graphs import FUSED, HEAD
from vexas_edge.cells.canvas import decode_cell
from vexas_edge.errors import InputError
from vexas_edge.talk import Progress
from vexas_edge.typing.rule import meant_by, named

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# Of fewer cells a recall says little.
LEAST_OF_CLASS = 10


@dataclass(frozen=True, kw_only=True)
class NamedByGraph:
    """What one graph says of N cells.

    predicted, names: the likeliest class of each, and the name that it gets.
    """

    encodings: np.ndarray
    predicted: tuple[str, ...]
    names: tuple[str, ...]
    largest_activation: float | None


@dataclass(frozen=True, kw_only=True)
class NamingJudgement:
    """What all graphs of a model say of the gate's cells.

    labels: their classes.
    by_kind: "fp32" and the cheaper kinds.
    """

    labels: tuple[str, ...]
    n_patients: int
    by_kind: dict[str, NamedByGraph]
    unreadable: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class NamingResult:
    """How far a graph is from the reference in naming cells.

    cosine_p1, cosine_min, largest_activation, calibration_distance: as `GateResult` has them.
    recall, recall_reference: by class, of those with ten cells or more: the share of its cells of
    which it is the likeliest class.
    renamed: how many cells get another name, or one more or less.
    """

    n_cells: int
    n_patients: int
    cosine_p1: float
    cosine_min: float
    recall: dict[str, float]
    recall_reference: dict[str, float]
    renamed: int
    largest_activation: float | None = None
    calibration_distance: float | None = None


def judge_naming(
    smears: Sequence[Smear],
    bundle: Bundle,
    name: str,
    graphs: Mapping[str, ModelProto | bytes],
    progress: Progress,
) -> NamingJudgement:
    """What every graph says of every cell of the smears.

    Raises:
        InputError: no cell can be used.
    """
    labelled, unreadable = _placed_cells(smears, bundle, name)
    if not labelled:
        raise InputError(f"model {name!r}: no cell of the gate's smears can be used")
    pixels = np.stack([cell for _, cell in labelled])
    by_kind = {}
    for done, (kind, graph) in enumerate(graphs.items(), start=1):
        by_kind[kind] = _named_by(session_of(kind, graph), bundle, name, pixels)
        progress(f"{name}, graphs judged", done, len(graphs))
    return NamingJudgement(
        labels=tuple(label for label, _ in labelled),
        n_patients=len({smear.row.patient for smear in smears}),
        by_kind=by_kind,
        unreadable=tuple(unreadable),
    )


def _placed_cells(
    smears: Sequence[Smear], bundle: Bundle, name: str
) -> tuple[list[tuple[str, np.ndarray]], list[str]]:
    """The class and the canvas of each cell, and what there is to say of unreadable ones."""
    model = bundle.manifest.typing[name]
    placed, unreadable = [], []
    with opened_canvas(bundle, name) as canvas:
        for smear in smears:
            own = canvas_of_smear(smear, model, canvas)
            for cell in cells_of(smear, model):
                decoded = decode_cell(smear.case.source, cell, own)
                if decoded.pixels is None:
                    unreadable.append(f"{smear.row.sample}: {decoded.fault}")
                else:
                    placed.append((cell.cell_class, decoded.pixels))
    return placed, unreadable


def _named_by(
    encoder: "InferenceSession", bundle: Bundle, name: str, pixels: np.ndarray
) -> NamedByGraph:
    model, head = bundle.manifest.typing[name], session_from(bundle.model_file(name, HEAD))
    encodings, largest = encoded_by(encoder, contract_of(model, FUSED), pixels)
    draws = np.arange(len(pixels), dtype=np.int64)[:, None]
    (probabilities,) = head.run([PROBABILITIES], {ENCODINGS: encodings, DRAWS: draws})
    found = named(probabilities.astype(np.float64), model.classes, model.limits)
    return NamedByGraph(
        encodings=encodings,
        predicted=tuple(cell.predicted for cell in found),
        names=tuple(cell.name for cell in found),
        largest_activation=largest,
    )


def naming_result(
    judgement: NamingJudgement, kind: str, calibration_encodings: np.ndarray | None = None
) -> NamingResult:
    """The figures of one kind of graph; arguments are as `gate_result` has them."""
    ours, theirs = judgement.by_kind[REFERENCE], judgement.by_kind[kind]
    alike = cosines(ours.encodings, theirs.encodings)
    return NamingResult(
        n_cells=len(judgement.labels),
        n_patients=judgement.n_patients,
        cosine_p1=float(np.percentile(alike, 1)),
        cosine_min=float(alike.min()),
        recall=_recalls(judgement.labels, theirs.predicted),
        recall_reference=_recalls(judgement.labels, ours.predicted),
        renamed=sum(a != b for a, b in zip(ours.names, theirs.names, strict=True)),
        largest_activation=theirs.largest_activation,
        calibration_distance=None
        if calibration_encodings is None
        else distance_of(calibration_encodings, ours.encodings),
    )


def _recalls(labels: Sequence[str], predicted: Sequence[str]) -> dict[str, float]:
    """For each predicted class with cells enough, the share of these of which it is said."""
    truth, said = np.array(labels), np.array(predicted)
    found = {}
    for name in sorted(set(predicted)):
        own = np.isin(truth, meant_by(name))
        if own.sum() >= LEAST_OF_CLASS:
            found[name] = float((said[own] == name).mean())
    return found


def naming_failures(result: NamingResult, budget: Budget) -> list[str]:
    """A sentence per figure over its budget; none if the graph passed."""
    share = result.renamed / result.n_cells
    falls = {
        name: (before, result.recall.get(name, 0.0))
        for name, before in result.recall_reference.items()
    }
    return [
        *unless(
            result.n_patients >= budget.patients_per_class,
            f"only {result.n_patients} patients (at least {budget.patients_per_class})",
        ),
        *unlike_cosine(result.cosine_p1, budget),
        *(
            text
            for name, (before, now) in falls.items()
            for text in unless(
                before - now <= budget.recall_drop,
                f"recall of {name} falls from {before:.3f} to {now:.3f} (by at most "
                f"{budget.recall_drop})",
            )
        ),
        *unless(
            share <= budget.renamed_share,
            f"{result.renamed} of {result.n_cells} cells get another name (at most "
            f"{budget.renamed_share:.1%})",
        ),
        *unlike_calibration(result.largest_activation, result.calibration_distance, budget),
    ]
