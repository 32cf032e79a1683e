"""The gate's verdict on a graph, and the line that reports it."""

from dataclasses import dataclass

from calibration.gate.figures import GateResult
from vexas_edge.bundle.graphs import graph_file


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The gate's verdict on one graph.

    result: its figures; None without a gate.
    missed: a sentence per figure over its budget.
    """

    model: str
    kind: str
    result: GateResult | None
    missed: tuple[str, ...]


def line_from_verdict(verdict: Verdict) -> str:
    """One line with the figures; the error that follows names those over their budgets."""
    name = f"{verdict.model} {graph_file(verdict.kind)}"
    result = verdict.result
    if result is None:
        return f"{name}: UNTESTED, no gate; vexas-edge score refuses it"
    figures = (
        f"cosine p1 {result.cosine_p1:.5f}, score drift {result.score_drift:.4f} "
        f"(most {result.score_drift_max:.4f}), ROC-AUC {result.auc:.4f} "
        f"(fp32 {result.auc_reference:.4f}), {len(result.flips)} of {result.n_smears} calls flip"
        + (f", {len(result.abstained)} smears too small to judge" if result.abstained else "")
    )
    return f"{name}: {'REFUSED' if verdict.missed else 'passed'}: {figures}"
