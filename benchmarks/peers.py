"""Is scoring as fast as what a user would use instead, and as faithful?

    python benchmarks/peers.py DATA -o benchmarks/results/peers.jsonl

For five networks, `vexas-edge score` and short scripts around PyTorch, onnxruntime and OpenVINO are
timed on the same cells, threads and turns, in another order each turn: from files to scores, and
from decoded cells to encodings. Every int8 graph is calibrated on the cells that are timed, and
drift is measured on them, too. The paper's backbones have random weights that tell cells apart, so
their drift shows how much a precision rounds, not what it means for patients; for that reason none
of our layers is kept in float. This needs the extra `peers`. DATA is a folder with `cells/`,
`lymphocytosis/` and `squeezenet11/`.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from contenders import BATCH, EncodeAll, Material, contenders
from lines import add_line, lines_out
from samples import (
    CELL_TYPE,
    PREPROCESSING,
    add_int8_for_timing,
    copy_cells,
    spread_module,
    write_bag_bundle,
    write_export_cells,
    write_file_bundle,
    write_module_bundle,
)
from torch import nn
from turns import median_and_interval, seconds_in_turns

from export.backbones import build_backbone, load_weights
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.ahead import run_ahead
from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.contract import ENCODINGS, PROBABILITIES
from vexas_edge.bundle.graphs import FUSED
from vexas_edge.cells.canvas import place_on_canvas
from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.engines.contract import Engine
from vexas_edge.host.cache import FOLDER_VARIABLE
from vexas_edge.host.process import default_threads
from vexas_edge.runtime.choice import fastest
from vexas_edge.runtime.prepare import prepare_bundle
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.heads.inputs import inputs_of_head
from vexas_edge.smear.options import ReadOptions

OURS = "vexas-edge score"


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network.

    width: D of its encodings.
    n_cells: cells per turn.
    is_bag: whether a bag's learnt weights follow the encodings, instead of medians and an SVM.
    """

    name: str
    width: int
    canvas_px: int
    n_cells: int
    is_bag: bool = False


NETWORKS = (
    Network(name="squeezenet11", width=512, canvas_px=112, n_cells=400),
    Network(name="squeezenet11", width=512, canvas_px=112, n_cells=400, is_bag=True),
    Network(name="vgg16", width=512, canvas_px=272, n_cells=32),
    Network(name="resnet50", width=2048, canvas_px=272, n_cells=64),
    Network(name="inceptionv3", width=2048, canvas_px=272, n_cells=64),
    Network(name="efficientnetb4", width=1792, canvas_px=272, n_cells=64),
)
QUICK = (Network(name="squeezenet11", width=512, canvas_px=112, n_cells=16),)


@dataclass(frozen=True, kw_only=True)
class Rig:
    """One network, ready to be timed.

    folder: its cells as files.
    batches: the same cells, decoded.
    """

    bundle: Bundle
    sessions: Sessions
    folder: Path
    batches: list[np.ndarray]
    contenders: dict[str, EncodeAll]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("data", type=click.Path(path_type=Path))
@lines_out
@click.option(
    "--quick", is_flag=True, help="Use few cells, only to see that it runs; not for figures."
)
@click.option("--only", multiple=True, help="Measure this network only; may be repeated.")
@click.option(
    "--turns", default=7, show_default=True, help="Repetitions, after one that is a warm-up."
)
def cli(data: Path, out: Path, quick: bool, only: tuple[str, ...], turns: int) -> None:
    """Measure on the cells in DATA; append one JSON line per network to the file."""
    for network in QUICK if quick else NETWORKS:
        if only and network.name not in only:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            os.environ[FOLDER_VARIABLE] = scratch  # keeps this PC's own cache unchanged
            line = peers_line(network, data, Path(scratch), 2 if quick else turns)
        add_line(out, {**line, "quick": quick})


def peers_line(network: Network, data: Path, scratch: Path, turns: int) -> dict[str, Any]:
    """One network's figures: how many times as fast as each script `vexas-edge score` is."""
    bundle, material, folder = _made(network, data, scratch)
    chosen = fastest(prepare_bundle(bundle, lambda _: None))
    with Sessions(bundle) as sessions:
        rig = Rig(
            bundle=bundle,
            sessions=sessions,
            folder=folder,
            batches=list(_decoded(sorted(folder.iterdir()), network.canvas_px)),
            contenders=dict(contenders(material)),
        )
        files = _in_turns(_from_files(rig), turns, network.n_cells)
        decoded = _in_turns(_from_decoded(rig), turns, network.n_cells)
        drift = _drift(rig)
    return {
        "question": "vexas-edge score beside what a user would pick instead",
        "network": network.name,
        "aggregation": "bag" if network.is_bag else "median",
        "times_as_fast_from_files": _ratios(files),
        "times_as_fast_from_decoded_cells": _ratios(decoded),
        "drift_from_torch_eager": drift,
        "medians_ms_per_cell_from_files": _medians(files),
        "medians_ms_per_cell_from_decoded_cells": _medians(decoded),
        "chosen": f"{chosen.engine} {chosen.precision}" if chosen else None,
        "canvas_px": network.canvas_px,
        "batch": BATCH,
        "n_cells": network.n_cells,
        "threads": default_threads(),
        "repeats": turns,
        "peers": {"torch": torch.__version__, **_versions("openvino", "nncf")},
        "bundle_sha256": bundle.sha256,
    }


