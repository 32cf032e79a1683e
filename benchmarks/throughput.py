"""Times scoring from files, its parts alone, and a plain loop, in turns."""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
from PIL import Image
from samples import CELL_TYPE

from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.ahead import run_ahead
from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.contract import ENCODINGS
from vexas_edge.bundle.graphs import FUSED
from vexas_edge.cells import canvas
from vexas_edge.cells.canvas import Canvas, decode_cell
from vexas_edge.engines.contract import Engine, EngineOptions
from vexas_edge.engines.opening import open_engine
from vexas_edge.errors import InputError
from vexas_edge.host.clock import seconds_of
from vexas_edge.host.libraries import load_library
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.encoding import chunk_size
from vexas_edge.smear.case import Case
from vexas_edge.smear.options import ReadOptions

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

onnxruntime = load_library("onnxruntime")


@dataclass(frozen=True, kw_only=True)
class Rig:
    """One network with its cells, as files and decoded.

    chunks: decoded cells, uint8 (n, H, W, 3) each.
    wide: an engine that runs each call on all threads; those of `sessions` run one call per thread.
        The faster of the two is the bare engine that scoring is compared with.
    plain: a session with onnxruntime's defaults, for the plain loop.
    """

    network: str
    bundle: Bundle
    sessions: Sessions
    case: Case
    folder: Path
    canvas: Canvas
    chunks: list[np.ndarray]
    wide: Engine
    plain: "InferenceSession"


def throughput_line(
    network: str, bundle_file: Path, folder: Path, threads: int, turns: int
) -> dict[str, Any]:
    """One network's figures; times are in milliseconds per cell."""
    bundle = open_bundle(bundle_file)
    case = read_case(folder, ReadOptions(cell_type=CELL_TYPE))
    with Sessions(bundle, EngineOptions(threads=threads)) as sessions, case:
        rig = _rig(network, bundle, sessions, case, folder)
        measured = [_turn(rig) for _ in range(turns + 1)][1:]
    cores = min(threads, os.cpu_count() or threads)
    bare = [min(t["engine"], t["engine_wide"]) for t in measured]
    bound = [e + t["decoding_cpu"] / cores for e, t in zip(bare, measured, strict=True)]
    ratios = [b / t["score"] for b, t in zip(bound, measured, strict=True)]
    over_loop = [t["loop"] / t["score"] for t in measured]
    return {
        "question": "throughput of scoring from files over what engine and decoding allow",
        "ratio": round(statistics.median(ratios), 4),
        "target": ">= 0.93",
        "ratio_over_loop": round(statistics.median(over_loop), 4),
        "network": network,
        "precision": rig.sessions.graph.precision,
        "canvas_px": rig.canvas.canvas_px,
        "n_cells": len(case.cells),
        "cells_per_call": len(rig.chunks[0]),
        "threads": threads,
        "repeats": turns,
        "medians_ms_per_cell": {
            name: round(statistics.median(t[name] for t in measured), 4) for name in measured[0]
        },
        "ratios": [round(ratio, 4) for ratio in ratios],
        "ratios_over_loop": [round(ratio, 4) for ratio in over_loop],
        "bundle_sha256": bundle.sha256,
    }


def identity_cost(bundle_file: Path, folder: Path, threads: int, turns: int) -> dict[str, Any]:
    """How much longer scoring takes with the identity of pixels than with that of files.

    For the latter, each file's hash, which is there anyway, stands for its pixels.
    """
    bundle = open_bundle(bundle_file)
    case = read_case(folder, ReadOptions(cell_type=CELL_TYPE))
    with Sessions(bundle, EngineOptions(threads=threads)) as sessions, case:

        def score() -> None:
            score_case(case, bundle, sessions)

        def score_by_files() -> None:
            numbers = count()
            with patch.object(
                canvas, "identity_of", lambda _: next(numbers).to_bytes(32, "little")
            ):
                score()

        works = {"pixels": score, "files": score_by_files}
        times = [{key: seconds_of(work) for key, work in works.items()} for _ in range(turns + 1)]
        precision = sessions.graph.precision
    ratios = [turn["pixels"] / turn["files"] for turn in times[1:]]
    return {
        "ratio": round(statistics.median(ratios), 4),
        "ratios": [round(ratio, 4) for ratio in ratios],
        "precision": precision,
        "n_cells": len(case.cells),
        "ms_per_cell": {
            key: round(1000 * statistics.median(t[key] for t in times[1:]) / len(case.cells), 4)
            for key in works
        },
        "bundle_sha256": bundle.sha256,
    }


