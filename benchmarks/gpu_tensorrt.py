"""The part of `gpu.py` that TensorRT runs, where the library that is installed takes the GPU."""

import time
from collections.abc import Callable
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
    for precision in _PRECISIONS:
        try:
            with _sessions(asked, network, precision) as ours:
                found[precision] = _opened(ours)
                apart = np.abs(np.subtract(scores_of(asked, ours), expected)).max()
                found[precision]["largest_difference"] = float(f"{apart:.3g}")
                found[precision]["peak_mib"] = peak_mib(partial(encode_pool, ours, cells))
                found[precision] |= _rates(asked, network, precision, ours, cells)
        except HostError as error:
            refused[precision] = str(error)
    ratios = {p: one["ratio"] for p, one in found.items() if "ratio" in one}
    return {
        **question,
        "ratio": ratios.get("fp16"),
        "target": "none, for comparison",
        "ratios": ratios,
        "plans": found,
        "refused": refused,
        "repeats": sizes.turns,
    }


def _rates(
    asked: Asked, network: str, precision: Precision, ours: Sessions, cells: np.ndarray
) -> dict[str, Any]:
    """Cells per second of TensorRT and of onnxruntime, in turns."""
    with asked.sessions(network, precision) as other:
        works: dict[str, Callable[[], None]] = {
            "tensorrt": partial(encode_pool, ours, cells),
            "onnxruntime": partial(encode_pool, other, cells),
        }
        medians = median_seconds(works, turns=asked.sizes.turns, seconds=asked.seconds)
    return {
        "ratio": round(medians["onnxruntime"] / medians["tensorrt"], 3),
        "cells_per_second": {name: round(len(cells) / s, 1) for name, s in medians.items()},
    }


def _sessions(asked: Asked, network: str, precision: Precision) -> Sessions:
    options = EngineOptions(engine="tensorrt", build=True)
    return Sessions(open_bundle(asked.bundle(network)), options, precision)


def _opened(sessions: Sessions) -> dict[str, Any]:
    """The library, and how long building, loading and the self-test take together."""
    began = time.perf_counter()
    engine = sessions.fused(CELL_TYPE)
    return {"version": engine.version, "ready_seconds": round(time.perf_counter() - began, 2)}
