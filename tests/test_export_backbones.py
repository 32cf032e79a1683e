"""The encoders: torchvision's shapes and names, and which weights files fit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file
from spread_weights import spread_weights
from torch import Tensor, nn

from export.backbones import BACKBONES, build_backbone, load_weights
from export.cli import cli
from export.encoder import onnx_from_torch
from export.execution import run_graph
from vexas_edge.errors import InputError, UsageError

# torchvision's published totals, less the classifier (and Inception's auxiliary one).
PARAMETERS = {
    "vgg16": 138_357_544 - 123_642_856,
    "resnet18": 11_689_512 - 513_000,
    "resnet50": 25_557_032 - 2_049_000,
    "inceptionv3": 27_161_264 - 2_049_000 - 3_326_696,
    "efficientnetb4": 19_341_616 - 1_793_000,
    "squeezenet11": 1_235_496 - 513_000,
}
WIDTHS = {
    "compact": 128,
    "efficientnetb4": 1792,
    "inceptionv3": 2048,
    "resnet18": 512,
    "resnet50": 2048,
    "squeezenet11": 512,
    "vgg16": 512,
}
SHAPES = [
    ("vgg16", "features.0.weight", (64, 3, 3, 3)),
    ("vgg16", "features.28.bias", (512,)),
    ("resnet18", "layer1.0.conv1.weight", (64, 64, 3, 3)),
    ("resnet18", "layer4.0.downsample.0.weight", (512, 256, 1, 1)),
    ("resnet50", "layer3.5.conv3.weight", (1024, 256, 1, 1)),
    ("resnet50", "layer1.0.downsample.1.running_var", (256,)),
    ("inceptionv3", "Conv2d_1a_3x3.conv.weight", (32, 3, 3, 3)),
    ("inceptionv3", "Mixed_5b.branch1x1.conv.weight", (64, 192, 1, 1)),
    ("inceptionv3", "Mixed_6c.branch7x7dbl_2.conv.weight", (160, 160, 7, 1)),
    ("inceptionv3", "Mixed_7c.branch3x3dbl_3a.bn.running_mean", (384,)),
    ("efficientnetb4", "features.1.0.block.0.0.weight", (48, 1, 3, 3)),
    ("efficientnetb4", "features.2.0.block.2.fc1.weight", (6, 144, 1, 1)),
    ("efficientnetb4", "features.7.1.block.3.0.weight", (448, 2688, 1, 1)),
    ("efficientnetb4", "features.8.1.running_mean", (1792,)),
]
CAFFE_MEAN_BGR = np.array([103.939, 116.779, 123.68], np.float32)


@pytest.fixture
def compact() -> nn.Module:
    torch.manual_seed(0)
    return build_backbone("compact")


def saved(weights: object, path: Path) -> Path:
    torch.save(weights, path)
    return path


def real_cells(folder: Path, canvas_px: int) -> Tensor:
    """The middle of every ninth real cell: float32 (N, 3, H, W), BGR less the ImageNet mean."""
    images = []
    for path in sorted(folder.glob("*/*/*.*"))[::9]:
        pixels = np.asarray(Image.open(path).convert("RGB"), np.float32)
        top, left = ((side - canvas_px) // 2 for side in pixels.shape[:2])
        pixels = pixels[top : top + canvas_px, left : left + canvas_px]
        images.append(pixels[:, :, ::-1] - CAFFE_MEAN_BGR)
    return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_torchvisions_less_the_classifier(name: str) -> None:
    assert sum(p.numel() for p in build_backbone(name).parameters()) == PARAMETERS[name]


def test_compact_stays_small(compact: nn.Module) -> None:
    assert sum(p.numel() for p in compact.parameters()) <= 150_000


@pytest.mark.parametrize(("name", "key", "shape"), SHAPES)
def test_parameter_names_are_torchvisions(name: str, key: str, shape: tuple[int, ...]) -> None:
    assert tuple(build_backbone(name).state_dict()[key].shape) == shape


def test_inception_normalises_with_its_own_epsilon() -> None:
    norms = [m for m in build_backbone("inceptionv3").modules() if isinstance(m, nn.BatchNorm2d)]
    assert {norm.eps for norm in norms} == {0.001}


@pytest.mark.parametrize("name", BACKBONES)
def test_any_input_size_gives_the_same_width(name: str) -> None:
    backbone = build_backbone(name).eval()
    with torch.no_grad():
        width = WIDTHS[name.removesuffix("-max")]
        assert backbone(torch.zeros(1, 3, 96, 96)).shape == (1, width)
        assert backbone(torch.zeros(2, 3, 80, 101)).shape == (2, width)


@pytest.mark.parametrize("name", WIDTHS)
def test_each_pools_its_maps_by_their_average_or_by_their_maximum(name: str) -> None:
    averaging, taking_most = build_backbone(name).eval(), build_backbone(f"{name}-max").eval()
    taking_most.load_state_dict(averaging.state_dict())
    pixels = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        maps = averaging.maps(pixels)
        assert maps.ndim == 4
        assert torch.equal(averaging(pixels), maps.mean((2, 3)))
        assert torch.equal(taking_most(pixels), maps.flatten(2).max(2).values)


def test_an_encoder_that_takes_the_maximum_is_exported_as_it_is() -> None:
    backbone = build_backbone("squeezenet11-max").eval()
    pixels = np.random.default_rng(0).normal(0, 50, (3, 3, 64, 64)).astype(np.float32)
    (found,) = run_graph(onnx_from_torch(backbone, 64), {"images": pixels}).values()
    with torch.inference_mode():
        expected = backbone(torch.from_numpy(pixels)).numpy()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_an_unknown_name_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(UsageError, match=r"'vgg19'.*compact, .*vgg16, .*vgg16-max"):
        build_backbone("vgg19")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_weights_come_back_from_a_file(suffix: str, compact: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(compact.state_dict(), path)
    other = build_backbone("compact")
    load_weights(other, path)
    for key, tensor in compact.state_dict().items():
        assert torch.equal(other.state_dict()[key], tensor), key


def test_the_classifier_of_a_full_checkpoint_is_left_out(tmp_path: Path) -> None:
    donor = build_backbone("resnet18")
    whole = donor.state_dict() | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    backbone = build_backbone("resnet18")
    load_weights(backbone, saved(whole, tmp_path / "resnet18.pth"))
    name = "conv1.weight"
    assert torch.equal(backbone.get_parameter(name), donor.get_parameter(name))


def test_a_checkpoint_without_batch_counters_loads(compact: nn.Module, tmp_path: Path) -> None:
    old = {k: v for k, v in compact.state_dict().items() if not k.endswith("num_batches_tracked")}
    other = build_backbone("compact")
    load_weights(other, saved(old, tmp_path / "old.pth"))
    name = "stem.weight"
    assert torch.equal(other.get_parameter(name), compact.get_parameter(name))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "encoder.", "module._orig_mod."])
def test_a_prefix_of_every_name_is_left_out_and_told(
    prefix: str, compact: nn.Module, tmp_path: Path
) -> None:
    weights = {f"{prefix}{key}": tensor for key, tensor in compact.state_dict().items()}
    other = build_backbone("compact")
    assert load_weights(other, saved(weights, tmp_path / "w.pth")) == prefix
    assert torch.equal(other.get_parameter("stem.weight"), compact.get_parameter("stem.weight"))


def test_the_command_line_tells_of_a_prefix(compact: nn.Module, tmp_path: Path) -> None:
    weights = {f"module.{key}": tensor for key, tensor in compact.state_dict().items()}
    path = saved(weights, tmp_path / "w.pth")
    asked = ["encoder", "compact", "--weights", str(path), "--canvas-px", "48"]
    ended = CliRunner().invoke(cli, [*asked, "-o", str(tmp_path / "encoder.onnx")])
    assert ended.exit_code == 0
    assert ended.stderr == f"note: every name in {path} begins with 'module.', which was left out\n"


@pytest.mark.parametrize("name", ["squeezenet11", "vgg16"])
def test_weights_come_back_from_an_onnx_file(name: str, tmp_path: Path) -> None:
    backbone, path = build_backbone(name), tmp_path / "w.onnx"
    path.write_bytes(onnx_from_torch(backbone.eval(), 64).SerializeToString())
    other = build_backbone(name)
    load_weights(other, path)
    for key, tensor in backbone.state_dict().items():
        assert torch.equal(other.state_dict()[key], tensor), key


@pytest.mark.parametrize("name", ["compact", "resnet18"])
def test_batch_normalisation_comes_back_from_an_onnx_file(name: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    backbone, path = build_backbone(name), tmp_path / "w.onnx"
    with torch.no_grad():
        backbone(20 * torch.randn(4, 3, 64, 64) + 5)  # so that it has statistics
    torch.onnx.export(
        backbone.eval(),
        (torch.zeros(1, 3, 64, 64),),
        str(path),
        training=torch.onnx.TrainingMode.PRESERVE,  # else they are folded into the convolutions
        do_constant_folding=False,
        dynamo=False,
        opset_version=18,
    )
    other = build_backbone(name)
    load_weights(other, path)
    for key, tensor in backbone.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(other.state_dict()[key], tensor), key


def test_weights_of_another_network_in_an_onnx_file_are_refused(
    compact: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "w.onnx"
    path.write_bytes(onnx_from_torch(build_backbone("squeezenet11").eval(), 64).SerializeToString())
    before = {key: tensor.clone() for key, tensor in compact.state_dict().items()}
    with pytest.raises(InputError, match="has 25 Conv2d, and not 17 Conv2d and 17 BatchNorm2d"):
        load_weights(compact, path)
    assert all(torch.equal(compact.state_dict()[key], tensor) for key, tensor in before.items())


def test_an_onnx_file_that_computes_something_else_with_the_same_layers_is_refused(
    tmp_path: Path,
) -> None:
    model = onnx_from_torch(build_backbone("squeezenet11").eval(), 64)
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Sigmoid"
    (tmp_path / "w.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="gives other encodings than this encoder"):
        load_weights(build_backbone("squeezenet11"), tmp_path / "w.onnx")


@pytest.mark.real_data
@pytest.mark.parametrize("px", [112, 128, 224, 272])
def test_the_published_weights_give_the_published_encodings(px: int, shared_data: Path) -> None:
    path = shared_data / "squeezenet11" / "squeezenet11_notop_gap.onnx"
    backbone = build_backbone("squeezenet11").eval()
    load_weights(backbone, path)
    pixels = np.random.default_rng(px).normal(0, 60, (2, 3, px, px)).astype(np.float32)
    (expected,) = run_graph(path.read_bytes(), {"image": pixels}).values()
    with torch.no_grad():
        found = backbone(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_prefix_of_some_names_is_none(compact: nn.Module, tmp_path: Path) -> None:
    weights = {f"module.{key}": tensor for key, tensor in compact.state_dict().items()}
    weights["stem.weight"] = weights.pop("module.stem.weight")
    with pytest.raises(InputError, match=r"unexpected: module\."):
        load_weights(compact, saved(weights, tmp_path / "w.pth"))


def test_a_prefix_that_is_the_networks_own_stays(tmp_path: Path) -> None:
    network = nn.ModuleDict({"encoder": nn.Linear(2, 2)})
    path = saved(network.state_dict(), tmp_path / "w.pth")
    assert load_weights(network, path) == ""


def test_another_architectures_classifier_is_not_left_out(
    compact: nn.Module, tmp_path: Path
) -> None:
    whole = compact.state_dict() | {"fc.weight": torch.zeros(2, 2)}
    with pytest.raises(InputError, match=r"unexpected: fc\.weight$"):
        load_weights(compact, saved(whole, tmp_path / "w.pth"))


def test_missing_and_misshaped_keys_are_named_and_nothing_is_loaded(
    compact: nn.Module, tmp_path: Path
) -> None:
    weights = {key: torch.ones_like(tensor) for key, tensor in compact.state_dict().items()}
    del weights["stem_norm.bias"]
    weights["stem.weight"] = torch.ones(3, 3)
    before = compact.state_dict()["stem_norm.weight"].clone()
    message = r"missing: stem_norm\.bias; wrong shape: stem\.weight \(3, 3\) instead of \(24, 3"
    with pytest.raises(InputError, match=message):
        load_weights(compact, saved(weights, tmp_path / "w.pth"))
    assert torch.equal(compact.state_dict()["stem_norm.weight"], before)


def test_only_the_first_missing_keys_are_named(compact: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing: stem\.weight, .* and \d+ more$"):
        load_weights(compact, saved({}, tmp_path / "empty.pth"))


def test_a_pickle_that_runs_code_is_refused(compact: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"save_file\(model\.state_dict\(\)"):
        load_weights(compact, saved(compact, tmp_path / "whole_model.pth"))


def test_a_training_checkpoint_is_refused_by_its_contents(
    compact: nn.Module, tmp_path: Path
) -> None:
    checkpoint = {"epoch": 3, "model": compact.state_dict()}
    with pytest.raises(InputError, match="a mapping with epoch, model; expected a bare state_dict"):
        load_weights(compact, saved(checkpoint, tmp_path / "w.pt"))


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.h5"])
def test_a_file_that_holds_no_weights_is_refused(
    name: str, compact: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(b"not weights")
    with pytest.raises(InputError, match=name):
        load_weights(compact, path)


def test_an_absent_file_is_refused(compact: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="weights file .* was not found"):
        load_weights(compact, tmp_path / "w.safetensors")


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["compact", "resnet18"])
def test_spread_weights_tell_real_cells_apart(name: str, shared_data: Path) -> None:
    cells = real_cells(shared_data / "cells", canvas_px=128)
    backbone = build_backbone(name)
    spread_weights(backbone, cells, seed=0)
    with torch.no_grad():
        encodings = nn.functional.normalize(backbone(cells), dim=1).numpy()
    cosines = (encodings @ encodings.T)[np.triu_indices(len(cells), k=1)]
    assert cosines.mean() < 0.9