def _rig(network: str, bundle: Bundle, sessions: Sessions, case: Case, folder: Path) -> Rig:
    model = bundle.manifest.models[CELL_TYPE]
    canvas = Canvas(canvas_px=model.images.canvas_px, larger=model.images.larger)
    decoded = [decode_cell(case.source, cell, canvas).pixels for cell in case.cells]
    cells = [pixels for pixels in decoded if pixels is not None]
    if len(cells) < len(decoded):
        raise InputError(f"{case.name}: a cell cannot be read, but all of them must be timed")
    threads = sessions.fused(CELL_TYPE).threads
    size = chunk_size(sessions, CELL_TYPE, len(cells))
    graph = bundle.model_file(CELL_TYPE, sessions.graph.file)
    return Rig(
        network=network,
        bundle=bundle,
        sessions=sessions,
        case=case,
        folder=folder,
        canvas=canvas,
        chunks=[np.stack(cells[i : i + size]) for i in range(0, len(cells), size)],
        wide=open_engine(graph, EngineOptions(threads=threads)),
        plain=onnxruntime.InferenceSession(graph),
    )


def _turn(rig: Rig) -> dict[str, float]:
    """Milliseconds per cell of each kind of work, one after the other."""
    return {
        "decoding_cpu": _ms_per_cell(rig, _decode_all, time.process_time),
        "engine": _ms_per_cell(rig, _run_engine),
        "engine_wide": _ms_per_cell(rig, _run_wide),
        "score": _ms_per_cell(rig, _score),
        "loop": _ms_per_cell(rig, _loop),
    }


def _ms_per_cell(
    rig: Rig, work: Callable[[Rig], None], clock: Callable[[], float] = time.perf_counter
) -> float:
    started = clock()
    work(rig)
    return (clock() - started) * 1000 / len(rig.case.cells)


def _decode_all(rig: Rig) -> None:
    """Read, hash, decode and place every cell, in this thread."""
    for cell in rig.case.cells:
        decode_cell(rig.case.source, cell, rig.canvas)


def _run_engine(rig: Rig) -> None:
    """Run the fused graph alone, on decoded cells, in the same calls as scoring."""
    engine = rig.sessions.fused(CELL_TYPE)
    for _ in run_ahead(lambda chunk: _run(engine, chunk, rig), rig.chunks, threads=engine.threads):
        pass


def _run_wide(rig: Rig) -> None:
    """Run the same calls one after the other, each on all threads."""
    for chunk in rig.chunks:
        _run(rig.wide, chunk, rig)


def _run(engine: Engine, chunk: np.ndarray, rig: Rig) -> None:
    engine.run(_feeds(rig, chunk))


def _score(rig: Rig) -> None:
    """Score the case as `vexas-edge score` does, from the listing of its folder on."""
    case = read_case(rig.folder, ReadOptions(cell_type=CELL_TYPE))
    with case:
        score_case(case, rig.bundle, rig.sessions)


def _loop(rig: Rig) -> None:
    """Open, crop and run one cell after the other, like a script with onnxruntime's defaults."""
    side = rig.bundle.manifest.models[CELL_TYPE].images.canvas_px
    for file in sorted(rig.folder.iterdir()):
        image = Image.open(BytesIO(file.read_bytes())).convert("RGB")
        left, top = (image.width - side) // 2, (image.height - side) // 2
        cell = np.asarray(image.crop((left, top, left + side, top + side)))
        rig.plain.run([ENCODINGS], _feeds(rig, cell[None]))


def _feeds(rig: Rig, cells: np.ndarray) -> dict[str, np.ndarray]:
    return rig.sessions.contract(CELL_TYPE, FUSED).feeds_of_cells(cells)
