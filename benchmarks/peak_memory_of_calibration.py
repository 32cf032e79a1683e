"""Measures the peak memory of one process that calibrates on SAMPLES cells; `precision.py` runs it.

python benchmarks/peak_memory_of_calibration.py BUNDLE COHORT SAMPLES
"""

import json
import sys
from pathlib import Path

from peak_memory import peak_mib
from samples import CELL_TYPE

from calibration.additions import check_target
from calibration.candidates import judgeable_kinds
from calibration.conversion import NO_GATE, Console, Conversion, add_precisions
from vexas_edge import open_bundle
from vexas_edge.smear.cohort import read_cohort
from vexas_edge.smear.options import ReadOptions


def calibrate(bundle: Path, cohort: Path, samples: int) -> None:
    """Write a bundle with all integer graphs beside the given one, without caching ranges."""
    opened = open_bundle(bundle)
    asked = Conversion(
        cohort=read_cohort(cohort),
        kinds=judgeable_kinds(("int8", "int8-rr", "int8-trt"), lambda _: None),
        reading=ReadOptions(cell_type=CELL_TYPE),
        gate=NO_GATE,
        samples=samples,
    )
    silent = Console(progress=lambda *_: None, show=lambda _: None, warn=lambda _: None)
    add_precisions(opened, asked, check_target(opened, bundle.with_suffix(".int8.vxb")), silent)


if __name__ == "__main__":
    calibrate(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write(json.dumps({"peak_mib": peak_mib()}) + "\n")
