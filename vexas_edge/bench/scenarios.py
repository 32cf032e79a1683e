"""What is measured, and how each figure is computed from times."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vexas_edge.ahead import run_ahead
from vexas_edge.bench.timing import Times, times_in_turns
from vexas_edge.bundle.contract import CELLS, ENCODINGS, Feeds
from vexas_edge.bundle.graphs import FUSED, HEAD
from vexas_edge.cells.background import background_of_cell, middle_background
from vexas_edge.cells.canvas import Canvas
from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.engines.contract import Engine
from vexas_edge.errors import HostError
from vexas_edge.host.clock import median_seconds
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.heads.inputs import inputs_of_head
from vexas_edge.scoring.images.canvases import canvas_of
from vexas_edge.scoring.score import score_past_the_gate
from vexas_edge.smear.reader import read_case

Scenario = Literal["single_stream", "offline", "case", "cold_start", "batch"]

BATCHES = (2, 4, 8, 16, 32)
_LEAST = {"single_stream": 200, "offline": 20, "case": 10, "cold_start": 10, "batch": 20}
_STAGE_REPEATS = 9
_LEAST_FOR_P99 = 100
# The exit status of a run whose case has no score.
_ABSTAINED = 3


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured figure.

    value, low, high: the median and the 95 % interval of the median.
    relative, relative_low, relative_high: the same in yardsticks (see `timing`), for comparisons.
    p90, p99: percentiles of single queries; p99 is None if there were too few queries.
    count: how many queries were timed.
    batch: how many cells a query has.
    model: None where all models take part.
    stages_ms: the time of each stage alone per cell (decode and canvas, which includes isolation,
    in one thread; compute in all threads), and the time of the head per case.
    """

    scenario: Scenario
    unit: Literal["ms", "cells/s"]
    value: float
    low: float
    high: float
    relative: float
    relative_low: float
    relative_high: float
    p90: float
    p99: float | None
    count: int
    batch: int
    model: str | None = None
    stages_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Query:
    """Something to be timed, with `batch` cells."""

    scenario: Scenario
    batch: int
    run: Callable[[], object]
    model: str | None = None


def measure(
    sessions: Sessions,
    smear: Path,
    small_smear: Path,
    *,
    score_options: Sequence[str],
    seconds: float,
    report: Callable[[str], None],
) -> list[Figure]:
    """Measure all figures of a bundle.

    Args:
        smear: the case whose cells are measured, in class folders.
        small_smear: the case that a new process scores, for the cold start.
        score_options: the options of `vexas-edge score` that the new process is given.
        seconds: how long each query is measured at least, over all turns.
        report: called with one line at a time about what is being done.
    """
    models = sessions.bundle.manifest.models
    files = {name: _files(smear, model.cells[0]) for name, model in models.items()}
    queries = [query for name in models for query in _of_model(sessions, name, files[name])]
    queries += _of_case(sessions, smear, small_smear, score_options)
    stages = {name: _stages_ms(sessions, name, files[name]) for name in models}
    times = times_in_turns(
        [query.run for query in queries],
        seconds=seconds,
        least=[_LEAST[query.scenario] for query in queries],
        report=report,
    )
    return [
        _figure(query, taken, stages.get(query.model or "", {}))
        for query, taken in zip(queries, times, strict=True)
    ]


def _files(smear: Path, folder: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((smear / folder).iterdir())]


def _of_model(sessions: Sessions, name: str, files: list[bytes]) -> Iterator[_Query]:
    size = sessions.cells_per_call(name)
    cells = _cells(sessions, name, files, max(size, *BATCHES))
    alone, fused = sessions.fused_alone(name), sessions.fused(name)
    for batch in (1, *BATCHES):
        if batch > alone.most_rows.get(CELLS, batch):
            break
        scenario: Scenario = "single_stream" if batch == 1 else "batch"
        call = partial(alone.run, _feeds(sessions, name, cells[:batch]))
        yield _Query(scenario=scenario, batch=batch, run=call, model=name)
    calls = partial(_on_every_thread, fused, _feeds(sessions, name, cells[:size]))
    yield _Query(scenario="offline", batch=size * fused.threads, run=calls, model=name)


