"""Testing and timing one way to run a bundle, with as many callers as scoring has."""

from collections.abc import Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.contract import CELLS, Feeds, cells_tensor, contract_of
from vexas_edge.bundle.graphs import EMULATED, FUSED, HEAD
from vexas_edge.engines.contract import Engine, EngineOptions
from vexas_edge.host.clock import median_seconds
from vexas_edge.runtime.choice import Measured
from vexas_edge.runtime.session import Sessions
from vexas_edge.talk import Say

_LEAST_ROUNDS = 3
_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class TimingOptions:
    """How to measure. Each way is timed for `seconds` with each model."""

    threads: int | None
    seconds: float
    report: Say


def options_of(way: Measured, asked: TimingOptions) -> EngineOptions:
    """The options that open this way's engine; what is missing is built."""
    return EngineOptions(
        engine=way.engine,
        device=way.device,
        threads=asked.threads,
        rows_per_call=way.cells_per_call,
        setting=way.setting,
        build=True,
        report=asked.report,
    )


def check_model(sessions: Sessions, model: str) -> bool:
    """Test the model's head and chosen graph; returns whether an emulation alone has judged it.

    Raises:
        HostError: the numbers are others than were recorded, or the engine fails.
    """
    for file in (HEAD, sessions.graph.file):
        sessions.check(model, file)
    entry = sessions.bundle.manifest.networks[model].files[sessions.graph.file]
    return entry.measured.get("ran_on") == EMULATED


def noise_feeds(bundle: Bundle, model: str, n_cells: int) -> Feeds:
    """Cells made of noise and one draw, as scoring gives them to an engine in one call."""
    tensor = cells_tensor(bundle.manifest.networks[model].instances)
    rng = np.random.Generator(np.random.PCG64(0))
    cells = rng.integers(0, 256, (n_cells, *tensor.row_shape)).astype(tensor.dtype)
    return contract_of(bundle.manifest.networks[model], FUSED).feeds_of_cells(cells)


def ms_per_cell(engines: Mapping[_Key, Engine], feeds: Feeds, seconds: float) -> dict[_Key, float]:
    """The milliseconds per cell of each engine; as in scoring, each thread makes its own calls."""
    with ThreadPoolExecutor(max(engine.threads for engine in engines.values())) as pool:

        def on_every_thread(engine: Engine) -> None:
            list(pool.map(engine.run, [feeds] * engine.threads))

        works = {way: partial(on_every_thread, engine) for way, engine in engines.items()}
        medians = median_seconds(works, turns=_LEAST_ROUNDS, seconds=seconds * len(engines))
    cells_per_turn = {way: len(feeds[CELLS]) * engine.threads for way, engine in engines.items()}
    return {way: medians[way] * 1000 / cells_per_turn[way] for way in engines}
