"""Models of rows of numbers that are whole and small: random weights, and bundles of them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from tiny import there

from export import write_bundle
from export.bags.aggregation import AggregationOptions
from export.bags.bag_file import BagFacts, BagOfVectors, Regression, TrainedBag, bag_file, load_bag
from export.bags.network import BagLayers
from export.vectors.network import AnchorGraph, build_vector_encoder
from export.vectors.scaling import fitted_scaling
from export.vectors.sizes import EncoderSizes
from vexas_edge.bundle.models import Vectors
from vexas_edge.typing.familiar import Familiar, bytes_from_familiar

N_FEATURES = 60
FEATURES = tuple(f"GENE{number}" for number in range(N_FEATURES))
SIZES = EncoderSizes(
    n_features=N_FEATURES, hidden=(16,), width=16, head_width=8, n_tokens=4, d_model=8, layers=1
)
VECTORS = Vectors(
    n_features=N_FEATURES,
    names="symbol",
    counts=True,
    library_size=1e4,
    log1p=True,
    clip=10.0,
    missing_share=0.2,
)

MEAN = AggregationOptions()


@dataclass(frozen=True, kw_only=True)
class VectorKind:
    """How a model is."""

    sizes: EncoderSizes = SIZES
    vectors: Vectors = VECTORS
    features: tuple[str, ...] = FEATURES
    weighting: AggregationOptions = MEAN
    seed: int = 3


def drawn_counts(n: int, seed: int = 0, n_features: int = N_FEATURES) -> np.ndarray:
    """Counts of some cells, float32 (n, n_features); many are 0."""
    rng = np.random.default_rng(seed)
    means = np.random.default_rng(99).gamma(0.5, 4.0, n_features)
    depth = rng.lognormal(0, 0.3, (n, 1))
    return rng.poisson(means * depth).astype(np.float32)


def write_counts(path: Path, counts: np.ndarray, features: tuple[str, ...] = FEATURES) -> Path:
    """An .npz of counts; cells are called C0, C1 and so on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = np.array([f"C{number}" for number in range(len(counts))])
    np.savez(path, counts=counts.astype(np.int64), genes=np.array(features), cells=cells)
    return path


def tiny_vectors(path: Path, kind: VectorKind) -> TrainedBag:
    """A model of random weights, written and read."""
    torch.manual_seed(kind.seed)
    n_features = len(kind.features)
    scaling = fitted_scaling(
        drawn_counts(50, seed=1, n_features=n_features),
        library_size=kind.vectors.library_size,
        log1p=kind.vectors.log1p,
        clip=kind.vectors.clip,
    )
    encoder = build_vector_encoder(kind.sizes)
    scaled = torch.from_numpy(scaling(drawn_counts(50, seed=2, n_features=n_features)))
    with torch.no_grad():
        if isinstance(encoder.body, AnchorGraph):
            encoder.body.set_anchors(encoder.compress(scaled)[: kind.sizes.n_anchors])
        layers = BagLayers(kind.sizes.head_width, kind.weighting, 0)
        layers.classify.weight.normal_(0, 0.5)
        layers.classify.bias.fill_(0.1)
    facts = BagFacts(
        positive="disease",
        others="healthy",
        instances=BagOfVectors(vectors=kind.vectors, features=kind.features, sizes=kind.sizes),
        encoding="raw",
        aggregation=kind.weighting,
        middle=0.0,
        spread=1.0,
        image=Regression(weights=(1.0,), bias=0.0, threshold=0.5),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        bag_file(facts, encoder.state_dict(), layers.eval().state_dict(), scaling=scaling)
    )
    return load_bag(path)


def vector_bundle(
    folder: Path, kind: VectorKind | None = None, familiar: bool = False, **model: Any
) -> Path:
    """A bundle of such a model, and beside it all that it was made of."""
    kind = kind or VectorKind()
    bag = tiny_vectors(folder / "expression.safetensors", kind)
    n_features = len(kind.features)
    write_counts(folder / "parity.npz", drawn_counts(12, 5, n_features), kind.features)
    if familiar:
        known = torch.from_numpy(there(bag.scaling)(drawn_counts(200, 2, n_features)))
        with torch.no_grad():
            encodings = bag.encoder(known).numpy()
        (folder / "familiar.npz").write_bytes(bytes_from_familiar(_familiar(encodings)))
        model["familiar"] = str((folder / "familiar.npz").resolve())
    spec = {
        "name": "tiny-expression",
        "version": "1.0.0",
        "positive": "disease",
        "models": {
            "expression": {
                "bag": str((folder / "expression.safetensors").resolve()),
                "parity_cells": str((folder / "parity.npz").resolve()),
                "minimum_cells": 5,
                **{
                    n: str((folder / v).resolve()) if n == "familiar" else v
                    for n, v in model.items()
                },
            }
        },
    }
    write_bundle(spec, to=folder / "tiny.vxb")
    return folder / "tiny.vxb"


def _familiar(encodings: np.ndarray) -> Familiar:
    mean = encodings.mean(axis=0)
    spread = np.maximum(encodings.std(axis=0), 0.05)
    return Familiar(
        means=mean[None].astype(np.float32),
        whitening=np.diag(1 / spread).astype(np.float32),
        farthest=1.5,
        n_cases=12,
    )


def with_head(head: str) -> VectorKind:
    """A model with one of the three heads."""
    more = {"n_anchors": 20, "neighbours": 4} if head == "graph" else {}
    sizes = msgspec.structs.replace(SIZES, head=head, **more)
    return replace(VectorKind(), sizes=sizes)
