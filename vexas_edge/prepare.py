"""What runs a bundle fastest on this PC, measured: each engine, device and precision in turn."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from vexas_edge.bundle import Bundle
from vexas_edge.choosing import Measured, remember
from vexas_edge.engines import (
    ENGINES,
    PRECISIONS,
    Engine,
    EngineOptions,
    devices_of,
)
from vexas_edge.errors import HostError
from vexas_edge.manifest import HEAD
from vexas_edge.selftest import check_graph
from vexas_edge.sessions import Sessions, most_cells_a_call

Report = Callable[[str], None]
Feeds = dict[str, np.ndarray]

_LEAST_ROUNDS = 3


def prepare(
    bundle: Bundle, report: Report, *, threads: int | None = None, seconds: float = 3.0
) -> tuple[Measured, ...]:
    """Test and time every way to run the bundle here, and remember it for `score`.

    Args:
        report: called with what is being done, a line each.
        seconds: how long each way is timed, for all models together.

    Raises:
        HostError: nothing here gives the recorded numbers, or the cache cannot be written.
    """
    with ExitStack() as stack:
        tested = []
        for way in _ways():
            report(f"testing {way.engine} on {way.device} in {way.precision}")
            options = EngineOptions(
                engine=way.engine, device=way.device, threads=threads, build=True, report=report
            )
            tested.append(_tested(bundle, way, options, stack))
        sessions = {way: session for way, session in tested if session is not None}
        report(f"timing {len(sessions)} ways to run it, {seconds:g} s each")
        times = _timed(bundle, sessions, seconds)
    measured = tuple(replace(way, ms_a_cell=times.get(way)) for way, _ in tested)
    if not sessions:
        problems = "; ".join(f"{m.engine} {m.precision}: {m.problem}" for m in measured)
        raise HostError(f"nothing on this PC runs this bundle as it should: {problems}")
    remember(bundle, measured, threads)
    return measured


def _ways() -> Iterator[Measured]:
    """All that could be there: engines that load, their devices, all precisions."""
    for engine in ENGINES:
        if engine == "auto":
            continue
        try:
            devices = devices_of(engine)
        except HostError as error:
            yield Measured(engine=engine, device="auto", precision="fp32", problem=str(error))
            continue
        for device in devices:
            for precision in PRECISIONS:
                yield Measured(engine=engine, device=device, precision=precision)


def _tested(
    bundle: Bundle, way: Measured, options: EngineOptions, stack: ExitStack
) -> tuple[Measured, Sessions | None]:
    """The way's open sessions, or why it cannot be used: not to be had, or other numbers."""
    if way.problem:
        return way, None
    try:
        sessions = stack.enter_context(Sessions(bundle, options, way.precision))
        for model in bundle.manifest.models:
            for file in (HEAD, sessions.graph.file):
                check_graph(sessions, model, file)
    except HostError as error:
        return replace(way, problem=str(error)), None
    return way, sessions


def _timed(
    bundle: Bundle, sessions: dict[Measured, Sessions], seconds: float
) -> dict[Measured, float]:
    """Milliseconds a cell of each way, of one cell of each model; medians of interleaved rounds."""
    models = bundle.manifest.models
    totals = dict.fromkeys(sessions, 0.0)
    for model in models:
        engines = {way: opened.fused(model) for way, opened in sessions.items()}
        canvas_px, draw_size = models[model].canvas_px, models[model].aggregation.draw_size
        n_cells = most_cells_a_call(canvas_px)
        rng = np.random.Generator(np.random.PCG64(0))
        cells = rng.integers(0, 256, (n_cells, canvas_px, canvas_px, 3), dtype=np.uint8)
        feeds: Feeds = {"cells": cells, "draws": np.zeros((1, draw_size), np.int64)}
        for way, ms in _interleaved(engines, feeds, seconds / len(models)).items():
            totals[way] += ms
    return totals


def _interleaved(
    engines: dict[Measured, Engine], feeds: Feeds, seconds: float
) -> dict[Measured, float]:
    rounds: list[dict[Measured, float]] = []
    ends = time.monotonic() + seconds * len(engines)
    with ThreadPoolExecutor(max(engine.threads for engine in engines.values())) as pool:
        while len(rounds) <= _LEAST_ROUNDS or time.monotonic() < ends:
            rounds.append({way: _ms_a_cell(engine, feeds, pool) for way, engine in engines.items()})
    return {way: statistics.median(r[way] for r in rounds[1:]) for way in engines}


def _ms_a_cell(engine: Engine, feeds: Feeds, pool: ThreadPoolExecutor) -> float:
    """One call a thread at the same time, as scoring makes them."""
    started = time.perf_counter()
    calls: Sequence[object] = list(pool.map(engine.run, [feeds] * engine.threads))
    return (time.perf_counter() - started) * 1000 / len(feeds["cells"]) / len(calls)
