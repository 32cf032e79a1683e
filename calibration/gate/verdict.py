"""The gate's verdict on a graph, and the lines that report it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from calibration.gate.figures import GateResult
from calibration.gate.naming import NamingResult
from vexas_edge.bundle.graphs import graph_file

AnyResult: TypeAlias = GateResult | NamingResult

# The share of multiply-adds in integers below which a graph is hardly faster than float32.
_MOSTLY = 0.9


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The gate's verdict on one graph.

    result: its figures; None without a gate.
    missed: a sentence per figure over its budget.
    integers: the share of its multiply-adds that is in integers; None for a graph without.
    kept_float: the share of each layer that stays in float32, by its name.
    """

    model: str
    kind: str
    result: AnyResult | None
    missed: tuple[str, ...]
    integers: float | None = None
    kept_float: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The graph's name: its model and its file."""
        return f"{self.model} {graph_file(self.kind)}"


def line_from_verdict(verdict: Verdict) -> str:
    """One line with the figures; the error that follows names those over their budgets."""
    share = (
        f", {100 * verdict.integers:.1f} % of multiply-adds in integers"
        if verdict.integers is not None
        else ""
    )
    result = verdict.result
    if result is None:
        return f"{verdict.name}: UNTESTED, no gate; vexas-edge score refuses it{share}"
    figures = _naming_text(result) if isinstance(result, NamingResult) else _score_text(result)
    return f"{verdict.name}: {'REFUSED' if verdict.missed else 'passed'}: {figures}{share}"


def _naming_text(result: NamingResult) -> str:
    falls = {n: before - result.recall.get(n, 0.0) for n, before in result.recall_reference.items()}
    worst = max(falls, key=falls.__getitem__, default="")
    fall = f", recall falls most for {worst}, by {falls[worst]:.3f}" if worst else ""
    return (
        f"cosine p1 {result.cosine_p1:.5f}, {result.renamed} of {result.n_cells} cells get another "
        f"name{fall}"
    )


def _score_text(result: GateResult) -> str:
    return (
        f"cosine p1 {result.cosine_p1:.5f}, score drift {result.score_drift:.4f} "
        f"(most {result.score_drift_max:.4f}), ROC-AUC {result.auc:.4f} "
        f"(fp32 {result.auc_reference:.4f}), {len(result.flips)} of {result.n_smears} calls flip"
        + (f", {len(result.abstained)} smears too small to judge" if result.abstained else "")
    )


def warning_from_verdict(verdict: Verdict) -> str | None:
    """A line that names the layers in float32, if these are more than a small part of the work."""
    if verdict.integers is None or verdict.integers >= _MOSTLY:
        return None
    layers = sorted(verdict.kept_float.items(), key=lambda layer: -layer[1])
    named = ", ".join(f"{layer} ({100 * share:.1f} %)" for layer, share in layers)
    return (
        f"{verdict.name}: only {100 * verdict.integers:.1f} % of multiply-adds are in integers, so "
        f"it may be no faster than float32; in integers, these layers moved the encodings over "
        f"the budget and stay in float32: {named}"
    )
