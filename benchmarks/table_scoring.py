"""Does scoring a table cost anything beside the engine, and does its memory stay bounded?

    python benchmarks/table_scoring.py -o benchmarks/results/table_scoring.jsonl

Cells are drawn, as sparse as real ones, for models of random weights: 5,000 of 39,031 numbers, as
many as the widest real table has, and 100,000 of 2,000. Rows in memory, read from an .npz or from a
matrix.mtx, are encoded in turns with bare calls of the same engine on dense batches of the same
size that were made before; a ratio is computed within each turn. The peak memory of a whole score
is that of a process of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from lines import add_line, lines_out
from peak_memory import peak_mib
from turns import median_and_interval, seconds_in_turns

from export import write_bundle
from export.bags.aggregation import AggregationOptions
from export.bags.bag_file import BagFacts, BagOfVectors, Regression, bag_file
from export.bags.network import BagLayers
from export.vectors.network import build_vector_encoder
from export.vectors.scaling import FeatureScaling
from export.vectors.sizes import EncoderSizes
from vexas_edge import open_bundle, score_case
from vexas_edge.bundle.contract import CELLS
from vexas_edge.bundle.models import Vectors
from vexas_edge.cells.vectors.cases import read_table
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.host.cache import FOLDER_VARIABLE
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.encoding import encode_cells
from vexas_edge.scoring.vectors.tables import read_table_for
from vexas_edge.talk import silent

MODEL = "expression"
WIDE, MANY = (5_000, 39_031), (100_000, 2_000)
_FILLED = 0.05  # the share of numbers that are not 0
_ROWS_PER_PART = 1000


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@lines_out
@click.option("--turns", default=9, show_default=True, help="After one that is a warm-up.")
@click.option("--quick", is_flag=True, help="Use few cells, only to see that it runs.")
def cli(out: Path, turns: int, quick: bool) -> None:
    """Append one JSON line per form of the wide table, and one of the memory of the long one."""
    wide, many = ((300, 500), (600, 200)) if quick else (WIDE, MANY)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ[FOLDER_VARIABLE] = scratch  # keeps this PC's own cache unchanged
        bundle = write_wide_bundle(folder / "wide", wide[1])
        for form, write in (("npz", write_npz), ("mtx", write_matrix)):
            table = write(folder / f"wide-{form}", *wide)
            line = beside_engine(bundle, table, 2 if quick else turns)
            add_line(out, {"form": form, "cells": wide[0], "features": wide[1], **line})
        bundle = write_wide_bundle(folder / "many", many[1])
        table = write_matrix(folder / "many-mtx", *many)
        line = peak_of_score(bundle, table)
        add_line(out, {"form": "mtx", "cells": many[0], "features": many[1], **line})


def beside_engine(bundle: Path, table: Path, turns: int) -> dict[str, Any]:
    """How the throughput of rows in memory compares with that of bare calls on dense batches."""
    opened = open_bundle(bundle)
    with (
        Sessions(opened, EngineOptions(engine="onnxruntime")) as sessions,
        read_table(table) as case,
    ):
        read = read_table_for(case, opened, silent).of_models[MODEL]
        engine, size = sessions.fused(MODEL), sessions.cells_per_call(MODEL)
        contract = sessions.contract(MODEL, sessions.graph.file)
        starts = range(0, len(read.distinct) - size + 1, size)
        batches = [
            contract.feeds_of_cells(read.placed(read.distinct[s : s + size])) for s in starts
        ]
        n_dense = sum(len(batch[CELLS]) for batch in batches)
        with ThreadPoolExecutor(engine.threads) as pool:
            taken = seconds_in_turns(
                {
                    "table": partial(encode_cells, read, MODEL, sessions, None, silent),
                    "engine": lambda: list(pool.map(engine.run, batches)),
                },
                turns,
            )
    per_cell = [(turn["engine"] / n_dense) / (turn["table"] / len(read.distinct)) for turn in taken]
    return {
        "question": "throughput of rows in memory, as a share of the bare engine's",
        "share": median_and_interval(np.array(per_cell)),
        "cells_per_call": size,
        "threads": engine.threads,
        "cells_per_s": round(len(read.distinct) / float(np.median([t["table"] for t in taken]))),
    }


def peak_of_score(bundle: Path, table: Path) -> dict[str, Any]:
    """The peak memory of a process that scores the whole table."""
    found = subprocess.run(
        [sys.executable, __file__, "--score", str(bundle), str(table)],
        capture_output=True,
        text=True,
        check=True,
    )
    return {"question": "peak memory of a score", **json.loads(found.stdout)}


def score_here(bundle: Path, table: Path) -> dict[str, Any]:
    """The same, measured in this process, with what is needed before any cell is read."""
    opened = open_bundle(bundle)
    with (
        Sessions(opened, EngineOptions(engine="onnxruntime")) as sessions,
        read_table(table) as case,
    ):
        sessions.fused(MODEL)
        before = peak_mib()
        (model,) = score_case(case, opened, sessions).models
    width = opened.manifest.models[MODEL].encoding_width
    return {
        "n_cells": model.n_cells,
        "peak_mib": round(peak_mib()),
        "before_mib": round(before),
        "encodings_mib": round(model.n_cells * width * 4 / 2**20),
        "numbers_mib": round(table_bytes(table) / 2**20),
    }


def table_bytes(table: Path) -> int:
    """The size of its files."""
    return sum(file.stat().st_size for file in table.iterdir()) if table.is_dir() else 0


def write_wide_bundle(folder: Path, n_features: int) -> Path:
    """A bundle of random weights for so many features."""
    folder.mkdir()
    torch.manual_seed(0)
    sizes = EncoderSizes(n_features=n_features)
    vectors = Vectors(
        n_features=n_features,
        names="ensembl",
        counts=True,
        library_size=1e4,
        log1p=True,
        clip=10.0,
        missing_share=0.2,
    )
    scaling = FeatureScaling(
        library_size=1e4,
        log1p=True,
        mean=np.full(n_features, 0.1, np.float32),
        spread=np.full(n_features, 0.5, np.float32),
        clip=10.0,
    )
    layers = BagLayers(sizes.head_width, AggregationOptions(), 0)
    torch.nn.init.normal_(layers.classify.weight, 0, 0.1)
    facts = BagFacts(
        positive="b",
        others="a",
        instances=BagOfVectors(vectors=vectors, features=_features(n_features), sizes=sizes),
        encoding="raw",
        aggregation=AggregationOptions(),
        middle=0.0,
        spread=1.0,
        image=Regression(weights=(1.0,), bias=0.0, threshold=0.5),
    )
    encoder = build_vector_encoder(sizes)
    content = bag_file(facts, encoder.state_dict(), layers.eval().state_dict(), scaling)
    (folder / "bag.safetensors").write_bytes(content)
    parity = write_npz(folder / "parity", 12, n_features)
    model = {"bag": str(folder / "bag.safetensors"), "parity_cells": str(parity)}
    fields = {"name": "wide", "version": "1", "positive": "b", "models": {MODEL: model}}
    write_bundle(fields, to=folder / "wide.vxb")
    return folder / "wide.vxb"


def write_npz(folder: Path, n_cells: int, n_features: int) -> Path:
    """An .npz of drawn counts."""
    folder.mkdir()
    rows = [_drawn(first, n_cells, n_features) for first in range(0, n_cells, _ROWS_PER_PART)]
    cells = np.array([f"C{number}" for number in range(n_cells)])
    genes = np.array(_features(n_features))
    np.savez(folder / "table.npz", counts=np.concatenate(rows), genes=genes, cells=cells)
    return folder / "table.npz"


def write_matrix(folder: Path, n_cells: int, n_features: int) -> Path:
    """The folder of a matrix.mtx of drawn counts."""
    folder.mkdir()
    names = "".join(f"{name}\t{name}\tGene Expression\n" for name in _features(n_features))
    (folder / "features.tsv").write_text(names)
    (folder / "barcodes.tsv").write_text("".join(f"C{number}\n" for number in range(n_cells)))
    entries = folder / "entries"
    n_entries = 0
    with entries.open("w") as file:
        for first in range(0, n_cells, _ROWS_PER_PART):
            rows = _drawn(first, n_cells, n_features)
            cells, features = np.nonzero(rows)
            n_entries += len(cells)
            triples = np.stack([features + 1, cells + 1 + first, rows[cells, features]], axis=1)
            np.savetxt(file, triples, fmt="%d")
    with (folder / "matrix.mtx").open("w") as file:
        file.write("%%MatrixMarket matrix coordinate integer general\n")
        file.write(f"{n_features} {n_cells} {n_entries}\n")
        with entries.open() as written:
            while text := written.read(1 << 24):
                file.write(text)
    entries.unlink()
    return folder


def _drawn(first: int, n_cells: int, n_features: int) -> np.ndarray:
    """Counts of the cells from one on, int32 (n, n_features), of at most 1,000."""
    rng = np.random.default_rng(first)
    n = min(_ROWS_PER_PART, n_cells - first)
    counts = np.zeros((n, n_features), np.int32)
    filled = rng.integers(0, n_features, (n, int(_FILLED * n_features)))
    np.put_along_axis(counts, filled, rng.geometric(0.4, filled.shape).astype(np.int32), axis=1)
    return counts


def _features(n: int) -> tuple[str, ...]:
    return tuple(f"ENSG{number:011d}" for number in range(n))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--score"]:
        sys.stdout.write(json.dumps(score_here(Path(sys.argv[2]), Path(sys.argv[3]))) + "\n")
    else:
        cli()
