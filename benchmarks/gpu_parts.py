"""The parts of `gpu.py` that score: each gives one line of results."""

import statistics
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
from gpu_rig import Asked, encode_pool, noise, opened, parts, used_mib
from gpu_torch import compiled_work, torch_works
from samples import CELL_TYPE

from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.ahead import run_ahead
from vexas_edge.bundle.contract import contract_of
from vexas_edge.bundle.graphs import FUSED, graph_file
from vexas_edge.commands.smears.scorer import Scorer
from vexas_edge.errors import InputError
from vexas_edge.host.clock import median_seconds, seconds_of
from vexas_edge.host.libraries import load_library
from vexas_edge.host.process import default_threads
from vexas_edge.naming.case_ids import Naming, NamingOptions
from vexas_edge.runtime.choice import fastest
from vexas_edge.runtime.prepare import prepare_bundle
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.images.smears import read_smear
from vexas_edge.smear.case import FoundCase
from vexas_edge.smear.options import ReadOptions
from vexas_edge.talk import silent

onnxruntime = load_library("onnxruntime")

_READING = ReadOptions(cell_type=CELL_TYPE)
_LARGEST_DIFFERENCE = 1e-3
# The cells of 272 px in one call of the reference engine on a GPU before it was set up for one.
_FORMER_CALL = 4


def parity_line(asked: Asked, network: str) -> dict[str, Any]:
    """How far scores on the device are from those of the CPU in float32."""
    with asked.sessions(network, "fp32", "cpu") as sessions:
        expected = scores_of(asked, sessions)
    refused: dict[str, str] = {}
    with ExitStack() as stack:
        found = {
            precision: scores_of(asked, sessions)
            for precision, sessions in opened(asked, network, stack, refused)
        }
    apart = {p: float(np.abs(np.subtract(s, expected)).max()) for p, s in found.items()}
    return {
        "question": "largest difference of a score on the device from the CPU's in float32",
        "ratio": round(max(apart.values()) / _LARGEST_DIFFERENCE, 4),
        "target": f"<= 1, of {_LARGEST_DIFFERENCE}",
        "largest_difference": {p: float(f"{value:.3g}") for p, value in apart.items()},
        "scores": {"cpu fp32": expected, **found},
        "refused": refused,
        "n_cells": asked.sizes.compared * len(expected),
    }


def scores_of(asked: Asked, sessions: Sessions) -> list[float]:
    """The scores of two smears, of some cells each."""
    found = []
    for folder in asked.smears[:2]:
        with read_case(folder, _READING) as case:
            some = replace(case, cells=case.cells[: asked.sizes.compared])
            (model,) = score_case(some, sessions.bundle, sessions).models
        if model.score is None:
            raise InputError(f"{folder}: {'; '.join(model.explanations)}")
        found.append(model.score)
    return found


def engine_line(asked: Asked, network: str) -> dict[str, Any]:
    """Cells per second of the engine as scoring calls it, beside torch and its former defaults."""
    sizes, before = asked.sizes, used_mib()
    cells = noise(sizes.pool, sizes.canvas_px)
    refused: dict[str, str] = {}
    peaks: dict[str, int] = {}
    calls: dict[str, int] = {}
    works: dict[str, Callable[[], None]] = {}
    with ExitStack() as stack:
        for precision, sessions in opened(asked, network, stack, refused):
            works[precision] = partial(encode_pool, sessions, cells)
            peaks[precision] = peak_mib(works[precision])
            calls[precision] = sessions.cells_per_call(CELL_TYPE)
            threads = sessions.fused(CELL_TYPE).threads
        run = tuple(works)
        works |= torch_works(asked, network, cells)
        works |= {f"former {p}": _former_work(asked, network, p, cells) for p in run}
        medians = median_seconds(works, turns=sizes.turns, seconds=asked.seconds)
    rates = {name: sizes.pool / seconds for name, seconds in medians.items()}
    ratios = {p: round(rates[p] / rates[f"torch {p}"], 3) for p in run}
    return {
        "question": "speed of the engine as scoring calls it over torch, from cells in memory",
        "ratio": ratios[run[0]],
        "target": ">= 0.85 in fp16, >= 1.0 in fp32",
        "ratios": ratios,
        "ratios_over_former_defaults": {p: round(rates[p] / rates[f"former {p}"], 2) for p in run},
        "target_over_former_defaults": ">= 3",
        "cells_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        # Of all that runs on the device; each precision comes on top of the ones before it.
        "peak_mib": peaks,
        "peak_mib_target": "< 2048 for resnet50 in fp16",
        "mib_before": round(before),
        "refused": refused,
        "cells_per_call": calls,
        "threads": threads,
        "repeats": sizes.turns,
    }


def compiled_line(asked: Asked, network: str) -> dict[str, Any]:
    """The engine beside torch.compile, whose compiling is timed, too."""
    sizes = asked.sizes
    cells, (precision, *_) = noise(sizes.pool, sizes.canvas_px), asked.precisions
    compiled = compiled_work(asked, network, cells)
    compiling = seconds_of(compiled)
    with asked.sessions(network, precision) as sessions:
        ours = partial(encode_pool, sessions, cells)
        works: dict[str, Callable[[], None]] = {precision: ours, "torch.compile": compiled}
        medians = median_seconds(works, turns=sizes.turns, seconds=asked.seconds)
    return {
        "question": "speed of the engine as scoring calls it over torch.compile",
        "ratio": round(medians["torch.compile"] / medians[precision], 3),
        "target": "none, for comparison",
        "cells_per_second": {name: round(sizes.pool / s, 1) for name, s in medians.items()},
        "compiling_seconds": round(compiling, 1),
        "repeats": sizes.turns,
    }


