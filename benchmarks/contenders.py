"""What a user would use instead: short scripts around each library, as in its documentation.

onnxruntime keeps its default of one thread per core; torch and OpenVINO get the same number. Each
script takes batches of cells, uint8 (8, H, W, 3), and returns encodings, float32 (8, D), of
length 1.
"""

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import torch
from torch import nn

from export.encoder import onnx_from_torch
from export.preprocessing import PREPROCESSINGS, pixels_from_cells
from vexas_edge.host.cpu import has_bfloat16
from vexas_edge.host.libraries import load_library

onnxruntime = load_library("onnxruntime")
quantization = load_library("onnxruntime.quantization")
openvino = load_library("openvino")
CalibrationDataReader: Any = quantization.CalibrationDataReader

BATCH = 8

Batches = Iterable[np.ndarray]
EncodeAll = Callable[[Batches], list[np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Material:
    """What all contenders are made from.

    cells: to calibrate on, uint8 (N, H, W, 3).
    folder: for files that are made on the way.
    """

    module: nn.Module
    preprocessing: str
    canvas_px: int
    cells: np.ndarray
    threads: int
    folder: Path

    def pixels(self, cells: np.ndarray) -> np.ndarray:
        """The network input of these cells, float32 (N, 3, H, W)."""
        return pixels_from_cells(cells, PREPROCESSINGS[self.preprocessing])

    @property
    def encoder(self) -> Path:
        """The file of the module as ONNX, made when it is first asked for."""
        path = self.folder / "encoder.onnx"
        if not path.exists():
            onnx.save(onnx_from_torch(self.module, self.canvas_px), path)
        return path


def contenders(material: Material) -> Iterator[tuple[str, EncodeAll]]:
    """The contenders with their names, each made when it is asked for."""
    torch.set_num_threads(material.threads)
    yield "torch eager", _torch(material, material.module, torch.float32, torch.contiguous_format)
    bfloat16 = has_bfloat16()
    if bfloat16:
        yield "torch bf16 channels-last", _torch_bf16(material)
    else:  # torch would emulate it, far too slowly
        click.echo("left out: torch and OpenVINO in bfloat16, which this CPU lacks", err=True)
    compiled = torch.compile(material.module)
    yield "torch.compile", _torch(material, compiled, torch.float32, torch.contiguous_format)
    yield "onnxruntime script", _onnxruntime(material, material.encoder)
    yield "onnxruntime int8, stock recipe", _onnxruntime(material, _stock_int8(material))
    model = openvino.Core().read_model(material.encoder)
    yield "openvino fp32", _openvino(material, model, "f32")
    if bfloat16:
        yield "openvino bf16", _openvino(material, model, "bf16")
    yield "openvino int8 (nncf)", _openvino(material, _nncf_int8(material, model), "f32")


def _unit(values: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.maximum(norms, 1e-12), np.float32)


def _torch(
    material: Material, module: Any, dtype: torch.dtype, layout: torch.memory_format
) -> EncodeAll:
    def encode(cells: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(material.pixels(cells)).to(dtype=dtype, memory_format=layout)
        return _unit(module(pixels).float().numpy())

    def encode_all(batches: Batches) -> list[np.ndarray]:
        with torch.inference_mode():
            return [encode(cells) for cells in batches]

    return encode_all


def _torch_bf16(material: Material) -> EncodeAll:
    module = deepcopy(material.module).to(torch.bfloat16)
    # torch's stub lacks a module's `memory_format`.
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _torch(material, module, torch.bfloat16, torch.channels_last)


def _onnxruntime(material: Material, path: Path) -> EncodeAll:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()

    def encode_all(batches: Batches) -> list[np.ndarray]:
        return [_unit(session.run(None, {given.name: material.pixels(c)})[0]) for c in batches]

    return encode_all


class _Pixels(CalibrationDataReader):
    def __init__(self, material: Material, name: str) -> None:
        self._batches = ({name: material.pixels(cells)} for cells in _in_batches(material.cells))

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def _stock_int8(material: Material) -> Path:
    prepared, quantised = (material.folder / f"{n}.onnx" for n in ("prepared", "stock-int8"))
    quantization.quant_pre_process(material.encoder, prepared, skip_symbolic_shape=True)
    name = onnx.load(prepared).graph.input[0].name
    quantization.quantize_static(
        prepared,
        quantised,
        _Pixels(material, name),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return quantised


def _nncf_int8(material: Material, model: Any) -> Any:
    nncf = load_library("nncf")
    batches = [material.pixels(cells) for cells in _in_batches(material.cells)]
    return nncf.quantize(model, nncf.Dataset(batches), subset_size=len(batches))


def _openvino(material: Material, model: Any, precision: str) -> EncodeAll:
    model = model.clone()
    model.reshape([BATCH, 3, material.canvas_px, material.canvas_px])
    config = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": material.threads,
    }
    compiled = openvino.Core().compile_model(model, "CPU", config)
    queue = openvino.AsyncInferQueue(compiled)
    found: dict[int, np.ndarray] = {}
    queue.set_callback(
        lambda request, i: found.update({i: request.get_output_tensor().data.copy()})
    )

    def encode_all(batches: Batches) -> list[np.ndarray]:
        found.clear()
        for index, cells in enumerate(batches):
            queue.start_async({0: material.pixels(cells)}, userdata=index)
        queue.wait_all()
        return [_unit(found[index]) for index in sorted(found)]

    return encode_all


def _in_batches(cells: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(cells), BATCH):
        yield cells[start : start + BATCH]
