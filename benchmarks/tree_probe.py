"""Bundles and scores by the tree that stands first on the path; `same_scores.py` runs it.

    PYTHONPATH=TREE python -P benchmarks/tree_probe.py JOB.json

It knows today's layout of the modules and the flat one of manifests of schema 1. Floats are written
in hex, so that no digit is lost.
"""

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

FLAT = {"ReadOptions": "case", "Sessions": "sessions", "encode_cells": "encoding"}
ROOMS = {
    "ReadOptions": "smear.options",
    "Sessions": "runtime.session",
    "encode_cells": "scoring.encoding",
}
PACKAGES = ("vexas_edge", "export", "calibration", "training", "kit")
# What a result says of a cell, of the case and of how it was run, but for sentences and the clock.
CELL_FACTS = ("path", "cell_class", "status", "reason", "sha256")
CASE_FACTS = ("status", "call", "lead", "ignored", "classes")
RUN_FACTS = ("engine", "engine_version", "device", "threads", "precision", "seeds")
RESULTS = "results.json"


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """A case, to be scored with a bundle. chunk_cells: cells per call; None lets the tree choose.

    cell_type: of images that lie in no class folder.
    """

    name: str
    bundle: str
    case: str
    cell_type: str | None = None
    precision: str = "fp32"
    chunk_cells: int | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one tree is to do. specs: of the bundles to export, by the path of each bundle.

    out: where `results.json` and each scoring's encodings, 0.npz and on, are written.
    """

    tree: str
    out: str
    specs: dict[str, dict[str, Any]]
    scorings: list[Scoring]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What a scoring gave, by field. skipped: why this PC or bundle cannot do it, or empty."""

    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    case: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    skipped: str = ""


def run_job(job: Job) -> list[Scored]:
    """All bundles exported, then all cases scored."""
    for to, spec in job.specs.items():
        import_module("export").write_bundle(spec, to=to)
    return [
        score(scoring, Path(job.out) / f"{index}.npz") for index, scoring in enumerate(job.scorings)
    ]


def score(scoring: Scoring, to: Path) -> Scored:
    """One scoring's result; each model's encodings float32 (N, D) are written to `to`."""
    vexas_edge = import_module("vexas_edge")
    bundle = vexas_edge.open_bundle(Path(scoring.bundle))
    options = _named("ReadOptions")(cell_type=scoring.cell_type)
    try:
        sessions = _named("Sessions")(bundle, precision=scoring.precision)
    except import_module("vexas_edge.errors").HostError as error:
        np.savez(to)
        return Scored(skipped=str(error))
    case = vexas_edge.read_case(Path(scoring.case), options)
    with sessions, closing(case.source):
        found = {
            name: encodings(case, name, sessions, scoring.chunk_cells)
            for name in bundle.manifest.models
        }
        result = vexas_edge.score_case(case, bundle, sessions, chunk_cells=scoring.chunk_cells)
    np.savez(to, **found)  # type: ignore[arg-type]
    return Scored(
        models={model.model: exact(_model_facts(model)) for model in result.models},
        case=exact(_facts(result, CASE_FACTS)),
        run=exact(_facts(result.run, RUN_FACTS)),
    )


def encodings(case: Any, name: str, sessions: Any, chunk_cells: int | None) -> NDArray[np.float32]:
    """One model's encodings float32 (N, D), of distinct cells in the case's order."""
    model = sessions.bundle.manifest.models[name]
    cells = [cell for cell in case.cells if cell.cell_class in model.cells]
    if not cells:
        return np.empty((0, model.encoding_width), np.float32)
    taken = _cells_taken(case, cells, name, model, sessions)
    encoded = _named("encode_cells")(*taken, name, sessions, chunk_cells, _silent)
    return np.asarray(encoded.encodings)


def _cells_taken(
    case: Any, cells: Sequence[Any], name: str, model: Any, sessions: Any
) -> tuple[Any, ...]:
    """What the tree's `encode_cells` takes the cells in."""
    if _is_flat():
        return case.source, cells
    rooms = ("vexas_edge.scoring.images", "vexas_edge.scoring")
    files = (f"{room}.reading" for room in rooms if find_spec(room))
    reading = next((file for file in files if find_spec(file)), None)
    if reading is None:
        return (case,)
    read_cells = import_module(reading).read_cells
    threads = sessions.fused(name).threads
    return (read_cells(case, name, model.cells, _silent, threads=threads),)


def exact(value: Any) -> Any:
    """The value as JSON can hold it without loss: a float in hex, all else as it is."""
    if isinstance(value, dict):
        return {key: exact(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [exact(inner) for inner in value]
    return value.hex() if isinstance(value, float) else value


def strangers(tree: Path) -> Sequence[str]:
    """Modules of ours that were not loaded from the tree: there must be none."""
    loaded = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    return [
        f"{name} from {file}"
        for name, file in loaded.items()
        if name.partition(".")[0] in PACKAGES
        and file is not None
        and not Path(file).resolve().is_relative_to(tree.resolve())
    ]


def _model_facts(model: Any) -> dict[str, Any]:
    return {**asdict(model), "cells": [_facts(cell, CELL_FACTS) for cell in model.cells]}


def _facts(value: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


@cache
def _is_flat() -> bool:
    return find_spec("vexas_edge.sessions") is not None


def _named(name: str) -> Any:
    home = (FLAT if _is_flat() else ROOMS)[name]
    return getattr(import_module(f"vexas_edge.{home}"), name)


def _silent(model: str, done: int, total: int) -> None:
    pass


def main() -> None:
    """Do the job in the file that the command line names."""
    job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Job)
    found = run_job(job)
    if others := strangers(Path(job.tree)):
        raise SystemExit(f"not of {job.tree}: {', '.join(others)}")
    (Path(job.out) / RESULTS).write_bytes(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
