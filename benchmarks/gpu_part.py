"""Measures one part of `gpu.py` in a process of its own, and prints its line.

    python benchmarks/gpu_part.py PART NETWORK DEVICE SECONDS FOLDER

So each part has the device's memory for itself, and one that fails or hangs costs only itself.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from gpu_rig import Asked, make_bundle, make_smears

from vexas_edge.host.cache import FOLDER_VARIABLE
from vexas_edge.host.libraries import load_library


def _made_bundle(asked: Asked, network: str) -> dict[str, Any]:
    make_bundle(asked, network)
    return {}


def _made_smears(asked: Asked, _: str) -> dict[str, Any]:
    make_smears(asked)
    return {}


def _parts() -> dict[str, Callable[[Asked, str], dict[str, Any]]]:
    from gpu_kernels import profile_line
    from gpu_parts import compiled_line, engine_line, files_line, parity_line, prepare_line
    from gpu_training import profile_training_line, training_line

    return {
        "bundle": _made_bundle,
        "smears": _made_smears,
        "parity": parity_line,
        "engine": engine_line,
        "files": files_line,
        "prepare": prepare_line,
        "training": training_line,
        "profile": profile_line,
        "profile-training": profile_training_line,
        "compiled": compiled_line,
    }


def device_facts(device: str) -> dict[str, Any]:
    """The GPU, its driver and torch's libraries."""
    versions = {"torch": str(torch.__version__)}
    if device == "cpu":
        return {"gpu": None, "torch_versions": versions}
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    told = ""
    if shutil.which(asked[0]):
        told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    versions |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
    return {
        "gpu": torch.cuda.get_device_name(),
        "driver": told.split("\n")[0].strip() or None,
        "torch_versions": versions,
    }


def main(part: str, network: str, device: str, seconds: str, folder: str) -> None:
    """Print the part's line as JSON."""
    os.environ[FOLDER_VARIABLE] = str(Path(folder) / "cache")  # not what was prepared on this PC
    onnxruntime = load_library("onnxruntime")
    if device == "cuda":
        onnxruntime.preload_dlls()  # those that torch brings along
    asked = Asked(
        device="cuda" if device == "cuda" else "cpu", seconds=float(seconds), folder=Path(folder)
    )
    line = _parts()[part](asked, network)
    print(json.dumps({**line, **device_facts(device)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
