"""What a device is measured with: sizes, and the bundles and smears that are made for it once."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from samples import (
    CELL_TYPE,
    add_fp16_for_timing,
    copy_cells,
    write_backbone_bundle,
    write_drawn_cells,
    write_export_cells,
    write_spread_bundle,
)

from vexas_edge import open_bundle
from vexas_edge.ahead import run_ahead
from vexas_edge.choices import Precision
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.errors import HostError
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.encoding import chunk_size

# The widths of the networks' encodings.
WIDTHS = {"resnet50": 2048, "vgg16": 512, "resnet18": 512}
# Those that get weights which tell cells apart. Such weights of a deep network with batch
# normalisation hang on their last bits when they are made from a few drawn cells: its self-test
# failed on an H100 in float16.
_SPREAD = ("vgg16",)
_DRAWN_PX, _WEIGHTED, _FEW = 200, 16, 4


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured.

    networks: the first of them also from files and in `prepare`.
    pool: cells in memory that an engine is timed with.
    batch: cells per call of the torch scripts.
    smears, cells: how many smears, and of how many cells each.
    drawn: cells that are drawn for them; each is shown in four directions.
    compared: cells per smear whose scores are compared.
    turns: repetitions, after one that is a warm-up.
    training_cells, epochs, training_batch, crop_px: of pretraining SqueezeNet.
    """

    networks: tuple[str, ...] = ("resnet50", "vgg16")
    canvas_px: int = 272
    pool: int = 512
    batch: int = 64
    smears: int = 4
    cells: int = 400
    drawn: int = 400
    compared: int = 32
    turns: int = 4
    training_cells: int = 3923
    epochs: int = 40
    training_batch: int = 128
    crop_px: int = 96


SMALL = Sizes(
    networks=("resnet18",),
    canvas_px=64,
    pool=32,
    batch=8,
    smears=2,
    cells=24,
    drawn=12,
    compared=16,
    turns=1,
    training_cells=18,
    epochs=2,
    training_batch=8,
    crop_px=32,
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a part is to measure, and with what.

    seconds: the least time for each comparison.
    folder: where bundles and smears are.
    """

    device: Literal["cpu", "cuda"]
    seconds: float
    folder: Path

    @property
    def sizes(self) -> Sizes:
        """A GPU's; a CPU only shows that all of it runs."""
        return Sizes() if self.device == "cuda" else SMALL

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Those that the device's reference engine computes in, the fastest first."""
        return ("fp16", "fp32") if self.device == "cuda" else ("fp32",)

    @property
    def smears(self) -> list[Path]:
        return sorted(self.folder.glob("smear-*"))

    def bundle(self, network: str) -> Path:
        """The bundle of a network."""
        return self.folder / network / "bundle.vxb"

    def sessions(self, network: str, precision: Precision, device: str = "") -> Sessions:
        """The sessions that score with this network; the reference engine runs it."""
        on: Literal["cpu", "cuda"] = "cpu" if device == "cpu" else self.device
        options = EngineOptions(engine="onnxruntime", device=on)
        return Sessions(open_bundle(self.bundle(network)), options, precision)


def opened(
    asked: Asked, network: str, stack: ExitStack, refused: dict[str, str]
) -> Iterator[tuple[Precision, Sessions]]:
    """Each precision with its sessions, which `stack` closes; only a loaded one is yielded.

    Args:
        refused: gets why one cannot be used, as when it fails its self-test.
    """
    for precision in asked.precisions:
        try:
            sessions = stack.enter_context(asked.sessions(network, precision))
            sessions.fused(CELL_TYPE)
        except HostError as error:
            refused[precision] = str(error)
        else:
            yield precision, sessions


def bundle_line(asked: Asked, network: str) -> dict[str, Any]:
    """Write a network's bundle, with a float16 graph that is marked as tested; nothing to tell."""
    bundle = asked.bundle(network)
    cells = write_drawn_cells(_WEIGHTED, _DRAWN_PX, bundle.parent / "cells")
    write = write_spread_bundle if network in _SPREAD else write_backbone_bundle
    write(network, WIDTHS[network], asked.sizes.canvas_px, cells, bundle)
    few = copy_cells(sorted(cells.iterdir())[:_FEW], bundle.parent / "few")
    add_fp16_for_timing(bundle, few)
    return {}


def smears_line(asked: Asked, _: str) -> dict[str, Any]:
    """Write the smears, of distinct cells as an analyzer exports them; nothing to tell."""
    sizes = asked.sizes
    drawn = write_drawn_cells(sizes.drawn, _DRAWN_PX, asked.folder / "drawn")
    files = sorted(drawn.iterdir())
    exported = write_export_cells(files, sizes.smears * sizes.cells, asked.folder / "exported")
    images = iter(sorted(exported.iterdir()))
    for number in range(sizes.smears):
        copy_cells(list(islice(images, sizes.cells)), asked.folder / f"smear-{number}")
    return {}


def noise(n_cells: int, side_px: int) -> np.ndarray:
    """Cells of noise, uint8 (n_cells, side_px, side_px, 3)."""
    rng = np.random.Generator(np.random.PCG64(0))
    return rng.integers(0, 256, (n_cells, side_px, side_px, 3), dtype=np.uint8)


def encode_pool(sessions: Sessions, cells: np.ndarray) -> None:
    """Run the engine on cells in memory, in the calls that scoring makes."""
    engine, size = sessions.fused(CELL_TYPE), chunk_size(sessions, CELL_TYPE, len(cells))
    contract = sessions.contract(CELL_TYPE, sessions.graph.file)
    feeds = (contract.feeds_of_cells(part) for part in parts(cells, size))
    with closing(run_ahead(engine.run, feeds, threads=engine.threads)) as done:
        for _ in done:
            pass


def parts(cells: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """The cells, so many at a time."""
    return (cells[start : start + size] for start in range(0, len(cells), size))


def used_mib() -> float:
    """What all processes use of the GPU's memory; 0 without one."""
    if not torch.cuda.is_available():
        return 0.0
    free, total = torch.cuda.mem_get_info()
    return (total - free) / 2**20
