"""What a figure was measured on."""

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import PIL

import vexas_edge


def host_facts() -> dict[str, Any]:
    """Machine, cores, load and versions, for a line of results."""
    return {
        "machine": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "load_1_minute": round(os.getloadavg()[0], 2),
        "versions": {
            "vexas-edge": vexas_edge.__version__,
            "python": platform.python_version(),
            "onnxruntime": onnxruntime.__version__,
            "numpy": np.__version__,
            "pillow": PIL.__version__,
        },
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()
