"""The part of `gpu.py` that looks at the kernels of the engine, and what others need for that."""

import time
from typing import Any

from gpu_rig import Asked, noise
from samples import CELL_TYPE
from torch.profiler import ProfilerActivity, profile

_PROFILED_CALLS, _TOP = 4, 14


def profile_line(asked: Asked, network: str) -> dict[str, Any]:
    """On which kernels the device spends one call of the engine."""
    sizes, (precision, *_) = asked.sizes, asked.precisions
    with asked.sessions(network, precision) as sessions:
        engine = sessions.fused(CELL_TYPE)
        cells = noise(sessions.cells_per_call(CELL_TYPE), sizes.canvas_px)
        feeds = sessions.contract(CELL_TYPE, sessions.graph.file).feeds_of_cells(cells)
        for _ in range(3):
            engine.run(feeds)
        with profile(activities=activities(asked)) as found:
            began = time.perf_counter()
            for _ in range(_PROFILED_CALLS):
                engine.run(feeds)
            wall = time.perf_counter() - began
    return {
        "question": "share of a call of the engine in which the device computes",
        **kernels(found, wall, _PROFILED_CALLS),
        "target": "none, for comparison",
        "precision": precision,
        "cells_per_call": len(cells),
    }


def activities(asked: Asked) -> list[ProfilerActivity]:
    """What the device does; without a GPU, what the processor does in torch."""
    return [ProfilerActivity.CUDA if asked.device == "cuda" else ProfilerActivity.CPU]


def kernels(found: profile, wall: float, repeats: int) -> dict[str, Any]:
    """The kernels that take the longest: name, number and milliseconds, of each repeat."""

    on_gpu = ProfilerActivity.CUDA in found.activities

    def ms(event: Any) -> float:
        us = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        return us / 1000 / repeats

    averages = found.key_averages()
    events = [event for event in averages if not getattr(event, "is_user_annotation", False)]
    events.sort(key=ms, reverse=True)
    busy = sum(map(ms, events))
    return {
        "ratio": round(busy / (1000 * wall / repeats), 3),
        "ms_busy": round(busy, 3),
        "ms_wall": round(1000 * wall / repeats, 3),
        "top": [[e.key[:90], e.count / repeats, round(ms(e), 4)] for e in events[:_TOP]],
        "repeats": repeats,
    }
