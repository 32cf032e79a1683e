"""Measures one part of `gpu.py` in a process of its own, and prints its line.

    python benchmarks/gpu_part.py PART NETWORK DEVICE SECONDS FOLDER

So each part has the device's memory for itself, and one that fails or hangs costs only itself.
"""

import json
import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from gpu_rig import Asked

from vexas_edge.host.cache import FOLDER_VARIABLE
from vexas_edge.host.libraries import load_library

# In which module the function of each part is, from what is asked and a network to a line.
_MODULES = {
    "smears": "gpu_rig",
    "bundle": "gpu_rig",
    "parity": "gpu_parts",
    "engine": "gpu_parts",
    "compiled": "gpu_parts",
    "files": "gpu_parts",
    "prepare": "gpu_parts",
    "tensorrt": "gpu_tensorrt",
    "profile": "gpu_kernels",
    "training": "gpu_training",
    "profile-training": "gpu_training",
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
    measure = getattr(import_module(_MODULES[part]), f"{part.replace('-', '_')}_line")
    line = measure(asked, network)
    print(json.dumps({**line, **device_facts(device)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
