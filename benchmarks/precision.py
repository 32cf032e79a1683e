"""Is int8 faster than float32 in the same engine, int8 throughout, and made in bounded memory?

    python benchmarks/precision.py DATA -o benchmarks/results/precision.jsonl

Each network is made into a bundle and gets all its cheaper graphs by `vexas-workshop calibrate`.
They are not judged, since the paper's backbones have random weights here, whose drift means
nothing. Then the graphs for the CPU are timed in turns. DATA is a folder with `cells/`,
`lymphocytosis/` and `squeezenet11/`.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from lines import add_line, lines_out
from samples import (
    CELL_TYPE,
    SILU_BLOCKS,
    copy_cells,
    write_calibration_cohort,
    write_drawn_cells,
    write_export_cells,
    write_file_bundle,
    write_spread_bundle,
)
from silu_blocks import WIDTH as SILU_WIDTH

from calibration.proof.preflight import preflight_findings
from vexas_edge import open_bundle
from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.contract import contract_of
from vexas_edge.bundle.graphs import CHEAPER, FUSED, graph_file
from vexas_edge.cells.canvas import place_on_canvas
from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.engines.contract import Engine, EngineOptions
from vexas_edge.engines.opening import open_engine
from vexas_edge.host.process import default_threads
from vexas_edge.runtime.choice import int8_file

BATCH = 8
# The graph for CPUs without VNNI; there it is also "int8", this CPU's own.
SEVEN_BITS = "int8-rr"


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network.

    width: D of its encodings.
    speedup: the target for int8 over float32.
    """

    name: str
    width: int
    canvas_px: int
    speedup: float


SQUEEZENET = Network(name="squeezenet11", width=512, canvas_px=112, speedup=1.8)
BACKBONES = (
    Network(name="vgg16", width=512, canvas_px=272, speedup=3.7),
    Network(name="resnet50", width=2048, canvas_px=272, speedup=3.0),
    Network(name="inceptionv3", width=2048, canvas_px=272, speedup=2.5),
    Network(name="efficientnetb4", width=1792, canvas_px=272, speedup=1.5),
    Network(name=SILU_BLOCKS, width=SILU_WIDTH, canvas_px=272, speedup=1.0),
)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured.

    turns: repetitions, after one that is a warm-up.
    """

    backbones: tuple[Network, ...] = BACKBONES
    cells: int = 168
    turns: int = 9
    few_samples: int = 200
    many_samples: int = 2000
    memory_network: str = "resnet50"


QUICK = Sizes(
    backbones=(), cells=24, turns=2, few_samples=16, many_samples=32, memory_network="resnet18"
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("data", type=click.Path(path_type=Path))
@lines_out
@click.option(
    "--quick", is_flag=True, help="Use few cells, only to see that it runs; not for figures."
)
@click.option(
    "--only",
    multiple=True,
    help="Measure this network only, or `memory`; may be repeated.",
)
def cli(data: Path, out: Path, quick: bool, only: tuple[str, ...]) -> None:
    """Measure cheaper graphs on the cells in DATA; append a JSON line per question to the file."""
    sizes = QUICK if quick else Sizes()
    with tempfile.TemporaryDirectory() as scratch:
        for network in (SQUEEZENET, *sizes.backbones):
            if not only or network.name in only:
                line = speed_line(network, data, Path(scratch), sizes)
                add_line(out, {**line, "quick": quick})
        if not only or "memory" in only:
            add_line(out, {**memory_line(data, Path(scratch), sizes), "quick": quick})


def speed_line(network: Network, data: Path, scratch: Path, sizes: Sizes) -> dict[str, Any]:
    """One network converted, its graphs proven, and timed with one call per thread, as scoring."""
    bundle, cells = _bundle(network, data, scratch, sizes)
    cohort = write_calibration_cohort(cells, scratch / f"{network.name}.csv")
    converted = time.perf_counter()
    for kind in ("int8", "fp16"):
        _calibrate(kind, bundle, cohort)
    seconds = time.perf_counter() - converted
    opened = open_bundle(bundle)
    placed = _placed(cells, network.canvas_px)
    turns = _timed(opened, placed, default_threads(), sizes.turns)
    wide = _timed(opened, placed, 1, sizes.turns)
    files = opened.manifest.models[CELL_TYPE].files
    made = [kind for kind in CHEAPER if graph_file(kind) in files]
    measured = {kind: files[graph_file(kind)].measured for kind in made}
    return {
        "question": "speed of int8 over float32 in onnxruntime on the CPU",
        "int8_file": int8_file(),
        "ratio": _speedup(turns),
        "ratio_of_7_bits": _speedup(turns, SEVEN_BITS),
        "ratio_of_one_call_over_all_threads": _speedup(wide),
        "target": f">= {network.speedup}",
        "network": network.name,
        "canvas_px": network.canvas_px,
        "batch": BATCH,
        "n_cells": sizes.cells,
        "threads": default_threads(),
        "repeats": sizes.turns,
        "medians_ms_per_cell": _medians(turns),
        "multiply_adds": {kind: entry["multiply_adds"] for kind, entry in measured.items()},
        "kept_float": {kind: len(entry["kept_float"]) for kind, entry in measured.items()},
        "preflight_findings": {
            kind: len(preflight_findings(onnx.load_from_string(_graph(opened, kind))))
            for kind in ("fp16", "int8-trt")
        },
        "conversion_seconds": round(seconds, 1),
        "bundle_sha256": opened.sha256,
    }


def _speedup(turns: list[dict[str, float]], integers: str = "int8") -> float:
    return round(statistics.median(turn["fp32"] / turn[integers] for turn in turns), 3)


def _medians(turns: list[dict[str, float]]) -> dict[str, float]:
    return {kind: round(statistics.median(t[kind] for t in turns), 3) for kind in turns[0]}


def _bundle(network: Network, data: Path, scratch: Path, sizes: Sizes) -> tuple[Path, Path]:
    """The network's bundle, and the cells to calibrate on."""
    to = scratch / f"{network.name}.vxb"
    if network is SQUEEZENET:
        files = sorted((data / "lymphocytosis").glob("*/*.jpg"))[: sizes.cells]
        cells = copy_cells(files, scratch / network.name)
        (encoder,) = (data / network.name).glob("*.onnx")
        return write_file_bundle(encoder, network.width, network.canvas_px, cells, to), cells
    files = sorted(file for file in (data / "cells").rglob("*") if file.is_file())
    cells = write_export_cells(files, sizes.cells, scratch / network.name)
    return write_spread_bundle(network.name, network.width, network.canvas_px, cells, to), cells


