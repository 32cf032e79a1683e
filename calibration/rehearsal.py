"""Chooses, on cells of calibration's patients, the ranges and the few layers that stay in float."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from calibration.cosines import cosines
from calibration.integers.recipe import RoundedModel
from calibration.proof.census import multiply_adds
from calibration.proof.exact import exact_session
from export.execution import session_from
from vexas_edge.bundle.contract import CELLS, COVARIATES, DECISIONS, DRAWS, ENCODINGS, MEMBERS
from vexas_edge.host.clock import median_seconds
from vexas_edge.talk import Progress

# How many layers are ranked by the encodings, and how many of those by the decisions.
_TRIED = 16
_TRIED_ON_TASK = 8
# The share of the budget that a graph may use on the rehearsal, as the gate has other patients.
_SHARE_OF_BUDGET = 0.75
_BATCH = 8
# Batches on which layers are ranked.
_FEW = 4
_DRAWS_PER_BATCH = 16
_TIMED_RUNS = 5


@dataclass(frozen=True, kw_only=True)
class KeptLayer:
    """A layer left in float, and what leaving it alone in float gains and costs.

    layer: the name of its output tensor.
    cosine_gain: how much closer the mean cosine of the encodings comes to 1.
    decision_drift: mean distance of decision values from the reference's, with this layer in float.
    extra_ms_per_cell: on this PC's CPU.
    multiply_adds: its share of the multiply-adds of all layers that could be in integers.
    """

    layer: str
    cosine_gain: float
    decision_drift: float
    extra_ms_per_cell: float
    multiply_adds: float


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """How far a graph is from the reference on the rehearsal's cells."""

    cosine_p1: float
    cosine_mean: float
    decision_drift: float


class Rehearsal:
    """Cells of calibration's patients, on which candidates are tried before the gate.

    encodings: the reference's encodings of them, float32 (n, D).
    """

    def __init__(self, reference: ModelProto, cells: np.ndarray) -> None:
        """Run the reference on the cells.

        Args:
            reference: a fused graph.
            cells: uint8 (n, H, W, 3), of calibration's patients, but not those ranges are found on.
        """
        batches = (cells[i : i + _BATCH] for i in range(0, len(cells), _BATCH))
        rng = np.random.Generator(np.random.PCG64(0))
        self._feeds = [{CELLS: batch, **_beside(reference, len(batch), rng)} for batch in batches]
        self.encodings, self._decisions = self._run(reference, None)

    def trial(self, candidate: ModelProto, batches: int | None = None) -> _Trial:
        """How far a candidate is from the reference, on the first `batches` or on all."""
        encodings, decisions = self._run(candidate, batches)
        alike = cosines(encodings, self.encodings[: len(encodings)])
        return _Trial(
            cosine_p1=float(np.percentile(alike, 1)),
            cosine_mean=float(alike.mean()),
            decision_drift=float(np.abs(decisions - self._decisions[: len(decisions)]).mean()),
        )

    def ms_per_cell(self, graph: ModelProto) -> float:
        """Median time per cell on this CPU, after a warm-up."""
        session, feeds = session_from(graph), self._feeds[0]
        seconds = median_seconds({"run": lambda: session.run(None, feeds)}, turns=_TIMED_RUNS)
        return seconds["run"] * 1000 / len(feeds[CELLS])

    def _run(self, graph: ModelProto, batches: int | None) -> tuple[np.ndarray, np.ndarray]:
        session, feeds = exact_session(graph), self._feeds[:batches]
        outputs = [session.run([ENCODINGS, DECISIONS], feed) for feed in feeds]
        encodings, decisions = zip(*outputs, strict=True)
        return np.concatenate(encodings), np.concatenate(decisions)


