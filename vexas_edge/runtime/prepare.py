"""Measuring what runs a bundle fastest on this PC: each engine, device and precision in turn."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.contract import CELLS, Feeds, cells_tensor, contract_of
from vexas_edge.bundle.graphs import EMULATED, FUSED, HEAD
from vexas_edge.choices import ENGINES, PRECISIONS
from vexas_edge.engines.contract import Engine, EngineOptions
from vexas_edge.engines.opening import devices_of
from vexas_edge.errors import HostError
from vexas_edge.host.clock import median_seconds
from vexas_edge.runtime.choice import Measured, remember
from vexas_edge.runtime.session import Sessions, cells_per_call
from vexas_edge.talk import Say

_LEAST_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """How to measure. Each way is timed for `seconds` with each model."""

    threads: int | None
    seconds: float
    report: Say


def prepare_bundle(
    bundle: Bundle, report: Say, *, threads: int | None = None, seconds: float = 3.0
) -> tuple[Measured, ...]:
    """Test and time every way to run the bundle here, and remember it for `score`.

    Args:
        report: called with one line at a time about what is being done.
        seconds: how long each way is timed, for all models together.

    Raises:
        HostError: nothing here returns the recorded numbers, or the cache cannot be written.
    """
    models = bundle.manifest.models
    asked = _Asked(threads=threads, seconds=seconds / len(models), report=report)
    ways = tuple(_ways())
    for model in models:
        ways = _with_model(bundle, model, ways, asked)
    remember(bundle, ways)
    if all(way.problem for way in ways):
        problems = "; ".join(f"{way.engine} {way.precision}: {way.problem}" for way in ways)
        raise HostError(f"nothing on this PC runs this bundle as it should: {problems}")
    return ways


def _ways() -> Iterator[Measured]:
    """Yield every way to try: each engine that loads, on each of its devices, in each precision.

    An engine that does not load is yielded once, with its problem.
    """
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


def _with_model(
    bundle: Bundle, model: str, ways: Sequence[Measured], asked: _Asked
) -> tuple[Measured, ...]:
    """The same ways after one more model: with its time added, or with the problem it met."""
    with ExitStack() as stack:
        tested = [_tested(bundle, model, way, asked, stack) for way in ways]
        engines = {way: engine for way, engine in tested if engine is not None}
        asked.report(f"{model}: timing {len(engines)} ways, {asked.seconds:.1f} s each")
        feeds = _feeds(bundle, model)
        times = _interleaved(engines, feeds, asked.seconds) if engines else {}
    return tuple(
        replace(way, ms_per_cell=(way.ms_per_cell or 0.0) + times[way] if way in times else None)
        for way, _ in tested
    )


def _tested(
    bundle: Bundle, model: str, way: Measured, asked: _Asked, stack: ExitStack
) -> tuple[Measured, Engine | None]:
    """The way and its engine, if the self-test passes; else the way with its problem, and None."""
    if way.problem:
        return way, None
    asked.report(f"{model}: testing {way.engine} on {way.device} in {way.precision}")
    options = EngineOptions(
        engine=way.engine,
        device=way.device,
        threads=asked.threads,
        build=True,
        report=asked.report,
    )
    try:
        sessions = stack.enter_context(Sessions(bundle, options, way.precision))
        for file in (HEAD, sessions.graph.file):
            sessions.check(model, file)
    except HostError as error:
        return replace(way, problem=str(error)), None
    entry = bundle.manifest.models[model].files[sessions.graph.file]
    emulated = way.emulated or entry.measured.get("ran_on") == EMULATED
    return replace(way, emulated=emulated), sessions.fused(model)


def _feeds(bundle: Bundle, model: str) -> Feeds:
    """As many cells as scoring gives an engine in one call, made of noise, and one draw."""
    canvas_px = bundle.manifest.models[model].canvas_px
    n_cells = cells_per_call(EngineOptions(device="cpu"), canvas_px)
    rng = np.random.Generator(np.random.PCG64(0))
    shape = (n_cells, *cells_tensor(canvas_px).row_shape)
    cells = rng.integers(0, 256, shape, dtype=np.uint8)
    return contract_of(bundle.manifest, model, FUSED).one_draw_feeds(cells)


def _interleaved(
    engines: dict[Measured, Engine], feeds: Feeds, seconds: float
) -> dict[Measured, float]:
    """The milliseconds per cell of each way; as in scoring, each thread makes its own calls."""
    with ThreadPoolExecutor(max(engine.threads for engine in engines.values())) as pool:

        def on_every_thread(engine: Engine) -> None:
            list(pool.map(engine.run, [feeds] * engine.threads))

        works = {way: partial(on_every_thread, engine) for way, engine in engines.items()}
        medians = median_seconds(works, turns=_LEAST_ROUNDS, seconds=seconds * len(engines))
    cells_per_turn = {way: len(feeds[CELLS]) * engine.threads for way, engine in engines.items()}
    return {way: medians[way] * 1000 / cells_per_turn[way] for way in engines}