def _made(network: Network, data: Path, scratch: Path) -> tuple[Bundle, Material, Path]:
    """The network as a bundle with int8 graphs, as a torch module, and its cells as files."""
    to = scratch / "bundle.vxb"
    if network.name == "squeezenet11":
        files = sorted((data / "lymphocytosis").glob("*/*.jpg"))[: network.n_cells]
        folder = copy_cells(files, scratch / "cells")
        (encoder,) = (data / network.name).glob("*.onnx")
        backbone = build_backbone(network.name).eval()
        load_weights(backbone, encoder)
        module: nn.Module = backbone
        if network.is_bag:
            write_bag_bundle(backbone, network.name, "learned", network.canvas_px, folder, to)
        else:
            write_file_bundle(encoder, network.width, network.canvas_px, folder, to)
    else:
        files = sorted(file for file in (data / "cells").rglob("*") if file.is_file())
        folder = write_export_cells(files, network.n_cells, scratch / "cells")
        module = spread_module(network.name, network.canvas_px, folder)
        write_module_bundle(module, network.name, network.width, network.canvas_px, folder, to)
    add_int8_for_timing(to, folder)
    cells = np.concatenate(list(_decoded(sorted(folder.iterdir()), network.canvas_px)))
    material = Material(
        module=module.eval(),
        preprocessing=PREPROCESSING,
        canvas_px=network.canvas_px,
        cells=cells,
        threads=default_threads(),
        folder=scratch,
    )
    return open_bundle(to), material, folder


def _decoded(files: list[Path], canvas_px: int) -> Iterator[np.ndarray]:
    for start in range(0, len(files), BATCH):
        pixels = [rgb_from_bytes(file.read_bytes()) for file in files[start : start + BATCH]]
        yield np.stack([place_on_canvas(cell, canvas_px, "crop") for cell in pixels])


def _from_files(rig: Rig) -> dict[str, Callable[[], object]]:
    files = sorted(rig.folder.iterdir())
    canvas_px = rig.bundle.manifest.models[CELL_TYPE].images.canvas_px

    def script(encode_all: EncodeAll) -> Callable[[], object]:
        return lambda: _probabilities(rig, encode_all(_decoded(files, canvas_px)))

    return {OURS: lambda: _score(rig), **{n: script(e) for n, e in rig.contenders.items()}}


def _from_decoded(rig: Rig) -> dict[str, Callable[[], object]]:
    def script(encode_all: EncodeAll) -> Callable[[], object]:
        return lambda: encode_all(rig.batches)

    return {OURS: lambda: _encode(rig), **{n: script(e) for n, e in rig.contenders.items()}}


def _score(rig: Rig) -> None:
    with read_case(rig.folder, ReadOptions(cell_type=CELL_TYPE)) as case:
        score_case(case, rig.bundle, rig.sessions)


def _encode(rig: Rig) -> list[np.ndarray]:
    """The encodings, by the same calls that scoring makes, from decoded cells."""
    engine, contract = rig.sessions.fused(CELL_TYPE), rig.sessions.contract(CELL_TYPE, FUSED)
    cells, size = np.concatenate(rig.batches), rig.sessions.cells_per_call(CELL_TYPE)
    chunks = [cells[start : start + size] for start in range(0, len(cells), size)]

    def encode(chunk: np.ndarray, engine: Engine = engine) -> np.ndarray:
        return engine.run(contract.feeds_of_cells(chunk))[ENCODINGS]

    return list(run_ahead(encode, chunks, threads=engine.threads))


def _probabilities(rig: Rig, encodings: list[np.ndarray]) -> np.ndarray:
    """Probabilities from encodings, by the head, as every script ends."""
    together, model = np.concatenate(encodings), rig.bundle.manifest.models[CELL_TYPE]
    identities = [b"%8d" % index for index in range(len(together))]
    inputs = inputs_of_head(model, identities, np.zeros((1, 0), np.float32))
    return rig.sessions.classify(CELL_TYPE, together, inputs)[PROBABILITIES]


def _in_turns(
    work: dict[str, Callable[[], object]], turns: int, n_cells: int
) -> list[dict[str, float]]:
    """Milliseconds per cell of each kind of work, one list entry per turn."""
    return [
        {name: seconds * 1000 / n_cells for name, seconds in turn.items()}
        for turn in seconds_in_turns(work, turns)
    ]


def _ratios(turns: list[dict[str, float]]) -> dict[str, list[float]]:
    """How many times as fast we are: the median of the turns' ratios and its 95 % interval."""
    others = sorted(turns[0].keys() - {OURS})
    return {
        name: median_and_interval(np.array([turn[name] / turn[OURS] for turn in turns]))
        for name in others
    }


def _medians(turns: list[dict[str, float]]) -> dict[str, float]:
    return {n: round(float(np.median([t[n] for t in turns])), 3) for n in sorted(turns[0])}


def _drift(rig: Rig) -> dict[str, dict[str, float]]:
    """Each contender's drift from torch: 1st percentile of cosines, and change of the score."""
    made = {OURS: _encode(rig), **{n: e(rig.batches) for n, e in rig.contenders.items()}}
    reference = np.concatenate(made["torch eager"])
    score = _probabilities(rig, made["torch eager"]).mean(axis=0)
    return {
        name: {
            "cosine_p1": round(
                float(np.percentile((np.concatenate(encodings) * reference).sum(axis=1), 1)), 6
            ),
            "score": round(
                float(np.abs(_probabilities(rig, encodings).mean(axis=0) - score).max()), 6
            ),
        }
        for name, encodings in made.items()
    }


def _versions(*packages: str) -> dict[str, str]:
    from importlib.metadata import version

    return {package: version(package) for package in packages}


if __name__ == "__main__":
    cli()