def _beside(fused: ModelProto, n_cells: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What a fused graph takes beside some cells: draws of them, or all of them as a bag."""
    widths = {value.name: value.type.tensor_type.shape.dim[-1] for value in fused.graph.input}
    if DRAWS in widths:
        shape = (_DRAWS_PER_BATCH, widths[DRAWS].dim_value)
        return {DRAWS: rng.integers(0, n_cells, shape)}
    bag: dict[str, np.ndarray] = {MEMBERS: np.arange(n_cells)}
    if COVARIATES in widths:
        bag[COVARIATES] = np.zeros((1, widths[COVARIATES].dim_value), np.float32)
    return bag


def choose_ranges(
    models: Iterable[RoundedModel], rehearsal: Rehearsal, budget: float
) -> RoundedModel:
    """The first model, all in integers, that keeps well within the budget, else the closest one.

    Args:
        models: one network, rounded with different ranges; at least one.
        budget: the least 1st-percentile cosine of encodings.
    """
    tried: list[tuple[float, RoundedModel]] = []
    for model in models:
        tried.append((rehearsal.trial(model.graph()).cosine_p1, model))
        if tried[-1][0] >= _target(budget):
            break
    return max(tried, key=lambda trial: trial[0])[1]


def _target(budget: float) -> float:
    return 1 - (1 - budget) * _SHARE_OF_BUDGET


def choose_float_layers(
    model: RoundedModel, rehearsal: Rehearsal, budget: float, progress: Progress
) -> tuple[KeptLayer, ...]:
    """A few layers that, left in float, bring the 1st-percentile cosine of encodings into budget.

    There are none if the whole model may be in integers, or if no choice brings it into its budget;
    the gate then decides. The layers that add most noise are each tried alone in float and ranked
    by the encodings, the best of these by the decisions. In this order they are kept in float, one
    more at a time, until the budget is met. Those that it is met without, once the others are kept,
    then return to integers, those with most multiply-adds first.

    Args:
        budget: the least 1st-percentile cosine of encodings.
    """
    target = _target(budget)
    if rehearsal.trial(model.graph()).cosine_p1 >= target:
        return ()
    noisiest = sorted(model.weights, key=lambda name: -noise_share(model, name))[:_TRIED]
    trials = {}
    for done, name in enumerate(noisiest, start=1):
        trials[name] = rehearsal.trial(model.graph([name]), _FEW)
        progress("layers tried in float", done, len(noisiest))
    closest = sorted(trials, key=lambda name: -trials[name].cosine_mean)[:_TRIED_ON_TASK]
    kept: list[str] = []
    for name in sorted(closest, key=lambda name: trials[name].decision_drift):
        kept.append(name)
        if rehearsal.trial(model.graph(kept), _FEW).cosine_p1 >= target:
            kept = _needed(model, rehearsal, kept, target)
            break
    if rehearsal.trial(model.graph(kept)).cosine_p1 < budget:
        return ()
    return _described(model, rehearsal, {name: trials[name] for name in kept})


def _needed(model: RoundedModel, rehearsal: Rehearsal, kept: list[str], target: float) -> list[str]:
    """Those of the kept layers without which the target would be missed."""
    costs = multiply_adds(model.calibration.model, kept)
    for name in sorted(kept, key=lambda name: -costs[name]):
        fewer = [other for other in kept if other != name]
        if rehearsal.trial(model.graph(fewer), _FEW).cosine_p1 >= target:
            kept = fewer
    return kept


def _described(
    model: RoundedModel, rehearsal: Rehearsal, kept: Mapping[str, _Trial]
) -> tuple[KeptLayer, ...]:
    """The kept layers, each with what it alone gains and costs."""
    base = rehearsal.trial(model.graph(), _FEW)
    ms = rehearsal.ms_per_cell(model.graph())
    shares = multiply_adds(model.calibration.model, model.weights)
    return tuple(
        KeptLayer(
            layer=name,
            cosine_gain=trial.cosine_mean - base.cosine_mean,
            decision_drift=trial.decision_drift,
            extra_ms_per_cell=rehearsal.ms_per_cell(model.graph([name])) - ms,
            multiply_adds=shares[name],
        )
        for name, trial in kept.items()
    )


def noise_share(model: RoundedModel, name: str) -> float:
    """The noise power that a layer's integers should add, as a share of its output's power.

    It comes from rounding the weights, measured with the inputs seen in calibration, and from
    rounding these inputs, taken to be uniform within a step of their grid.
    """
    layer, moments = model.calibration.layers[name], model.calibration.moments[name]
    step = model.grids[layer.node.input[0]].scale
    exact = layer.matrices()
    weights = model.weights[name]
    rounded = layer.matrices(weights.integers) * weights.scales.reshape(layer.groups, -1, 1)
    inner = moments[:, :-1, :-1]
    noise = _power(exact - rounded, inner) + step**2 / 12 * float((rounded**2).sum())
    return noise / max(_power(exact, inner), 1e-30)


def _power(matrices: np.ndarray, moments: np.ndarray) -> float:
    """Mean square of the outputs, summed over channels, for inputs of these second moments."""
    return float(((matrices @ moments) * matrices).sum())
