"""Does scoring from files run as fast as the engine and the decoding allow, in bounded memory?

    python benchmarks/scoring.py DATA -o benchmarks/results/scoring.jsonl

Throughput of `score_case` from files is compared with T_e + T_d / cores, the time per cell that the
bare engine and then perfectly parallel decoding would take, and with a plain loop over the files.
All are timed in turns, several times, and a ratio is computed within each turn. DATA is a folder
with `lymphocytosis/`, `cells/` and `squeezenet11/`.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
from lines import add_line, lines_out
from samples import (
    add_int8_for_timing,
    copy_cells,
    write_backbone_bundle,
    write_drawn_cells,
    write_export_cells,
    write_file_bundle,
    write_spread_bundle,
)
from throughput import identity_cost, throughput_line

from vexas_edge import open_bundle
from vexas_edge.host.process import default_threads


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured.

    turns, vgg16_turns: repetitions, after one that is a warm-up.
    """

    turns: int = 7
    squeezenet_cells: int = 1000
    vgg16_cells: int = 1000
    vgg16_turns: int = 2
    identified_vgg16_cells: int = 64
    few_cells: int = 1000
    many_cells: int = 20_000
    memory_turns: int = 3


QUICK = Sizes(
    turns=2,
    squeezenet_cells=48,
    vgg16_cells=8,
    vgg16_turns=1,
    identified_vgg16_cells=8,
    few_cells=100,
    many_cells=400,
    memory_turns=1,
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("data", type=click.Path(path_type=Path))
@lines_out
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    default=default_threads(),
    show_default=True,
    help="CPU threads to use.",
)
@click.option(
    "--quick", is_flag=True, help="Use few cells, only to see that it runs; not for figures."
)
@click.option(
    "--only",
    multiple=True,
    help="Measure this question only: squeezenet, vgg16, identity or memory; may be repeated.",
)
def cli(data: Path, out: Path, threads: int, quick: bool, only: tuple[str, ...]) -> None:
    """Measure scoring on the cells in DATA; append one JSON line per question to the file."""
    sizes = QUICK if quick else Sizes()
    with tempfile.TemporaryDirectory() as scratch:
        questions = {
            "squeezenet": squeezenet_line,
            "vgg16": vgg16_line,
            "identity": identity_line,
            "memory": memory_line,
        }
        for measure in (q for name, q in questions.items() if not only or name in only):
            line = measure(data, Path(scratch), threads, sizes)
            add_line(out, {**line, "quick": quick})


def squeezenet_line(data: Path, scratch: Path, threads: int, sizes: Sizes) -> dict[str, Any]:
    """Throughput of a light encoder, for which decoding takes as long as the network."""
    files = sorted((data / "lymphocytosis").glob("*/*.jpg"))[: sizes.squeezenet_cells]
    cells = copy_cells(files, scratch / "squeezenet")
    (encoder,) = (data / "squeezenet11").glob("*.onnx")
    bundle = write_file_bundle(encoder, 512, 112, cells, scratch / "squeezenet.vxb")
    return throughput_line("squeezenet11", bundle, cells, threads, sizes.turns)


def vgg16_line(data: Path, scratch: Path, threads: int, sizes: Sizes) -> dict[str, Any]:
    """Throughput of the paper's heaviest encoder at the paper's image size, in int8."""
    bundle, cells = _vgg16(data, scratch, sizes.vgg16_cells)
    return throughput_line("vgg16", bundle, cells, threads, sizes.vgg16_turns)


@cache
def _vgg16(data: Path, scratch: Path, n_cells: int) -> tuple[Path, Path]:
    """VGG16 in int8 at the paper's image size, and a folder of cells for it."""
    files = sorted(file for file in (data / "cells").rglob("*") if file.is_file())
    cells = write_export_cells(files, n_cells, scratch / f"vgg16-{n_cells}")
    bundle = write_spread_bundle("vgg16", 512, 272, cells, scratch / f"vgg16-{n_cells}.vxb")
    add_int8_for_timing(bundle, cells)
    return bundle, cells


def identity_line(data: Path, scratch: Path, threads: int, sizes: Sizes) -> dict[str, Any]:
    """What it costs to identify a cell by its pixels, for the lightest and the heaviest encoder."""
    files = sorted((data / "lymphocytosis").glob("*/*.jpg"))[: sizes.squeezenet_cells]
    small = copy_cells(files, scratch / "identified")
    (encoder,) = (data / "squeezenet11").glob("*.onnx")
    squeezenet = write_file_bundle(encoder, 512, 112, small, scratch / "identified.vxb")
    add_int8_for_timing(squeezenet, small)
    vgg16, large = _vgg16(data, scratch, sizes.identified_vgg16_cells)
    costs = {
        "squeezenet11": identity_cost(squeezenet, small, threads, sizes.turns),
        "vgg16": identity_cost(vgg16, large, threads, sizes.turns),
    }
    return {
        "question": "time of scoring with identities of pixels over that with those of files",
        "ratio": costs["squeezenet11"]["ratio"],
        "target": "<= 1.08 for SqueezeNet, 1.00 for VGG16",
        "networks": costs,
        "threads": threads,
        "repeats": sizes.turns,
    }


def memory_line(_: Path, scratch: Path, threads: int, sizes: Sizes) -> dict[str, Any]:
    """Peak memory for many cells compared with few, without the encodings."""
    few = write_drawn_cells(sizes.few_cells, 128, scratch / "few")
    many = write_drawn_cells(sizes.many_cells, 128, scratch / "many")
    bundle = write_backbone_bundle("compact", 128, 128, few, scratch / "compact.vxb")
    turns = [
        [_peak_mib(bundle, folder, threads) for folder in (few, many)]
        for _ in range(sizes.memory_turns)
    ]
    medians = [statistics.median(turn[i] for turn in turns) for i in range(2)]
    return {
        "question": "peak memory of many cells over few, encodings not counted",
        "ratio": round(statistics.median(many / few for few, many in turns), 4),
        "target": "<= 1.2",
        "network": "compact",
        "canvas_px": 128,
        "n_cells": [sizes.few_cells, sizes.many_cells],
        "threads": threads,
        "repeats": sizes.memory_turns,
        "medians_mib": {"few": round(medians[0], 1), "many": round(medians[1], 1)},
        "bundle_sha256": open_bundle(bundle).sha256,
    }


def _peak_mib(bundle: Path, folder: Path, threads: int) -> float:
    script = Path(__file__).with_name("peak_memory.py")
    command = [sys.executable, str(script), str(bundle), str(folder), str(threads)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found["peak_mib"] - found["encodings_mib"]


if __name__ == "__main__":
    cli()
