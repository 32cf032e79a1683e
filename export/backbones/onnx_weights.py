"""The weights of an encoder in an ONNX file, under the names that a module of ours gives them.

The names in such a file are its exporter's, so layers are matched by the order in which they run,
and the result is compared with what the file itself computes.
"""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from onnx import ModelProto, numpy_helper
from torch import Tensor, nn

from export.encoder import onnx_from_file
from export.execution import run_graph
from export.graph import without_identities
from vexas_edge.errors import InputError

# Where the file does not say: at this side poolings come out the same by floors and by ceilings.
_PX, _CELLS, _TOLERANCE = 128, 2, 1e-4
# The operators that have weights, the module that does the same, and the names of their inputs.
_LAYERS: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    "Conv": (nn.Conv2d, ("weight", "bias")),
    "BatchNormalization": (nn.BatchNorm2d, ("weight", "bias", "running_mean", "running_var")),
}


def weights_from_onnx(path: Path, module: nn.Module) -> dict[str, Tensor]:
    """The state_dict with which `module` computes what the file does; `module` is unchanged.

    Raises:
        InputError: the file is no encoder, or is that of another network.
    """
    model, twin = without_identities(onnx_from_file(path)), deepcopy(module).eval()
    written, running = list(_layers_of_graph(model)), list(_layers_of_module(twin))
    kinds = [kind for kind, _ in written]
    if kinds != [type(layer) for _, layer in running]:
        raise InputError(
            f"{path} is another network than this encoder: it has {_counted(kinds)}, and not "
            f"{_counted([type(layer) for _, layer in running])} in this order"
        )
    weights = {
        f"{name}.{parameter}": tensor
        for (name, _), (_, tensors) in zip(running, written, strict=True)
        for parameter, tensor in tensors.items()
    }
    try:
        twin.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise InputError(f"{path} is another network than this encoder: {error}") from error
    _check_same_encodings(model, twin, path)
    return weights


def _layers_of_graph(model: ModelProto) -> Iterator[tuple[type[nn.Module], dict[str, Tensor]]]:
    """The layers that have weights, as they run, with their weights."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in _LAYERS:
            kind, names = _LAYERS[node.op_type]
            found = zip(names, node.input[1:], strict=False)
            arrays = {name: constants[tensor] for name, tensor in found if tensor in constants}
            yield (
                kind,
                {n: torch.from_numpy(numpy_helper.to_array(a).copy()) for n, a in arrays.items()},
            )


def _layers_of_module(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers that have weights, as they run, by their names."""
    kinds = tuple(kind for kind, _ in _LAYERS.values())
    ran: list[str] = []
    hooks = [
        layer.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, layer in module.named_modules()
        if isinstance(layer, kinds)
    ]
    with torch.inference_mode():
        module(torch.zeros(1, 3, _PX, _PX))
    for hook in hooks:
        hook.remove()
    return ((name, module.get_submodule(name)) for name in ran)


def _counted(kinds: list[type[nn.Module]]) -> str:
    return " and ".join(f"{kinds.count(kind)} {kind.__name__}" for kind in dict.fromkeys(kinds))


def _check_same_encodings(model: ModelProto, module: nn.Module, path: Path) -> None:
    (image,) = model.graph.input
    height, width = (side.dim_value or _PX for side in image.type.tensor_type.shape.dim[2:])
    pixels = np.random.default_rng(0).normal(0, 50, (_CELLS, 3, height, width)).astype(np.float32)
    (of_file,) = run_graph(model, {image.name: pixels}).values()
    with torch.inference_mode():
        of_module = module(torch.from_numpy(pixels)).numpy()
    largest = np.abs(of_file).max()
    if of_file.shape != of_module.shape or np.abs(of_file - of_module).max() > _TOLERANCE * largest:
        raise InputError(
            f"{path} gives other encodings than this encoder does with its weights; it is another "
            "network"
        )