def _calibrate(kind: str, bundle: Path, cohort: Path, *options: str) -> None:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "vexas_edge.workshop",
        "calibrate",
        kind,
        bundle,
        "--cohort",
        cohort,
    ]
    asked = ["--gate", "none", "--cell-type", CELL_TYPE, *options]
    subprocess.run([*command, *asked], check=True, capture_output=True)


def _placed(cells: Path, canvas_px: int) -> np.ndarray:
    files = sorted(cells.iterdir())[:BATCH]
    placed = [place_on_canvas(rgb_from_bytes(f.read_bytes()), canvas_px, "crop") for f in files]
    return np.stack(placed)


def _graph(bundle: Bundle, kind: str) -> bytes:
    return bundle.model_file(CELL_TYPE, graph_file(kind))


def _timed(bundle: Bundle, cells: np.ndarray, calls: int, n: int) -> list[dict[str, float]]:
    """Milliseconds per cell in float32, in this CPU's integers and in those of CPUs without VNNI.

    Returns one list entry per turn.

    Args:
        calls: made at the same time, each on its own thread, as in scoring; 1 for one call at a
            time on all threads.
        n: turns, after one that is a warm-up.
    """
    threads = default_threads()
    options = EngineOptions(device="cpu", threads=threads, calls_at_once=calls)
    files = {"fp32": FUSED, "int8": int8_file(), SEVEN_BITS: graph_file(SEVEN_BITS)}
    feeds = contract_of(bundle.manifest.models[CELL_TYPE], FUSED).feeds_of_cells(cells)
    with ThreadPoolExecutor(calls) as pool, ExitStack() as opened:
        engines = {
            precision: opened.enter_context(
                open_engine(bundle.model_file(CELL_TYPE, file), options)
            )
            for precision, file in files.items()
        }

        def ms_per_cell(engine: Engine) -> float:
            started = time.perf_counter()
            list(pool.map(lambda _: engine.run(feeds), range(threads)))
            return (time.perf_counter() - started) * 1000 / BATCH / threads

        turns = [
            {name: ms_per_cell(engine) for name, engine in engines.items()} for _ in range(n + 1)
        ]
    return turns[1:]


def memory_line(_: Path, scratch: Path, sizes: Sizes) -> dict[str, Any]:
    """Peak memory of a conversion that sees many cells, compared with one that sees few."""
    cells = write_drawn_cells(sizes.many_samples * 5 // 4, 272, scratch / "memory")
    width = 2048 if sizes.memory_network == "resnet50" else 512
    bundle = write_spread_bundle(sizes.memory_network, width, 272, cells, scratch / "memory.vxb")
    cohort = write_calibration_cohort(cells, scratch / "memory.csv")
    counts = (sizes.few_samples, sizes.many_samples)
    peaks = {samples: _peak_mib(bundle, cohort, samples) for samples in counts}
    few, many = peaks.values()
    return {
        "question": "peak memory of calibration on many cells over few",
        "ratio": round(many / few, 4),
        "target": "<= 1.1",
        "network": sizes.memory_network,
        "canvas_px": 272,
        "n_cells": list(peaks),
        "threads": default_threads(),
        "repeats": 1,
        "peak_mib": {str(samples): round(peak, 1) for samples, peak in peaks.items()},
        "bundle_sha256": open_bundle(bundle).sha256,
    }


def _peak_mib(bundle: Path, cohort: Path, samples: int) -> float:
    script = Path(__file__).with_name("peak_memory_of_calibration.py")
    command = [sys.executable, str(script), str(bundle), str(cohort), str(samples)]
    found = subprocess.run(command, check=True, capture_output=True)
    peak: float = json.loads(found.stdout.splitlines()[-1])["peak_mib"]
    return peak


if __name__ == "__main__":
    cli()
