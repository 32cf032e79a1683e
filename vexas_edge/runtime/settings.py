"""Measuring how an engine is set up on a GPU, and how many cells a call is given there.

One way is open at a time, as each takes memory of the GPU, and with all models at once, as in
scoring.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from vexas_edge.bundle.archive import Bundle
from vexas_edge.engines.opening import settings_of
from vexas_edge.errors import DeviceMemoryError, HostError
from vexas_edge.runtime.choice import Measured
from vexas_edge.runtime.session import Sessions
from vexas_edge.runtime.timing import (
    TimingOptions,
    check_model,
    ms_per_cell,
    noise_feeds,
    options_of,
)

CALL_SIZES = (8, 16, 32, 64, 128)
# Smaller calls take less memory and give the threads that read cells more even work.
_WORTH_LARGER_CALLS = 1.03
# What is tried where the usual number of cells has no room.
_FEWER = (8, 1)


def with_best_setting(bundle: Bundle, way: Measured, asked: TimingOptions) -> Measured:
    """The way with its fastest setting and the fewest cells per call that are about as fast.

    If no setting works, the way has the problem that its default setting met.
    """
    settings = settings_of(way.engine, way.device, way.precision) or ("",)
    tried = [_tried(bundle, replace(way, setting=setting), asked) for setting in settings]
    best = min((t for t in tried if t.ms_per_cell is not None), key=_ms, default=None)
    if best is None:
        return tried[0]
    return fewest_cells([best, *_larger_and_larger(bundle, best, asked)])


def fewest_cells(timed: Sequence[Measured]) -> Measured:
    """Of one way, timed with several numbers of cells per call, the least that is about as fast.

    A number that the engine chose itself (None) is taken only where no other was timed.
    """
    sized = [way for way in timed if way.cells_per_call is not None] or list(timed)
    limit = _WORTH_LARGER_CALLS * min(map(_ms, sized))
    return min((way for way in sized if _ms(way) <= limit), key=lambda way: way.cells_per_call or 0)


def _ms(way: Measured) -> float:
    """The time per cell; a way that has none is the slowest."""
    return math.inf if way.ms_per_cell is None else way.ms_per_cell


def _tried(bundle: Bundle, way: Measured, asked: TimingOptions) -> Measured:
    """The way with its time, for the usual number of cells per call or the largest that fits."""
    for n_cells in (None, *_FEWER):
        with suppress(DeviceMemoryError):
            return _timed(bundle, replace(way, cells_per_call=n_cells), asked)
    return replace(way, problem="the GPU has too little free memory for a single cell")


def _larger_and_larger(bundle: Bundle, best: Measured, asked: TimingOptions) -> list[Measured]:
    """The way with its time for each number of cells per call, up to the largest that works."""
    timed: list[Measured] = []
    with suppress(DeviceMemoryError):
        for n_cells in CALL_SIZES:
            way = _timed(bundle, replace(best, cells_per_call=n_cells), asked)
            if way.problem:
                break
            timed.append(way)
    return timed


def _timed(bundle: Bundle, way: Measured, asked: TimingOptions) -> Measured:
    """The way with the sum of its times over all models, or with the problem that it met.

    Raises:
        DeviceMemoryError: the GPU has no memory for so many cells.
    """
    try:
        with Sessions(bundle, options_of(way, asked), way.precision) as sessions:
            emulated = [check_model(sessions, model) for model in bundle.manifest.networks]
            _check_fits(sessions, way.cells_per_call)
            ms = sum(_ms_of_model(sessions, model, asked) for model in bundle.manifest.networks)
    except DeviceMemoryError:
        raise
    except HostError as error:
        return replace(way, problem=str(error))
    said = f"{way.cells_per_call} cells" if way.cells_per_call else "the usual number of cells"
    setting = f", {way.setting}" if way.setting else ""
    name = f"{way.engine} on {way.device} in {way.precision}{setting}"
    asked.report(f"{name}: {ms:.3f} ms per cell with {said} per call")
    return replace(way, emulated=any(emulated), ms_per_cell=ms)


def _check_fits(sessions: Sessions, n_cells: int | None) -> None:
    """Check that no self-test had to do with fewer cells than are to be timed.

    Raises:
        DeviceMemoryError: one had to.
    """
    for model in sessions.bundle.manifest.networks:
        if n_cells and sessions.limits.of(model, n_cells) < n_cells:
            raise DeviceMemoryError(f"the GPU has no memory for {n_cells} cells of {model}")


def _ms_of_model(sessions: Sessions, model: str, asked: TimingOptions) -> float:
    feeds = noise_feeds(sessions.bundle, model, sessions.cells_per_call(model))
    return ms_per_cell({model: sessions.fused(model)}, feeds, asked.seconds)[model]
