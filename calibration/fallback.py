"""Which layers stay in float: as few as are needed, those first whose rounding does most harm."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from calibration.recipe import RoundedModel
from export.running import session_from

# Of the layers that most change encodings, so many are tried on the task itself.
_TRIED_ON_TASK = 8
_BATCH = 8
_DRAWS_A_BATCH = 16
_TIMED_RUNS = 5

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class KeptLayer:
    """A layer left in float, by the tensor that it gives, and what that alone brings and costs.

    cosine_gain: how much closer the mean cosine comes to 1. decision_drift: mean distance of
    decisions with this layer in float. extra_ms_a_cell: on this host's CPU.
    """

    layer: str
    cosine_gain: float
    decision_drift: float
    extra_ms_a_cell: float


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """What a graph made of the rehearsal cells, against the reference."""

    cosine_p1: float
    cosine_mean: float
    decision_drift: float
    ms_a_cell: float


class Rehearsal:
    """Cells of calibration's own patients on which candidates are tried before the gate.

    encodings: what the reference makes of them, float32 (n, D).
    """

    def __init__(self, reference: ModelProto, cells: np.ndarray) -> None:
        """Run the reference.

        Args:
            reference: a fused graph.
            cells: uint8 (n, H, W, 3), none of which the ranges were found on.
        """
        draw_size = reference.graph.input[1].type.tensor_type.shape.dim[1].dim_value
        rng = np.random.Generator(np.random.PCG64(0))
        self._feeds = [
            {
                "cells": batch,
                "draws": rng.integers(0, len(batch), (_DRAWS_A_BATCH, draw_size)),
            }
            for batch in (cells[i : i + _BATCH] for i in range(0, len(cells), _BATCH))
        ]
        self.encodings, self._decisions, _ = self._run(reference)

    def trial(self, candidate: ModelProto) -> _Trial:
        """How far a candidate lies from the reference, and how long it takes."""
        encodings, decisions, ms = self._run(candidate)
        cosines = (encodings * self.encodings).sum(axis=1)
        return _Trial(
            cosine_p1=float(np.percentile(cosines, 1)),
            cosine_mean=float(cosines.mean()),
            decision_drift=float(np.abs(decisions - self._decisions).mean()),
            ms_a_cell=ms,
        )

    def _run(self, graph: ModelProto) -> tuple[np.ndarray, np.ndarray, float]:
        session = session_from(graph)
        outputs = [session.run(["encodings", "decisions"], feeds) for feeds in self._feeds]
        seconds = [_seconds(session, self._feeds[0]) for _ in range(_TIMED_RUNS)]
        ms = statistics.median(seconds) * 1000 / len(self._feeds[0]["cells"])
        encodings, decisions = zip(*outputs, strict=True)
        return np.concatenate(encodings), np.concatenate(decisions), ms


def choose_float_layers(
    model: RoundedModel, rehearsal: Rehearsal, target: float, progress: Progress
) -> tuple[KeptLayer, ...]:
    """The layers to keep in float until the 1st percentile of cosines reaches the target.

    None where all of the model may be in integers. Layers are ranked by what each, alone in float,
    does for the encodings, and the first of them by what it does for the decisions. Where even
    all tried together do not reach the target, they are all given: the gate has the last word.
    """
    base = rehearsal.trial(model.graph())
    if base.cosine_p1 >= target:
        return ()
    trials = {}
    for done, name in enumerate(model.weights):
        progress("layers in float", done, len(model.weights))
        trials[name] = rehearsal.trial(model.graph([name]))
    closest = sorted(trials, key=lambda name: -trials[name].cosine_mean)[:_TRIED_ON_TASK]
    kept: list[str] = []
    for name in sorted(closest, key=lambda name: trials[name].decision_drift):
        kept.append(name)
        if rehearsal.trial(model.graph(kept)).cosine_p1 >= target:
            break
    return tuple(_kept(name, trials[name], base) for name in kept)


def _kept(name: str, trial: _Trial, base: _Trial) -> KeptLayer:
    return KeptLayer(
        layer=name,
        cosine_gain=trial.cosine_mean - base.cosine_mean,
        decision_drift=trial.decision_drift,
        extra_ms_a_cell=trial.ms_a_cell - base.ms_a_cell,
    )


def _seconds(session, feeds) -> float:  # type: ignore[no-untyped-def]
    started = time.perf_counter()
    session.run(None, feeds)
    return time.perf_counter() - started
