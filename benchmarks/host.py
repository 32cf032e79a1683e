"""Describes the machine that a figure was measured on."""

import os
import platform
from typing import Any

import numpy as np
import PIL

from vexas_edge.host.cpu import cpu_name
from vexas_edge.host.libraries import load_library
from vexas_edge.version import __version__

onnxruntime = load_library("onnxruntime")


def host_facts() -> dict[str, Any]:
    """The machine, its cores and load, and versions, for a line of results."""
    return {
        "machine": platform.platform(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load_1_minute": round(os.getloadavg()[0], 2),
        "versions": {
            "vexas-edge": __version__,
            "python": platform.python_version(),
            "onnxruntime": onnxruntime.__version__,
            "numpy": np.__version__,
            "pillow": PIL.__version__,
        },
    }
