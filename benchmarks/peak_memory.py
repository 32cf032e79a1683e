"""Measures the peak memory of one process that scores one folder; `scoring.py` runs it.

python benchmarks/peak_memory.py BUNDLE FOLDER THREADS
"""

import json
import sys
from pathlib import Path

from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.runtime.session import Sessions
from vexas_edge.smear.options import ReadOptions


def peak_from_scoring(bundle: Path, folder: Path, threads: int) -> dict[str, float]:
    """Peak resident memory, and the size of the encodings in it, in MiB."""
    opened = open_bundle(bundle)
    case = read_case(folder, ReadOptions(cell_type="lymphocyte"))
    with Sessions(opened, EngineOptions(threads=threads)) as sessions, case:
        (model,) = score_case(case, opened, sessions).models
    width = opened.manifest.models[model.model].encoding_width
    encodings_mib = model.n_cells * width * 4 / 2**20
    return {"n_cells": model.n_cells, "peak_mib": peak_mib(), "encodings_mib": encodings_mib}


def peak_mib() -> float:
    """Peak resident memory of this process so far, in MiB."""
    # resource.getrusage would include the peak of the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    found = peak_from_scoring(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write(json.dumps(found) + "\n")
