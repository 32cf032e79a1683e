"""Scores a case with one tree whenever a line comes in; `safeguards.py` runs it in two trees."""

import json
import sys
import time
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

# What a model's slide is brought to; the cells' own is near it, as another case's would be.
BACKGROUND = (250, 226, 200)
_PATIENTS, _CHANGES = 60, 112


@dataclass(frozen=True, kw_only=True)
class Work:
    """A network and cells. network: one of our backbones, or an ONNX file."""

    network: str
    canvas_px: int
    width: int
    precision: str
    cells: str

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def main(scratch: Path, work: Work) -> None:
    """Export the bundle, then score once per line of stdin and print the seconds."""
    from samples import CELL_TYPE, add_int8_for_timing, copy_cells

    from vexas_edge import open_bundle, read_case
    from vexas_edge.runtime.session import Sessions
    from vexas_edge.scoring import score
    from vexas_edge.smear.options import ReadOptions

    cells = copy_cells(sorted(Path(work.cells).iterdir()), scratch / "cells")
    path = _exported(scratch / "bundle.vxb", work, cells)
    if work.precision == "int8":
        add_int8_for_timing(path, cells)
    answer = getattr(score, "score_past_the_gate", score.score_case)
    bundle = open_bundle(path)
    with Sessions(bundle, precision=work.precision) as sessions:  # type: ignore[arg-type]
        print("ready", flush=True)
        for _ in sys.stdin:
            start = time.perf_counter()
            with read_case(cells, ReadOptions(cell_type=CELL_TYPE)) as case:
                (model,) = answer(case, bundle, sessions).models
            if model.score is None:
                raise SystemExit(f"no score: {model.explanations}")
            print(time.perf_counter() - start, flush=True)


def _exported(to: Path, work: Work, cells: Path) -> Path:
    from samples import write_file_bundle, write_spread_bundle

    safeguarded = find_spec("vexas_edge.domain") is not None
    extra: dict[str, Any] = {}
    if safeguarded:
        extra = {"normalise": "background", "background": BACKGROUND}
    size = (work.width, work.canvas_px, cells, to)
    if work.network.endswith(".onnx"):
        write_file_bundle(Path(work.network), *size, **extra)
    else:
        write_spread_bundle(work.network, *size, **extra)
    if safeguarded:
        _add_gate(to, work.width)
    return to


def _add_gate(path: Path, width: int) -> None:
    """Add a reference of invented patients, whose trees are as large as real ones."""
    from samples import CELL_TYPE

    from training.reference.adding import MadeReference, write_references
    from training.reference.fit import Changed, CleanCase, fit_reference
    from vexas_edge import open_bundle
    from vexas_edge.quality.statistics import CASE_STATISTICS, CELL_STATISTICS

    rng = np.random.Generator(np.random.PCG64(0))
    patients = [
        CleanCase(
            patient=str(number),
            encodings=rng.normal(size=(40, width)).astype(np.float32),
            statistics=rng.normal(size=(16, len(CELL_STATISTICS))),
            score=0.5,
        )
        for number in range(_PATIENTS)
    ]
    changed = [
        Changed(
            family=("focus", "stain", "colour")[number % 3],
            cases=np.arange(_PATIENTS),
            encodings=[patient.encodings[:16] for patient in patients],
            statistics=rng.normal(size=(_PATIENTS, len(CASE_STATISTICS))),
            shifts=rng.normal(0, 0.2, _PATIENTS),
        )
        for number in range(_CHANGES)
    ]
    fitted = fit_reference(patients, changed)
    made = MadeReference(model=CELL_TYPE, fitted=fitted, left_out=(), stated=None)
    write_references(open_bundle(path), [made], path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Work(**json.loads(sys.argv[2])))
