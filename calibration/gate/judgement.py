"""Scores smears that calibration never saw by cheaper graphs and by the reference.

Each graph encodes the cells; the head computes scores from these encodings, on the draws that
scoring would make. So the compared scores are those that `vexas-edge score` would report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from onnx import ModelProto

from calibration.gate.cases import OpenedCase
from calibration.gate.graphs import encoded_by, session_of
from calibration.gate.smears import (
    Smear,
    canvas_of_smear,
    cells_of,
    opened_canvas,
    raw_images,
)
from calibration.gate.tables import CohortTable
from export.execution import session_from
from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.contract import (
    DECISIONS,
    ENCODINGS,
    PROBABILITIES,
    Feeds,
    contract_of,
)
from vexas_edge.bundle.graphs import FUSED, HEAD
from vexas_edge.bundle.manifest import Manifest
from vexas_edge.bundle.models import Model
from vexas_edge.cells.canvas import Canvas, DecodedCell, decode_cell
from vexas_edge.covariates.taken import TakenCovariates, taken_covariates
from vexas_edge.domain.gate import judge as judge_domain
from vexas_edge.errors import InputError
from vexas_edge.host.libraries import load_library
from vexas_edge.quality.statistics import MEASURED_CELLS, case_statistics, cell_statistics
from vexas_edge.runtime.session import reference_of
from vexas_edge.scoring.abstention import CellCounts, counts_from_records, reasons_to_abstain
from vexas_edge.scoring.heads.inputs import inputs_of_head
from vexas_edge.talk import Progress

if TYPE_CHECKING:
    pass

onnxruntime = load_library("onnxruntime")

REFERENCE = "fp32"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One graph's results for one smear.

    encodings: float32 (N, D).
    decisions: decision values float32 (A, n), for the same draws in every graph.
    score: mean probability of the positive class.
    margin: how far the domain gate lies over its limit, where it abstains, or under it; None where
        the bundle has no reference.
    largest_activation: for fp16 only, whose emulation measures it.
    """

    encodings: np.ndarray
    decisions: np.ndarray
    score: float
    margin: float | None
    largest_activation: float | None


@dataclass(frozen=True, kw_only=True)
class JudgedSmear:
    """One smear with enough cells.

    by_kind: the results of every graph, "fp32" and the cheaper kinds.
    """

    sample: str
    patient: str
    positive: bool
    by_kind: dict[str, Judged]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The results of one model's graphs for the gate's smears.

    abstained: names of the smears with too few cells.
    unreadable: a line of text per cell that could not be used.
    """

    model: str
    smears: tuple[JudgedSmear, ...]
    abstained: tuple[str, ...]
    unreadable: tuple[str, ...]


def check_cohort(smears: Sequence[OpenedCase], manifest: Manifest) -> None:
    """Check that the smears can be scored, and their calls judged.

    Raises:
        InputError: their labels are not classes of the bundle, the positive one and another, or the
            cohort has no column for a covariate that a model takes.
    """
    if not manifest.models:
        return
    _check_covariates(smears, manifest)
    labels = {smear.row.label for smear in smears}
    unknown = sorted(label for label in labels if manifest.class_of(label) is None)
    if unknown:
        raise InputError(
            f"the gate's labels {', '.join(unknown)} are not classes of the bundle, which are "
            f"{', '.join(manifest.classes)}"
        )
    if manifest.positive not in labels or len(labels) < 2:
        raise InputError(
            f"the gate's smears all have the label {', '.join(sorted(labels))}; it takes patients "
            f"of the class {manifest.positive} and of another to judge a graph, or --gate none"
        )


def _check_covariates(smears: Sequence[OpenedCase], manifest: Manifest) -> None:
    taken = (c for model in manifest.models.values() for c in model.covariates)
    needed = {covariate.name for covariate in taken if covariate.missing == "abstain"}
    missing = sorted(needed.difference(*(smear.row.covariates for smear in smears[:1])))
    if missing:
        raise InputError(
            f"the bundle gives no score without {', '.join(missing)}, and the cohort has no column "
            "of that name; add it"
        )


def judge(
    smears: Sequence[OpenedCase],
    bundle: Bundle,
    name: str,
    head: bytes,
    graphs: Mapping[str, ModelProto | bytes],
    progress: Progress,
) -> Judgement:
    """The results of every graph for every smear.

    Args:
        name: the model's name.
        head: the content of its head.onnx.
        graphs: by kind, including "fp32"; an fp16 graph is run as its own emulation.

    Raises:
        InputError: all smears of a class have too few cells, or one has too many unreadable ones.
    """
    model = bundle.manifest.models[name]
    judge_one = _Judge(bundle, name, head, graphs)
    found, abstained, unreadable = [], [], []
    with opened_canvas(bundle, name) as canvas:
        for done, smear in enumerate(smears, start=1):
            if isinstance(smear, CohortTable):
                usable = smear.cells(name)
                counts = counts_from_records(smear.of_models[name].records)
            else:
                usable, lost = _decoded(smear, model, canvas)
                unreadable += [f"{smear.row.sample}: {cell.fault}" for cell in lost]
                counts = _counts(smear, model, len(usable), lost)
            taken = taken_covariates(model.covariates, smear.row.covariates)
            if _abstains(name, smear, counts, model) or taken.problems:
                abstained.append(smear.row.sample)
            else:
                found.append(judge_one(smear, usable, taken))
            progress(f"{name}, smears judged", done, len(smears))
    judgement = Judgement(
        model=name,
        smears=tuple(found),
        abstained=tuple(abstained),
        unreadable=tuple(unreadable),
    )
    _check_both_classes(judgement, model, len(smears))
    return judgement


def _check_both_classes(judgement: Judgement, model: Model, n_smears: int) -> None:
    if len({smear.positive for smear in judgement.smears}) < 2:
        raise InputError(
            f"model {judgement.model!r}: no smear of one of the classes has the "
            f"{model.minimum_cells} cells that scoring needs ({len(judgement.abstained)} of the "
            f"gate's {n_smears} have too few)"
        )


def _abstains(name: str, smear: OpenedCase, counts: CellCounts, model: Model) -> bool:
    """Whether a smear has too few cells. Raises InputError where too many cannot be read."""
    reasons = [reason.code for reason in reasons_to_abstain(counts, model.minimum_cells)]
    if "too_many_unreadable" in reasons:
        raise InputError(
            f"model {name!r}: {counts.unreadable} of the {counts.all} cells of the gate's smear "
            f"{smear.row.sample!r} cannot be read, too many to score it"
        )
    return bool(reasons)


def _decoded(
    smear: Smear, model: Model, canvas: Canvas
) -> tuple[dict[bytes, np.ndarray], list[DecodedCell]]:
    """Pixels of the smear's usable cells by identity, and the cells that the model cannot use."""
    canvas = canvas_of_smear(smear, model, canvas)
    cells = [decode_cell(smear.case.source, cell, canvas) for cell in cells_of(smear, model)]
    usable = {cell.identity: cell.pixels for cell in cells if cell.pixels is not None}
    return usable, [cell for cell in cells if cell.pixels is None]


