"""Encoders, from torch or from a file, as ONNX with one input, float32, and one output, (N, D)."""

import importlib
import logging
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx
from onnx import ModelProto, TensorProto

from export.execution import run_graph
from export.graph import OPSET, GraphBuilder, standard_model, tensor, without_dead_nodes
from vexas_edge.bundle.contract import EMBEDDING
from vexas_edge.errors import InputError, UsageError
from vexas_edge.inputs import check_file

if TYPE_CHECKING:
    import torch
    from torch import nn

InputLayout = Literal["nchw", "nhwc"]
# A name that no operator of torch has, by which inner tensors are called.
_OUTPUT = "encoder output"


def onnx_from_torch(module: "nn.Module", canvas_px: int) -> ModelProto:
    """The module as ONNX, for any number of cells of canvas_px x canvas_px.

    Args:
        module: in evaluation mode, float32, on the CPU.

    Raises:
        InputError: it fails on such cells, cannot be exported, or does not return (N, D).
    """
    import torch

    cells = torch.zeros(2, 3, canvas_px, canvas_px)
    try:
        with torch.inference_mode():
            embedding = module(cells)
    except Exception as error:
        raise InputError(
            f"the encoder fails on 2 cells of {canvas_px} px ({_first_line(error)}); "
            "is canvas_px the canvas that it was trained with?"
        ) from error
    if not isinstance(embedding, torch.Tensor) or embedding.ndim != 2 or len(embedding) != 2:
        found = tuple(embedding.shape) if isinstance(embedding, torch.Tensor) else type(embedding)
        raise InputError(
            f"the encoder returns {found} for 2 cells; it must return (N, D), here (2, D)"
        )
    return checked_encoder(exported_module(module, cells, "images"), "the exported encoder")


def exported_module(module: "nn.Module", cells: "torch.Tensor", name: str) -> ModelProto:
    """A module as torch writes it, for any number of cells.

    Args:
        cells: two of them, as it takes them.
        name: of its input.

    Raises:
        InputError: torch cannot export it.
    """
    import torch

    # torch.onnx warns of a missing torchvision and of its own deprecated parts, to no user's use.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            program = torch.onnx.export(
                module,
                (cells,),
                input_names=[name],
                output_names=[_OUTPUT],
                opset_version=OPSET,
                dynamic_shapes=({0: torch.export.Dim("N")},),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise InputError(
            f"torch could not export the encoder ({_first_line(error)}); "
            "export it to ONNX yourself and name the file as the encoder"
        ) from error
    assert program is not None  # torch returns None only without `dynamo`
    return program.model_proto


def onnx_from_file(path: Path, input_layout: InputLayout = "nchw") -> ModelProto:
    """The encoder in an ONNX file, converted to our opset and to input (N, 3, H, W).

    Args:
        input_layout: the layout that the file's input has; tf2onnx writes "nhwc".

    Raises:
        InputError: the file cannot be read, uses non-standard operators, or does not map float32
            images to (N, D).
    """
    check_file(path, "encoder")
    try:
        model = onnx.load(path)
    except Exception as error:
        raise InputError(f"{path} is not an ONNX file ({_first_line(error)})") from error
    model = standard_model(model, str(path))
    if input_layout == "nhwc":
        model = _with_channels_first(model)
    return checked_encoder(model, str(path))


