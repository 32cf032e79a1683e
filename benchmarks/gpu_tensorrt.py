"""The part of `gpu.py` that TensorRT runs, where the library that is installed takes the GPU."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
from gpu_parts import peak_mib, scores_of
from gpu_rig import Asked, encode_pool, noise
from samples import CELL_TYPE

from vexas_edge import open_bundle
from vexas_edge.choices import Precision
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.opening import devices_of
from vexas_edge.errors import HostError
from vexas_edge.host.clock import median_seconds
from vexas_edge.runtime.session import Sessions

_PRECISIONS: tuple[Precision, ...] = ("fp16", "fp32")


def tensorrt_line(asked: Asked, network: str) -> dict[str, Any]:
    """TensorRT's cells per second over onnxruntime's, its scores, and what building takes."""
    question = {"question": "speed of TensorRT over onnxruntime on the GPU, from cells in memory"}
    try:
        devices_of("tensorrt")
    except HostError as error:
        return {**question, "ratio": None, "refused": {"tensorrt": str(error)}}
    sizes = asked.sizes
    cells = noise(sizes.pool, sizes.canvas_px)
    with asked.sessions(network, "fp32", "cpu") as sessions:
        expected = scores_of(asked, sessions)
    refused: dict[str, str] = {}
    found: dict[str, dict[str, Any]] = {}
    works: dict[str, Callable[[], None]] = {}
    with ExitStack() as stack:
        for precision in _PRECISIONS:
            try:
                ours = stack.enter_context(_sessions(asked, network, precision))
                found[precision] = _opened(ours)
                apart = np.abs(np.subtract(scores_of(asked, ours), expected)).max()
                found[precision] |= {"largest_difference": float(f"{apart:.3g}")}
                works[precision] = partial(encode_pool, ours, cells)
                found[precision] |= {"peak_mib": peak_mib(works[precision])}
            except HostError as error:
                refused[precision] = str(error)
                works.pop(precision, None)
                continue
            other = stack.enter_context(asked.sessions(network, precision))
            works[f"onnxruntime {precision}"] = partial(encode_pool, other, cells)
        medians = median_seconds(works, turns=sizes.turns, seconds=asked.seconds) if works else {}
    rates = {name: sizes.pool / seconds for name, seconds in medians.items()}
    ratios = {p: round(rates[p] / rates[f"onnxruntime {p}"], 3) for p in found if p in rates}
    return {
        **question,
        "ratio": next(iter(ratios.values()), None),
        "target": "none, for comparison",
        "ratios": ratios,
        "cells_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        "plans": found,
        "refused": refused,
        "repeats": sizes.turns,
    }


def _sessions(asked: Asked, network: str, precision: Precision) -> Sessions:
    options = EngineOptions(engine="tensorrt", build=True)
    return Sessions(open_bundle(asked.bundle(network)), options, precision)


def _opened(sessions: Sessions) -> dict[str, Any]:
    """The library, and how long building, loading and the self-test take together."""
    began = time.perf_counter()
    engine = sessions.fused(CELL_TYPE)
    return {"version": engine.version, "ready_seconds": round(time.perf_counter() - began, 2)}
