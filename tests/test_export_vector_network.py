"""The network of cells that are rows of numbers: ONNX gives what torch gives, for each row."""

import logging
from itertools import product
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
import torch

from export.graph import OPSET
from export.vectors.network import (
    AnchorGraph,
    VectorEncoder,
    build_vector_encoder,
    neighbour_gaps,
)
from export.vectors.sizes import EncoderSizes, HeadKind
from vexas_edge.bundle.operators import check_operators
from vexas_edge.host.libraries import load_library

onnxruntime = load_library("onnxruntime")

HEADS: tuple[HeadKind, ...] = get_args(HeadKind)
N_FEATURES, NEAR_TIE = 40, 1e-5


def cells(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, N_FEATURES, generator=torch.Generator().manual_seed(seed))


def network(head: HeadKind) -> VectorEncoder:
    torch.manual_seed(3)
    encoder = build_vector_encoder(
        EncoderSizes(n_features=N_FEATURES, hidden=(24,), head=head, n_anchors=60)
    )
    if isinstance(encoder.body, AnchorGraph):
        with torch.inference_mode():
            encoder.body.set_anchors(encoder.compress(cells(60, seed=1)))
    return encoder


def session_of(encoder: VectorEncoder) -> Any:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    program = torch.onnx.export(
        encoder,
        (cells(2),),
        opset_version=OPSET,
        dynamic_shapes=({0: torch.export.Dim("N")},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    content = program.model_proto.SerializeToString()
    check_operators(content)
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("head", HEADS)
def test_onnx_gives_what_torch_gives_for_any_number_of_cells(head: HeadKind) -> None:
    encoder = network(head)
    session = session_of(encoder)
    name = session.get_inputs()[0].name
    for n in (1, 7, 64):
        scaled = cells(n, seed=n)
        with torch.inference_mode():
            expected = encoder(scaled).numpy()
        (found,) = session.run(None, {name: scaled.numpy()})
        assert found.shape == (n, encoder.sizes.head_width)
        assert found.dtype == np.float32
        sure = (neighbour_gaps(encoder, scaled) > NEAR_TIE).numpy()
        assert sure.sum() >= n - 1
        assert found[sure] == pytest.approx(expected[sure], abs=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_what_is_said_of_a_cell_does_not_depend_on_the_others(head: HeadKind) -> None:
    encoder, scaled = network(head), cells(30, seed=5)
    with torch.inference_mode():
        together, alone = encoder(scaled), torch.cat([encoder(row[None]) for row in scaled])
    assert alone.numpy() == pytest.approx(together.numpy(), abs=1e-5)


def test_gaps_are_those_between_the_last_neighbour_and_the_next_anchor() -> None:
    encoder, scaled = network("graph"), cells(20, seed=2)
    assert isinstance(encoder.body, AnchorGraph)
    with torch.inference_mode():
        compressed = encoder.compress(scaled).double().numpy()
    anchors = encoder.body.anchors.double().numpy()
    squares = np.sort(((compressed[:, None] - anchors) ** 2).mean(axis=2), axis=1)
    k = encoder.sizes.neighbours
    expected = squares[:, k] - squares[:, k - 1]
    assert neighbour_gaps(encoder, scaled).numpy() == pytest.approx(expected, abs=1e-5)


def test_heads_without_a_graph_have_no_near_ties() -> None:
    assert np.isinf(neighbour_gaps(network("feedforward"), cells(3)).numpy()).all()


def test_an_anchor_is_joined_to_others_and_never_to_itself() -> None:
    encoder = network("graph")
    assert isinstance(encoder.body, AnchorGraph)
    own = torch.arange(60)[:, None]
    assert not bool((encoder.body.joined == own).any())
    compressed, rows = encoder.body.anchors[:8], torch.arange(8)
    with torch.inference_mode():
        left_out, taken = encoder.body(compressed, rows), encoder.body(compressed)
        others = encoder.body(compressed, torch.full((8,), -1))
    assert float((left_out - taken).abs().max()) > 1e-4
    assert bool((others == taken).all())


def test_sizes_are_the_same_after_json() -> None:
    sizes = EncoderSizes(n_features=7, head="transformer", hidden=(12, 9))
    assert msgspec.json.decode(msgspec.json.encode(sizes), type=EncoderSizes) == sizes
    with pytest.raises(msgspec.ValidationError, match="colour"):
        msgspec.json.decode(b'{"n_features": 7, "colour": 1}', type=EncoderSizes)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"n_features": 0}, "n_features is 0"),
        ({"hidden": (0,)}, "hidden is"),
        ({"head": "transformer", "n_tokens": 30}, "no 30 equal tokens"),
        ({"head": "transformer", "attention_heads": 5}, "must divide it"),
        ({"head": "graph", "n_anchors": 10}, "too few for 10 neighbours"),
    ],
)
def test_sizes_that_make_no_network_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EncoderSizes(**{"n_features": 7, **wrong})


def test_any_widths_before_the_encoding_are_built() -> None:
    for hidden, head in product(((), (9,), (9, 8)), HEADS):
        sizes = EncoderSizes(n_features=7, hidden=hidden, head=head, n_anchors=20)
        with torch.inference_mode():
            encodings = build_vector_encoder(sizes)(torch.zeros(3, 7))
        assert encodings.shape == (3, 128)