def _counts(smear: Smear, model: Model, n_used: int, lost: Sequence[DecodedCell]) -> CellCounts:
    """The model's cells as scoring would count them."""
    own = [record for record in smear.lost if record.cell_class in model.cells]
    counts = counts_from_records((*own, *(cell.record for cell in lost)))
    return replace(counts, used=n_used)


class _Judge:
    """Scores smears by all graphs of one model, which it keeps loaded."""

    def __init__(
        self,
        bundle: Bundle,
        name: str,
        head: bytes,
        graphs: Mapping[str, ModelProto | bytes],
    ) -> None:
        manifest = self._manifest = bundle.manifest
        self._model = manifest.models[name]
        self._fused = contract_of(self._model, FUSED)
        self._head_contract = contract_of(self._model, HEAD)
        self._head = session_from(head)
        self._reference = reference_of(bundle, name)
        self._sessions = {kind: session_of(kind, graph) for kind, graph in graphs.items()}

    def __call__(
        self, smear: OpenedCase, cells: Mapping[bytes, np.ndarray], covariates: TakenCovariates
    ) -> JudgedSmear:
        ordered = dict(sorted(cells.items()))
        inputs = inputs_of_head(self._model, list(ordered), covariates.standardised)
        pixels = np.stack(list(ordered.values()))
        statistics = self._statistics(smear, list(ordered)[:MEASURED_CELLS])
        return JudgedSmear(
            sample=smear.row.sample,
            patient=smear.row.patient,
            positive=smear.row.label == self._manifest.positive,
            by_kind={
                kind: self._judged(kind, pixels, inputs, statistics) for kind in self._sessions
            },
        )

    def _statistics(self, smear: OpenedCase, measured: Sequence[bytes]) -> np.ndarray | None:
        """Of the raw images of these cells, float64 (S,); None where nothing asks for them."""
        if self._reference is None or isinstance(smear, CohortTable):
            return None
        by_identity = {smear.identities[cell.path]: cell for cell in cells_of(smear, self._model)}
        cells = [by_identity[identity] for identity in measured]
        canvas_px, slides = self._model.images.canvas_px, smear.backgrounds
        return case_statistics(
            [
                cell_statistics(pixels, slides[cell.path], canvas_px)
                for cell, pixels in zip(cells, raw_images(smear, cells), strict=True)
            ]
        )

    def _judged(
        self, kind: str, pixels: np.ndarray, inputs: Feeds, statistics: np.ndarray | None
    ) -> Judged:
        encodings, largest = encoded_by(self._sessions[kind], self._fused, pixels)
        probabilities, decisions = self._head.run(
            [PROBABILITIES, DECISIONS],
            self._head_contract.feeds({ENCODINGS: encodings, **inputs}),
        )
        column = self._model.classes.index(self._manifest.positive)
        return Judged(
            encodings=encodings,
            decisions=decisions,
            score=float(probabilities[:, column].mean(dtype=np.float64)),
            margin=self._margin(statistics, encodings),
            largest_activation=largest,
        )

    def _margin(self, statistics: np.ndarray | None, encodings: np.ndarray) -> float | None:
        if self._reference is None or statistics is None or len(encodings) < 2:
            return None
        return judge_domain(self._reference, statistics, encodings).finding.margin
