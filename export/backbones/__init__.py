"""Encoders in plain torch, by name, and their weights from files that cannot run code.

Each maps preprocessed float32 (N, 3, H, W) to float32 (N, D) and ends in global pooling, without a
classifier. Parameter names are torchvision's, so that its public weights load.
"""

import pickle
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vexas_edge.errors import InputError, UsageError
from vexas_edge.inputs import check_file

if TYPE_CHECKING:
    from torch import Tensor, nn

    from export.backbones.backbone import Backbone, Pooling

_NAMED_KEYS = 4
# What torch's wrappers and the models that hold an encoder put before its parameters' names.
_PREFIXES = ("module.", "_orig_mod.", "encoder.")


def _compact() -> "Backbone":
    from export.backbones.compact import Compact

    return Compact()


def _efficientnetb4() -> "Backbone":
    from export.backbones.efficientnetb4 import EfficientNetB4

    return EfficientNetB4()


def _inceptionv3() -> "Backbone":
    from export.backbones.inceptionv3 import InceptionV3

    return InceptionV3()


def _resnet18() -> "Backbone":
    from export.backbones.resnet import resnet18

    return resnet18()


def _resnet50() -> "Backbone":
    from export.backbones.resnet import resnet50

    return resnet50()


def _squeezenet11() -> "Backbone":
    from export.backbones.squeezenet11 import SqueezeNet11

    return SqueezeNet11()


def _vgg16() -> "Backbone":
    from export.backbones.vgg16 import VGG16

    return VGG16()


_NETWORKS: dict[str, Callable[[], "Backbone"]] = {
    "compact": _compact,
    "efficientnetb4": _efficientnetb4,
    "inceptionv3": _inceptionv3,
    "resnet18": _resnet18,
    "resnet50": _resnet50,
    "squeezenet11": _squeezenet11,
    "vgg16": _vgg16,
}


def _built(make: Callable[[], "Backbone"], pooling: "Pooling") -> "Backbone":
    network = make()
    network.pooling = pooling
    return network


# Each ends in average pooling, or by the name NAME-max in maximum pooling.
BACKBONES: dict[str, Callable[[], "Backbone"]] = {
    **{name: partial(_built, make, "average") for name, make in _NETWORKS.items()},
    **{f"{name}-max": partial(_built, make, "max") for name, make in _NETWORKS.items()},
}


def build_backbone(name: str) -> "Backbone":
    """The encoder called `name` with random weights, in training mode.

    Raises:
        UsageError: there is no backbone of that name; the message lists the names.
    """
    if name not in BACKBONES:
        raise UsageError(f"no backbone is called {name!r}; expected one of {', '.join(BACKBONES)}")
    return BACKBONES[name]()


def seeded_backbone(name: str, start: str | None, seed: int) -> "Backbone":
    """The encoder that training begins with: the same for the same seed.

    Args:
        start: the file of its weights; without one they are random.

    Raises:
        UsageError, InputError: as `build_backbone` and `load_weights`.
    """
    import torch

    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        backbone = build_backbone(name)
    if start:
        load_weights(backbone, start)
    return backbone


def load_weights(module: "nn.Module", path: str | Path) -> str:
    """Load the weights in `path` into `module`: a state_dict (.safetensors, .pt or .pth) or .onnx.

    A prefix that all names have, of a wrapper ("module.", "_orig_mod.") or of a model around the
    encoder ("encoder."), is left out. Parameters of parts that `module` leaves out (its
    `absent_parts`, such as torchvision's classifier) are ignored; any other difference in names or
    shapes is refused.

    Returns:
        the prefix that was left out, to be told to the user; empty if there was none.

    Raises:
        InputError: the file cannot be read or does not fit; `module` is unchanged.
    """
    path = Path(path)
    found, expected = _read_weights(path, module), module.state_dict()
    prefix = _prefix_of(found, expected)
    absent_parts = getattr(module, "absent_parts", ())
    named = {key.removeprefix(prefix): tensor for key, tensor in found.items()}
    weights = {key: tensor for key, tensor in named.items() if not key.startswith(absent_parts)}
    _require_fit(expected, weights, path)
    module.load_state_dict(weights, strict=False)
    return prefix


def prefix_words(prefix: str, weights: str) -> str:
    """A line that says which prefix `load_weights` left out."""
    return f"note: every name in {weights} begins with {prefix!r}, which was left out"


def _prefix_of(found: Iterable[str], expected: Iterable[str]) -> str:
    """What wrappers, one in another too, have put before every name."""
    names, own, prefix = list(found), list(expected), ""
    while names:
        more = [one for one in _PREFIXES if all(name.startswith(prefix + one) for name in names)]
        if not more or any(name.startswith(more[0]) for name in own):
            break
        prefix += more[0]
    return prefix


def _read_weights(path: Path, module: "nn.Module") -> "Mapping[str, Tensor]":
    check_file(path, "weights file")
    if path.suffix == ".onnx":
        from export.backbones.onnx_weights import weights_from_onnx

        return weights_from_onnx(path, module)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in {".pt", ".pth"}:
        return _read_checkpoint(path)
    raise InputError(f"{path} is not a weights file; expected .safetensors, .pt, .pth or .onnx")


def _read_safetensors(path: Path) -> "Mapping[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path}: not a readable safetensors file ({error})") from error


def _read_checkpoint(path: Path) -> "Mapping[str, Tensor]":
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise InputError(
            f"{path} is damaged, or not a checkpoint of plain tensors. Where it was made, run: "
            "from safetensors.torch import save_file; "
            "save_file(model.state_dict(), 'weights.safetensors')"
        ) from error
    is_state_dict = isinstance(content, Mapping) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items()
    )
    if not is_state_dict:
        raise InputError(
            f"{path} holds {_outline(content)}; expected a bare state_dict (names to tensors): "
            "save model.state_dict() alone"
        )
    return content


def _outline(content: object) -> str:
    if isinstance(content, Mapping):
        return f"a mapping with {_first(content)}"
    return f"a {type(content).__name__}"


def _require_fit(
    expected: "Mapping[str, Tensor]", found: "Mapping[str, Tensor]", path: Path
) -> None:
    # Checkpoints older than torch 0.4.1 lack this counter, which no output depends on.
    missing = [
        key for key in expected if key not in found and not key.endswith(".num_batches_tracked")
    ]
    unexpected = [key for key in found if key not in expected]
    misshaped = [
        f"{key} {tuple(found[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in expected
        if key in found and found[key].shape != expected[key].shape
    ]
    differences = {"missing": missing, "unexpected": unexpected, "wrong shape": misshaped}
    found_differences = [f"{what}: {_first(keys)}" for what, keys in differences.items() if keys]
    if found_differences:
        raise InputError(
            f"{path}: these weights are not this encoder's. {'; '.join(found_differences)}"
        )


def _first(keys: "Mapping[str, object] | list[str]") -> str:
    named = ", ".join(map(str, list(keys)[:_NAMED_KEYS]))
    return f"{named} and {len(keys) - _NAMED_KEYS} more" if len(keys) > _NAMED_KEYS else named
