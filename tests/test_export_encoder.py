"""Encoders from torch, factories and files become one kind of graph, or are refused with reason."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import parser
from torch import nn

from export.encoder import onnx_from_file, onnx_from_torch, with_known_width
from export.inputs import load_encoder
from vexas_edge.errors import InputError, UsageError
from vexas_edge.host.libraries import load_library

onnxruntime = load_library("onnxruntime")

PX = 12


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def run(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def images(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, 3, PX, PX)).astype(np.float32)


@pytest.mark.parametrize("n", [1, 3, 10])
def test_a_module_becomes_a_graph_for_any_number_of_cells(n: int) -> None:
    module = net()
    with torch.inference_mode():
        expected = module(torch.from_numpy(images(n))).numpy()
    model = with_known_width(onnx_from_torch(module, PX), PX, "the encoder")
    assert model.graph.output[0].type.tensor_type.shape.dim[1].dim_value == 5
    np.testing.assert_allclose(run(model, images(n)), expected, atol=1e-6)


def test_an_nhwc_file_gives_the_encodings_of_its_nchw_twin(tmp_path: Path) -> None:
    body = "{0} pooled = ReduceMean <keepdims = 0> (x, axes) y = Mul (pooled, pooled) {1}"
    text = (
        '<ir_version: 8, opset_import: ["" : 18]> g (float[N,{shape}] x) => (float[N,3] y) '
        "<int64[2] axes = {{{axes}}}> " + body.format("{{", "}}")
    )
    for name, shape, axes in (("nchw", "3,H,W", "2,3"), ("nhwc", "H,W,3", "1,2")):
        onnx.save(parser.parse_model(text.format(shape=shape, axes=axes)), tmp_path / name)
    found = [
        run(with_known_width(onnx_from_file(tmp_path / name, name), PX, name), images(3))
        for name in ("nchw", "nhwc")
    ]
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)


@pytest.mark.parametrize("layers", [nn.Conv2d(3, 4, 3), nn.Flatten(0)])
def test_a_module_whose_output_is_not_n_by_d_is_refused(layers: nn.Module) -> None:
    with pytest.raises(InputError, match=r"it must return \(N, D\), here \(2, D\)"):
        onnx_from_torch(layers, PX)


def test_a_file_whose_output_is_not_n_by_d_is_refused(tmp_path: Path) -> None:
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18]> g (float[N,3,H,W] x) => (float[N,3,H,W] y)'
        " { y = Relu (x) }"
    )
    onnx.save(model, tmp_path / "flat.onnx")
    with pytest.raises(InputError, match=r"'y' is float \('N', 3, 'H', 'W'\).*\(N, D\)"):
        onnx_from_file(tmp_path / "flat.onnx")


def test_a_file_that_cannot_take_the_canvas_is_refused(tmp_path: Path) -> None:
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18]> g (float[N,3,8,8] x) => (float[N,D] y)'
        " { y = Flatten (x) }"
    )
    onnx.save(model, tmp_path / "eight.onnx")
    encoder = onnx_from_file(tmp_path / "eight.onnx")
    with pytest.raises(InputError, match="does not run on a batch of 2 cells of 12 px"):
        with_known_width(encoder, PX, "eight.onnx")


def test_what_is_no_onnx_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "pn.onnx").write_text("not a graph")
    with pytest.raises(InputError, match="pn.onnx is not an ONNX file"):
        onnx_from_file(tmp_path / "pn.onnx")
    with pytest.raises(InputError, match="encoder .* was not found"):
        onnx_from_file(tmp_path / "absent.onnx")


def test_a_factory_is_found_in_the_specs_folder(tmp_path: Path) -> None:
    (tmp_path / "my_nets_a.py").write_text(
        "from torch import nn\n"
        "def build(): return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
        "def wrong(): return 3\n"
    )
    encoder = load_encoder("my_nets_a:build", tmp_path, canvas_px=PX)
    assert encoder.reference(images(2)).shape == (2, 3)
    assert str(tmp_path) not in sys.path
    with pytest.raises(
        UsageError, match="my_nets_a:wrong is a int; an encoder is a torch.nn.Module"
    ):
        load_encoder("my_nets_a:wrong", tmp_path, canvas_px=PX)


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("broken_nets:absent", "AttributeError"),
        ("broken_nets:fails", "ZeroDivisionError"),
        ("broken_nets:wants_more", "TypeError"),
        ("broken_nets:leaves", "SystemExit"),
        ("not_there:build", "ModuleNotFoundError"),
        ("wrong_syntax:build", "SyntaxError"),
        (":build", "ValueError"),
    ],
)
def test_a_factory_that_fails_is_the_users_error(
    reference: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "broken_nets", raising=False)
    (tmp_path / "broken_nets.py").write_text(
        "def fails(): return 1 / 0\n"
        "def wants_more(width): pass\n"
        "def leaves(): raise SystemExit(3)\n"
    )
    (tmp_path / "wrong_syntax.py").write_text("def build(:")
    with pytest.raises(UsageError, match=f"{reference}', looked up from .* built: {reason}"):
        load_encoder(reference, tmp_path, canvas_px=PX)


def test_a_module_for_another_canvas_is_refused_with_the_likely_reason() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5))
    with pytest.raises(InputError, match="fails on 2 cells of 12 px .*is canvas_px the canvas"):
        onnx_from_torch(module, PX)


def test_a_module_that_loses_the_batch_of_one_is_refused() -> None:
    class Squeezing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3)).squeeze()

    with pytest.raises(InputError, match=r"returns \(3,\) for a batch of 1 cells"):
        load_encoder(None, Path(), canvas_px=PX, module=Squeezing())


def test_the_callers_module_stays_as_it_was() -> None:
    module = net().double().train()
    load_encoder(None, Path(), canvas_px=PX, module=module)
    assert module.training
    assert {p.dtype for p in module.parameters()} == {torch.float64}


def test_a_file_with_external_data_is_read_and_hashed_with_its_weights(tmp_path: Path) -> None:
    hashes = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        model = onnx_from_torch(module, PX)
        path = tmp_path / str(seed) / "net.onnx"
        path.parent.mkdir()
        onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
        encoder = load_encoder(str(path), Path(), canvas_px=PX)
        np.testing.assert_allclose(
            run(encoder.model, images(3)), encoder.reference(images(3)), atol=1e-6
        )
        hashes.append(encoder.source["encoder_sha256"])
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("vgg19", None, "neither a backbone"),
        ("resnet18", None, "needs weights"),
        ("pn.onnx", "pn.safetensors", "holds its weights"),
        (None, None, "names no encoder"),
    ],
)
def test_an_encoder_that_cannot_be_meant_is_refused(
    name: str | None, weights: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        load_encoder(name, tmp_path, canvas_px=PX, weights=weights)
