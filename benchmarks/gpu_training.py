"""The parts of `gpu.py` that pretrain: SqueezeNet on drawn cells."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_kernels import activities, kernels
from gpu_rig import Asked, noise
from torch.profiler import profile

from training.pretraining.batches import BatchOptions
from training.pretraining.cell_stack import CellStack
from training.pretraining.pace import PaceOptions
from training.pretraining.run_folder import pretrain_into
from training.pretraining.trainer import Pretraining, PretrainOptions
from training.pretraining.views import ViewOptions
from vexas_edge.talk import silent

_NETWORK, _TARGET_SECONDS, _PATIENTS = "squeezenet11", 25, 100


def training_line(asked: Asked, network: str) -> dict[str, Any]:
    """How long pretraining takes from the first step to the written weights."""
    stamps: list[float] = []
    cells, options = _cells(asked), _options(asked, network)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        history = pretrain_into(
            Path(folder),
            cells,
            options,
            device=asked.device,
            progress=silent,
            say=lambda _: stamps.append(time.perf_counter()),
        )
        whole = time.perf_counter() - began
    took = np.diff([began, *stamps])
    return {
        "question": "time of pretraining over its target",
        "ratio": round(whole / _TARGET_SECONDS, 3),
        "target": f"<= 1, of {_TARGET_SECONDS} s",
        "seconds": round(whole, 2),
        "seconds_of_first_epoch": round(float(took[0]), 2),
        "median_seconds_of_others": round(float(np.median(took[1:])), 3),
        "losses": [round(history[place]["loss"], 5) for place in (0, 1, -1)],
        "epochs": asked.sizes.epochs,
        "n_cells": len(cells),
        "batch": asked.sizes.training_batch,
        "crop_px": asked.sizes.crop_px,
        "peak_mib": round(torch.cuda.max_memory_allocated() / 2**20) if _on_gpu(asked) else None,
        "repeats": 1,
    }


def profile_training_line(asked: Asked, network: str) -> dict[str, Any]:
    """On which kernels the device spends a step of an epoch, after the first ones."""
    run = Pretraining(_cells(asked), _options(asked, network), device=asked.device)
    for _ in range(2):
        run.run_epoch(silent)
    steps: list[int] = []
    with profile(activities=activities(asked)) as found:
        began = time.perf_counter()
        run.run_epoch(lambda _, done, __: steps.append(done))  # its record waits for the device
        wall = time.perf_counter() - began
    return {
        "question": "share of a step of pretraining in which the device computes",
        **kernels(found, wall, len(steps)),
        "target": "none, for comparison",
        "batch": asked.sizes.training_batch,
    }


def _on_gpu(asked: Asked) -> bool:
    return asked.device == "cuda"


def _options(asked: Asked, network: str) -> PretrainOptions:
    sizes = asked.sizes
    return PretrainOptions(
        backbone=network,
        preprocessing="torchvision",
        views=ViewOptions(crop_px=sizes.crop_px),
        batch=BatchOptions(size=sizes.training_batch),
        temperature=0.1,
        pace=PaceOptions(schedule="cosine", rate=5e-5, warm_up=1, epochs=sizes.epochs),
    )


def _cells(asked: Asked) -> CellStack:
    """Cells of noise that fill their squares."""
    n, side = asked.sizes.training_cells, asked.sizes.crop_px * 7 // 6
    names = tuple(f"P{number % _PATIENTS}" for number in range(n))
    return CellStack(
        pixels=torch.from_numpy(noise(n, side)),
        sizes=torch.full((n, 2), side),
        patients=names,
        samples=names,
        labels=("L",) * n,
        identities=tuple(number.to_bytes(32, "big") for number in range(n)),
    )