def _former_work(
    asked: Asked, network: str, precision: str, cells: np.ndarray
) -> Callable[[], None]:
    """A plain session with its provider's defaults, in small calls, on all threads."""
    bundle = open_bundle(asked.bundle(network))
    file = FUSED if precision == "fp32" else graph_file(precision)
    plain: list[Any] = ["CPUExecutionProvider"]
    if asked.device == "cuda":
        plain.insert(0, ("CUDAExecutionProvider", {"use_tf32": "0"}))
    session = onnxruntime.InferenceSession(bundle.model_file(CELL_TYPE, file), providers=plain)
    contract = contract_of(bundle.manifest.models[CELL_TYPE], file)

    def encode_all() -> None:
        feeds = (contract.feeds_of_cells(part) for part in parts(cells, _FORMER_CALL))
        run = run_ahead(lambda one: session.run(None, one), feeds, threads=default_threads())
        with closing(run) as done:
            for _ in done:
                pass

    return encode_all


def peak_mib(work: Callable[[], None]) -> int:
    """The most of the device's memory that is in use while the work is done, twice."""
    found, over = [used_mib()], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            found.append(used_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
        work()
    finally:
        over.set()
        watcher.join()
    return round(max(*found, used_mib()))


def files_line(asked: Asked, network: str) -> dict[str, Any]:
    """Scoring of smears one after the other, from files, beside its two halves alone."""
    sizes, (precision, *_) = asked.sizes, asked.precisions
    cells = noise(sizes.cells, sizes.canvas_px)
    with asked.sessions(network, precision) as sessions:
        works: dict[str, Callable[[], object]] = {
            "scoring": lambda: _score_all(asked, sessions),
            "reading": lambda: _read_all(asked, sessions),
            "engine": lambda: _encode_all(asked, sessions, cells),
        }
        used = _score_all(asked, sessions)
        turns = [{n: seconds_of(w) for n, w in works.items()} for _ in range(sizes.turns + 1)][1:]
    ratios = [max(turn["reading"], turn["engine"]) / turn["scoring"] for turn in turns]
    n_cells = sizes.smears * sizes.cells
    return {
        "question": "speed of scoring from files over the slower of reading and engine alone",
        "ratio": round(statistics.median(ratios), 4),
        "target": ">= 0.9",
        "ratios": [round(ratio, 4) for ratio in ratios],
        "cells_per_second": {
            name: round(n_cells / statistics.median(turn[name] for turn in turns), 1)
            for name in works
        },
        "precision": precision,
        "n_cells": n_cells,
        "n_cells_used": used,
        "threads": sessions.threads,
        "repeats": sizes.turns,
    }


def _score_all(asked: Asked, sessions: Sessions) -> int:
    """Score all smears as `vexas-edge score` does; returns how many cells were used."""
    scorer = Scorer(sessions=sessions, reading=_READING, naming=Naming(NamingOptions()))
    wanted = [FoundCase(name=folder.name, path=folder) for folder in asked.smears]
    used = 0
    with closing(scorer.look_at_all(wanted, lambda _: silent)) as all_looked:
        for looked in all_looked:
            with looked:
                outcome = scorer.keep(scorer.answer(looked, silent))
            if outcome.score is None or not outcome.score.models:
                raise InputError(f"{looked.found.name} was not scored")
            used += sum(model.n_cells for model in outcome.score.models)
    return used


def _encode_all(asked: Asked, sessions: Sessions, cells: np.ndarray) -> None:
    for _ in asked.smears:
        encode_pool(sessions, cells)


def _read_all(asked: Asked, sessions: Sessions) -> None:
    for folder in asked.smears:
        with read_case(folder, _READING) as case:
            read_smear(case, sessions.bundle.manifest, silent, threads=sessions.threads)


def prepare_line(asked: Asked, network: str) -> dict[str, Any]:
    """What `vexas-edge prepare` takes, and what it chooses."""
    began = time.perf_counter()
    ways = prepare_bundle(open_bundle(asked.bundle(network)), silent_line, seconds=asked.seconds)
    took = time.perf_counter() - began
    chosen = fastest(ways)
    plain = min(w.ms_per_cell for w in ways if w.ms_per_cell and w.precision == "fp32")
    return {
        "question": "speed of what `vexas-edge prepare` chooses over the fastest way in fp32",
        "ratio": round(plain / chosen.ms_per_cell, 3) if chosen and chosen.ms_per_cell else 0.0,
        "target": ">= 1",
        "seconds": round(took, 1),
        "chosen": asdict(chosen) if chosen else None,
        "ways": [{**asdict(way), "problem": (way.problem or "")[:200]} for way in ways],
    }


def silent_line(line: str) -> None:
    """Tell nobody."""
