"""Compares all graphs of a bundle: their size, their time on this PC, their scores of patients."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from calibration.candidates import judgeable_kinds
from calibration.gate.cases import open_cases
from calibration.gate.figures import GateResult, gate_result, patient_scores
from calibration.gate.judgement import REFERENCE, Judgement, check_cohort, judge
from calibration.gate.samples import BATCH
from calibration.gate.separation import Separation, resampled_aucs, separation
from calibration.gate.smears import check_read
from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.contract import CELLS, contract_of
from vexas_edge.bundle.graphs import CHEAPER, FUSED, GOLDEN, HEAD, graph_file
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.opening import open_engine
from vexas_edge.host.clock import median_seconds
from vexas_edge.runtime.selftest import golden_from_npz
from vexas_edge.smear.cohort import read_cohort
from vexas_edge.smear.options import ReadOptions
from vexas_edge.talk import Progress

# The graphs that are meant for a CPU, which alone are timed.
_TIMED = (REFERENCE, "int8", "int8-rr")
_ROUNDS = 9


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One graph of one model.

    bytes: the size of its file.
    tested: whether the gate judged it when it was added.
    ms_per_cell: median on this PC's CPU in batches of 8; None for a graph that is meant for a GPU.
    auc: ROC-AUC over patients, with its interval.
    auc_change: of the ROC-AUC, from the reference's.
    auc_change_low, auc_change_high: its 95 % interval, over the same resampled patients.
    gate: all figures of the gate.
    scores: by smear.
    """

    model: str
    kind: str
    bytes: int
    tested: bool
    ms_per_cell: float | None
    auc: Separation
    auc_change: float
    auc_change_low: float
    auc_change_high: float
    gate: GateResult
    scores: dict[str, float]


def compare_precisions(
    bundle: Bundle,
    cohort: Path,
    split: str,
    reading: ReadOptions,
    progress: Progress,
    warn: Callable[[str], None],
) -> list[Compared]:
    """Every graph of every model that this CPU can judge, each model's reference first.

    Args:
        split: the cohort's split to compare on.

    Raises:
        InputError: the cohort cannot be used.
        UsageError: the bundle scores no patients.
    """
    bundle.check_scores_patients("calibrate compare")
    compared: list[Compared] = []
    in_bundle = {file for model in bundle.manifest.models.values() for file in model.files}
    judgeable = judgeable_kinds([k for k in CHEAPER if graph_file(k) in in_bundle], warn)
    with ExitStack() as stack:
        smears = open_cases(bundle, read_cohort(cohort), split, reading, stack)
        check_cohort(smears, bundle.manifest)
        check_read(smears)
        for name, model in bundle.manifest.models.items():
            kinds = [k for k in (REFERENCE, *judgeable) if graph_file(k) in model.files]
            graphs = {kind: bundle.model_file(name, graph_file(kind)) for kind in kinds}
            head = bundle.model_file(name, HEAD)
            judgement = judge(smears, bundle, name, head, graphs, progress)
            cells = golden_from_npz(bundle.model_file(name, GOLDEN))[CELLS]
            batch = np.resize(cells, (BATCH, *cells.shape[1:]))
            feeds = contract_of(model, FUSED).feeds_of_cells(batch)
            timed = _ms_per_cell(graphs, feeds)
            compared += [_compared(bundle, judgement, kind, timed.get(kind)) for kind in kinds]
    return compared


def _compared(bundle: Bundle, judgement: Judgement, kind: str, ms: float | None) -> Compared:
    model = bundle.manifest.models[judgement.model]
    entry = model.files[graph_file(kind)]
    scores, positive = patient_scores(judgement, kind)
    reference, _ = patient_scores(judgement, REFERENCE)
    changes = resampled_aucs(scores, positive) - resampled_aucs(reference, positive)
    low, high = np.percentile(changes, [2.5, 97.5])
    result = gate_result(judgement, kind, model.threshold)
    return Compared(
        model=judgement.model,
        kind=kind,
        bytes=entry.bytes,
        tested=entry.tested,
        ms_per_cell=ms,
        auc=separation(scores, positive),
        auc_change=result.auc - result.auc_reference,
        auc_change_low=float(low),
        auc_change_high=float(high),
        gate=result,
        scores={smear.sample: smear.by_kind[kind].score for smear in judgement.smears},
    )


def _ms_per_cell(graphs: Mapping[str, bytes], feeds: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Median time per cell of the graphs meant for a CPU, run in turns after a warm-up."""
    options = EngineOptions(device="cpu")
    with ExitStack() as stack:
        runs = {
            kind: partial(stack.enter_context(open_engine(graph, options)).run, feeds)
            for kind, graph in graphs.items()
            if kind in _TIMED
        }
        medians = median_seconds(runs, turns=_ROUNDS)
    return {kind: seconds * 1000 / BATCH for kind, seconds in medians.items()}


def lines_from_compared(compared: list[Compared]) -> list[str]:
    """The table that people read, with one line per graph."""
    layout = "{:<12} {:<9} {:>8} {:>8} {:>9} {:>8} {:>7} {:>6}  {:<21} {}"
    columns = ("model", "graph", "MiB", "ms/cell", "cosine p1", "drift", "max", "flips")
    lines = [layout.format(*columns, "ROC-AUC", "change")]
    for row in compared:
        gate, auc = row.gate, row.auc
        mark = "" if row.tested or row.kind == REFERENCE else "  UNTESTED"
        lines.append(
            layout.format(
                row.model,
                row.kind,
                f"{row.bytes / 2**20:.2f}",
                "-" if row.ms_per_cell is None else f"{row.ms_per_cell:.2f}",
                f"{gate.cosine_p1:.5f}",
                f"{gate.score_drift:.4f}",
                f"{gate.score_drift_max:.4f}",
                f"{len(gate.flips)}/{gate.n_smears}",
                f"{auc.roc_auc:.3f} ({auc.low:.3f}-{auc.high:.3f})",
                f"{row.auc_change:+.4f} ({row.auc_change_low:+.4f} to "
                f"{row.auc_change_high:+.4f}){mark}",
            )
        )
    return lines
