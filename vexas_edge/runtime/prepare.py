"""Measuring what runs a bundle fastest on this PC: each engine, device and precision in turn."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.contract import cells_tensor
from vexas_edge.choices import ENGINES, PRECISIONS
from vexas_edge.engines.contract import Engine, EngineOptions
from vexas_edge.engines.opening import devices_of
from vexas_edge.errors import HostError
from vexas_edge.runtime.call_limits import forget_limits
from vexas_edge.runtime.choice import Measured, cells_per_call, key_on_this_pc, remember
from vexas_edge.runtime.session import Sessions
from vexas_edge.runtime.settings import with_best_setting
from vexas_edge.runtime.timing import (
    TimingOptions,
    check_model,
    ms_per_cell,
    noise_feeds,
    options_of,
)
from vexas_edge.talk import Say


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
    models = bundle.manifest.networks
    asked = TimingOptions(threads=threads, seconds=seconds / len(models), report=report)
    forget_limits(key_on_this_pc(bundle))
    on_gpu, ways = _by_device(tuple(_ways()))
    for model in models:
        ways = _with_model(bundle, model, ways, asked)
    ways = (*ways, *(with_best_setting(bundle, way, asked) for way in on_gpu))
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


def _by_device(ways: Sequence[Measured]) -> tuple[tuple[Measured, ...], tuple[Measured, ...]]:
    """The ways on a GPU, where settings and numbers of cells per call are tried, and the others."""
    on_gpu = tuple(way for way in ways if way.device not in ("cpu", "auto"))
    return on_gpu, tuple(way for way in ways if way not in on_gpu)


def _with_model(
    bundle: Bundle, model: str, ways: Sequence[Measured], asked: TimingOptions
) -> tuple[Measured, ...]:
    """The same ways after one more model: with its time added, or with the problem it met."""
    with ExitStack() as stack:
        tested = [_tested(bundle, model, way, asked, stack) for way in ways]
        engines = {way: engine for way, engine in tested if engine is not None}
        asked.report(f"{model}: timing {len(engines)} ways, {asked.seconds:.1f} s each")
        cells = cells_tensor(bundle.manifest.networks[model].instances)
        n_cells = cells_per_call(EngineOptions(device="cpu"), cells)
        feeds = noise_feeds(bundle, model, n_cells)
        times = ms_per_cell(engines, feeds, asked.seconds) if engines else {}
    return tuple(
        replace(way, ms_per_cell=(way.ms_per_cell or 0.0) + times[way] if way in times else None)
        for way, _ in tested
    )


def _tested(
    bundle: Bundle, model: str, way: Measured, asked: TimingOptions, stack: ExitStack
) -> tuple[Measured, Engine | None]:
    """The way and its engine, if the self-test passes; else the way with its problem, and None."""
    if way.problem:
        return way, None
    asked.report(f"{model}: testing {way.engine} on {way.device} in {way.precision}")
    try:
        sessions = stack.enter_context(Sessions(bundle, options_of(way, asked), way.precision))
        emulated = check_model(sessions, model)
    except HostError as error:
        return replace(way, problem=str(error)), None
    return replace(way, emulated=way.emulated or emulated), sessions.fused(model)