def _of_case(
    sessions: Sessions, smear: Path, small_smear: Path, score_options: Sequence[str]
) -> Iterator[_Query]:
    n_cells, few = (sum(path.is_file() for path in f.rglob("*")) for f in (smear, small_smear))
    yield _Query(scenario="case", batch=n_cells, run=partial(_score, sessions, smear))
    new_process = partial(_score_in_a_new_process, small_smear, score_options)
    yield _Query(scenario="cold_start", batch=few, run=new_process)


def _cells(sessions: Sessions, name: str, files: list[bytes], n: int) -> NDArray[np.uint8]:
    pixels = [rgb_from_bytes(file) for file in files[:n]]
    canvas = _canvas(sessions, name, pixels)
    placed = [canvas.place(cell) for cell in pixels]
    return np.resize(np.stack(placed), (n, *placed[0].shape))


def _canvas(sessions: Sessions, name: str, pixels: list[NDArray[np.uint8]]) -> Canvas:
    """The model's canvas, for a case of these cells."""
    slide = middle_background([background_of_cell(cell) for cell in pixels])
    return canvas_of(sessions, name).for_background(slide)


def _feeds(sessions: Sessions, name: str, cells: NDArray[np.uint8]) -> Feeds:
    return sessions.contract(name, FUSED).feeds_of_cells(cells)


def _on_every_thread(engine: Engine, feeds: Feeds) -> None:
    """Make one call per thread at the same time, as scoring does."""
    for _ in run_ahead(engine.run, [feeds] * engine.threads, threads=engine.threads):
        pass


def _score(sessions: Sessions, folder: Path) -> None:
    with read_case(folder) as case:
        score_past_the_gate(case, sessions.bundle, sessions)


def _score_in_a_new_process(folder: Path, options: Sequence[str]) -> None:
    command = [sys.executable, "-m", "vexas_edge", "score", str(folder), "--json", *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode not in (0, _ABSTAINED):  # a domain gate may know that cells are drawn
        raise HostError(f"a new process could not score: {ended.stderr.strip()}")


def _stages_ms(sessions: Sessions, name: str, files: list[bytes]) -> dict[str, float]:
    model = sessions.bundle.manifest.models[name]
    size = sessions.cells_per_call(name)
    files = [files[i % len(files)] for i in range(size)]
    pixels = [rgb_from_bytes(file) for file in files]
    cells = _cells(sessions, name, files, size)
    fused, head = sessions.fused(name), sessions.head(name)
    canvas = _canvas(sessions, name, pixels)
    feeds = _feeds(sessions, name, cells)
    encodings = fused.run(feeds)[ENCODINGS]
    none = np.zeros((1, len(model.covariates)), np.float32)
    inputs = inputs_of_head(model, [b"%8d" % i for i in range(size)], none)
    head_feeds = sessions.contract(name, HEAD).feeds({ENCODINGS: encodings, **inputs})
    stages: dict[str, tuple[int, Callable[[], object]]] = {
        "decode": (size, lambda: [rgb_from_bytes(f) for f in files]),
        "canvas": (size, lambda: [canvas.place(p) for p in pixels]),
        "compute": (size * fused.threads, lambda: _on_every_thread(fused, feeds)),
        "head": (1, lambda: head.run(head_feeds)),
    }
    works = {stage: work for stage, (_, work) in stages.items()}
    medians = median_seconds(works, turns=_STAGE_REPEATS)
    return {stage: round(medians[stage] * 1000 / n, 4) for stage, (n, _) in stages.items()}


def _figure(query: _Query, times: Times, stages: dict[str, float]) -> Figure:
    low, high = times.interval()
    relative = times.in_yardsticks()
    relative_low, relative_high = relative.interval()
    per_second = query.scenario == "offline"

    def shown(seconds: float) -> float:
        return query.batch / seconds if per_second else seconds * 1000

    return Figure(
        scenario=query.scenario,
        unit="cells/s" if per_second else "ms",
        value=shown(times.percentile(50)),
        low=shown(high if per_second else low),
        high=shown(low if per_second else high),
        relative=relative.percentile(50),
        relative_low=relative_low,
        relative_high=relative_high,
        p90=shown(times.percentile(90)),
        p99=shown(times.percentile(99)) if times.count >= _LEAST_FOR_P99 else None,
        count=times.count,
        batch=query.batch,
        model=query.model,
        stages_ms=stages,
    )
