"""The widest real table of genes, by models of random weights: bundle and torch give the same."""

from pathlib import Path

import numpy as np
import pytest
import tiny_vectors
import torch
from numpy.typing import NDArray
from tiny import there
from tiny_vectors import VectorKind, vector_bundle, write_counts

from export.bags.bag_file import load_bag
from export.vectors.network import VectorEncoder, neighbour_gaps
from export.vectors.sizes import EncoderSizes
from vexas_edge.bundle.archive import open_bundle
from vexas_edge.bundle.models import Vectors
from vexas_edge.cells.vectors.cases import read_table
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.encoding import encode_cells
from vexas_edge.scoring.vectors.tables import read_table_for
from vexas_edge.talk import silent

pytestmark = [pytest.mark.real_data, pytest.mark.usefixtures("one_thread")]

TIE = 1e-5


@pytest.fixture(scope="module")
def real(shared_data: Path) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    with np.load(shared_data / "genes" / "aplastic_anemia.npz") as arrays:
        return arrays["counts"].astype(np.float32), tuple(arrays["genes"].tolist())


@pytest.mark.parametrize("head", ["feedforward", "transformer", "graph"])
def test_39031_genes_give_what_torch_gives_in_any_chunks(
    head: str,
    real: tuple[NDArray[np.float32], tuple[str, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts, genes = real
    monkeypatch.setattr(tiny_vectors, "drawn_counts", lambda n, *_, **__: counts[: max(n, 177)])
    anchors = {"n_anchors": 100} if head == "graph" else {}
    sizes = EncoderSizes(n_features=len(genes), head=head, **anchors)  # type: ignore[arg-type]
    vectors = Vectors(
        n_features=len(genes),
        names="ensembl",
        counts=True,
        library_size=1e4,
        log1p=True,
        clip=10.0,
        missing_share=0.2,
    )
    kind = VectorKind(sizes=sizes, vectors=vectors, features=genes)
    bundle = open_bundle(vector_bundle(tmp_path, kind))
    bag = load_bag(tmp_path / "expression.safetensors")
    assert isinstance(bag.encoder, VectorEncoder)
    scaled = torch.from_numpy(there(bag.scaling)(counts))
    with torch.inference_mode():
        expected = bag.encoder(scaled).numpy()
    sure = (neighbour_gaps(bag.encoder, scaled) > TIE).numpy()
    assert (~sure).mean() <= 0.01
    for n, chunks in ((1, (None,)), (7, (None,)), (177, (1, 7, None))):
        table = write_counts(tmp_path / f"T{n}.npz", counts[:n], genes)
        found = []
        with Sessions(bundle) as sessions, read_table(table) as case:
            read = read_table_for(case, bundle, silent).of_models["expression"]
            for chunk in chunks:
                encoded = encode_cells(read, "expression", sessions, chunk, silent)
                found.append(encoded.encodings[encoded.by_identity])
        places = {cell.record.identity: cell.place for cell in read.distinct}
        order = [places[identity] for identity in sorted(places)]
        assert np.abs(found[0] - expected[order])[sure[order]].max() <= TIE
        assert all(np.array_equal(one, found[0]) for one in found)