def checked_encoder(model: ModelProto, source: str, input_rank: int = 4) -> ModelProto:
    """The same encoder with a free batch dimension, once its input and output have been checked.

    Raises:
        InputError: it has more than one input or output, takes anything but float32 of this rank,
            or returns anything but (N, D).
    """
    model = without_dead_nodes(standard_model(model, source))
    constants = {t.name for t in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    outputs = list(model.graph.output)
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(
            f"{source} has {len(inputs)} inputs and {len(outputs)} outputs; "
            "an encoder has one of each, cells and their encodings"
        )
    _free_batch(inputs[0], source, input_rank, "(N, 3, H, W)" if input_rank == 4 else "(N, G)")
    _free_batch(outputs[0], source, 2, "(N, D)")
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    return model


def _free_batch(value: onnx.ValueInfoProto, source: str, rank: int, expected: str) -> None:
    kind = value.type.tensor_type
    shape = [d.dim_value or d.dim_param for d in kind.shape.dim]
    if kind.elem_type != TensorProto.FLOAT or len(shape) != rank:
        type_name = TensorProto.DataType.Name(kind.elem_type).lower()
        raise InputError(
            f"{source}: {value.name!r} is {type_name} {tuple(shape)}; "
            f"an encoder maps float32 cells to (N, D), so {expected} was expected here"
        )
    kind.shape.dim[0].Clear()
    kind.shape.dim[0].dim_param = "N"


def with_known_width(model: ModelProto, canvas_px: int, source: str) -> ModelProto:
    """The same encoder with D written into its output, measured on one, two and three empty cells.

    Raises:
        InputError: it does not run on this canvas, or not on every number of cells.
    """
    image = model.graph.input[0].name
    width = 0
    for n in (2, 1, 3):
        cells = np.zeros((n, 3, canvas_px, canvas_px), np.float32)
        try:
            (embedding,) = run_graph(model, {image: cells}).values()
        except Exception as error:
            raise InputError(
                f"{source} does not run on a batch of {n} cells of {canvas_px} px; it needs a free "
                f"batch dimension and this canvas ({_first_line(error)})"
            ) from error
        width = width or embedding.shape[-1]
        if embedding.shape != (n, width):
            raise InputError(
                f"{source} returns {embedding.shape} for a batch of {n} cells; it must return "
                f"(N, D), here ({n}, {width})"
            )
    copy = ModelProto()
    copy.CopyFrom(model)
    copy.graph.output[0].type.tensor_type.shape.dim[1].dim_value = width
    return copy


def _with_channels_first(model: ModelProto) -> ModelProto:
    (image,) = model.graph.input
    dims = [d.dim_value or d.dim_param for d in image.type.tensor_type.shape.dim]
    if len(dims) != 4:
        raise InputError(f"an nhwc encoder takes (N, H, W, 3), but this one takes {tuple(dims)}")
    graph = GraphBuilder()
    last = graph.node("Transpose", "images", perm=[0, 2, 3, 1])
    outputs = graph.place(model, "nhwc", {image.name: last})
    (output,) = model.graph.output
    embedding = graph.node("Identity", outputs[output.name], output=EMBEDDING)
    width = [d.dim_value or d.dim_param for d in output.type.tensor_type.shape.dim]
    return graph.model(
        "encoder",
        [tensor("images", TensorProto.FLOAT, [dims[0], dims[3], dims[1], dims[2]])],
        [tensor(embedding, TensorProto.FLOAT, width)],
    )


def module_from_factory(reference: str, folder: Path) -> Any:
    """The object that the function named `module:factory` returns.

    Modules are looked up in `folder` first.

    Raises:
        UsageError: there is no such module or function, or it fails.
    """
    module_name, _, factory_name = reference.partition(":")
    _check_not_loaded_from_elsewhere(module_name, folder)
    sys.path.insert(0, str(folder))
    try:
        module = getattr(importlib.import_module(module_name), factory_name)()
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise UsageError(
            f"encoder {reference!r}, looked up from {folder}, cannot be built: "
            f"{type(error).__name__}: {_first_line(error)}"
        ) from error
    finally:
        sys.path.remove(str(folder))
    return module


def _check_not_loaded_from_elsewhere(module_name: str, folder: Path) -> None:
    """Check that the module is not loaded from another folder.

    Python keeps modules by name, so the one loaded first would silently be used again.

    Raises:
        UsageError: it is.
    """
    loaded = getattr(sys.modules.get(module_name), "__file__", None)
    here = [
        folder / f"{module_name.replace('.', '/')}{suffix}" for suffix in (".py", "/__init__.py")
    ]
    if loaded and any(file.is_file() and not file.samefile(loaded) for file in here):
        raise UsageError(
            f"module {module_name} is already loaded from {loaded}; start a new Python to export "
            f"from {folder}"
        )


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
