"""Tables of cells as rows of numbers, and what a model was fitted on, for `fuzzed_readers.py`."""

from io import BytesIO
from pathlib import Path

import numpy as np

from vexas_edge.cells.vectors.matching import WantedFeatures, checked_blocks, matched_features
from vexas_edge.cells.vectors.reading import feature_table
from vexas_edge.cells.vectors.table import FeatureTable
from vexas_edge.typing.familiar import Familiar, bytes_from_familiar

TEXT_TABLES = [
    b"cell,CD3D,ISG15\nA-1,3,0\nB-1,0,12\n",
    b'\xef\xbb\xbf"CD3D","ISG15"\n"A-1",3,1e2\n',
    b"cell,ENSG00000167286.9,ENSG00000187608\nA,0,1\n\n",
]
MATRICES = [
    b"%%MatrixMarket matrix coordinate integer general\n%\n2 3 4\n1 1 5\n2 1 1\n1 2 9\n2 3 7\n",
    b"%%MatrixMarket matrix coordinate real general\n2 3 2\n1 2 5.0\n2 2 1e3\n",
]


def familiar_seeds(width: int) -> list[bytes]:
    """What a model was fitted on, of encodings of that width."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(3, width)).astype(np.float32)
    whitening = np.eye(width, dtype=np.float32)
    familiar = Familiar(means=means, whitening=whitening, farthest=1.5, n_cases=20)
    return [bytes_from_familiar(familiar)]


def array_tables() -> list[bytes]:
    """A table of plain arrays."""
    stream = BytesIO()
    counts = np.arange(6, dtype=np.int32).reshape(3, 2)
    np.savez(stream, counts=counts, genes=np.array(["A", "B"]), cells=np.array(["x", "y", "z"]))
    return [stream.getvalue()]


def read_text_table(data: bytes, folder: Path) -> None:
    _read_as("cells.csv", data, folder)


def read_array_table(data: bytes, folder: Path) -> None:
    _read_as("cells.npz", data, folder)


def _read_as(name: str, data: bytes, folder: Path) -> None:
    (folder / name).write_bytes(data)
    _match(feature_table(folder / name))


def read_matrix(data: bytes, folder: Path) -> None:
    (folder / "features.tsv").write_text("ENSG1\tCD3D\tGene Expression\nENSG2\tISG15\n")
    (folder / "barcodes.tsv").write_text("A\nB\nC\n")
    (folder / "matrix.mtx").write_bytes(data)
    _match(feature_table(folder))


def _match(table: FeatureTable) -> None:
    wanted = WantedFeatures(names=("CD3D", "ISG15"), kind="symbol", are_counts=True)
    matched = matched_features(wanted, table.features)
    for block in checked_blocks(table, wanted):
        block.rows.dense(matched.places, len(wanted.names))
