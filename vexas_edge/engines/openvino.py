"""OpenVINO: an optional engine, often the fastest for int8 on the CPU, and on Intel's GPUs.

No graph has been run on an Intel GPU by us; on a PC that has one, the self-test decides.
"""

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from queue import SimpleQueue
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy import ndarray

from vexas_edge.choices import Device
from vexas_edge.engines.contract import Abilities, CallSize, Engine, EngineOptions, RowGroup
from vexas_edge.engines.gpu_calls import CALLS_AT_ONCE, GpuCalls
from vexas_edge.engines.loading import refuse_external_data
from vexas_edge.errors import DeviceMemoryError, HostError, MissingEngineError
from vexas_edge.host.cache import COMPILED, cache_folder
from vexas_edge.host.libraries import load_library
from vexas_edge.host.process import default_threads

ABILITIES = Abilities(
    packages=("openvino",),
    graphs={
        "cpu": {"fp32": "fp32", "int8": "int8"},
        "intel-gpu": {"fp32": "fp32", "fp16": "fp16", "int8": "int8"},
    },
    call_sizes={
        "cpu": CallSize(rows=32, values=4 * 272 * 272 * 3),
        "intel-gpu": CallSize(rows=32, values=32 * 272 * 272 * 3),
    },
)

# OpenVINO's own names; with several Intel GPUs, "GPU" is the first.
_NAMES: dict[Device, str] = {"cpu": "CPU", "intel-gpu": "GPU"}
# As its GPU plug-in and OpenCL say it.
_NO_MEMORY = re.compile(
    r"out of (gpu )?(memory|resources)|CL_OUT_OF|CL_MEM_OBJECT_ALLOCATION|max size of memory",
    re.IGNORECASE,
)


@cache
def _library() -> Any:
    try:
        library = load_library("openvino")
    except (ImportError, OSError, RuntimeError) as error:
        raise MissingEngineError(
            f"openvino cannot be loaded ({error})",
            "install it with `python -m pip install "
            "vexas-edge[openvino]`, or use --engine onnxruntime",
        ) from error
    # Its first look at NumPy's types waits for ever if two threads have it at the same time: one
    # holds the interpreter's lock, and the other one what it waits for.
    library.Type.f32.to_dtype()
    return library


def devices() -> tuple[Device, ...]:
    """The CPU, and an Intel GPU if there is one with its driver."""
    openvino = _library()
    with _failing_clearly("cannot start"):
        found = {name.partition(".")[0] for name in openvino.Core().available_devices}
    return tuple(device for device, name in _NAMES.items() if name in found)


def start(graph: bytes, options: EngineOptions) -> Engine:
    """Load the graph on the CPU, or on an Intel GPU where that is named.

    Raises:
        HostError: another device was asked for, there is no such GPU, the graph does not load, or
            it refers to another file.
    """
    if options.device == "cuda":
        raise HostError("openvino does not run on CUDA; use --engine onnxruntime or --device cpu")
    if options.device == "intel-gpu" and "intel-gpu" not in devices():
        raise HostError(
            "openvino finds no Intel GPU; install Intel's graphics driver, or use --device cpu"
        )
    refuse_external_data(graph, "openvino")
    if options.device != "intel-gpu":
        return OpenVinoEngine(graph, options, "cpu")
    few_calls = replace(options, calls_at_once=CALLS_AT_ONCE)
    return GpuCalls(OpenVinoEngine(graph, few_calls, "intel-gpu"), options.rows, runtime=None)


class OpenVinoEngine:
    """A graph, compiled once for each number of rows that calls have had, in whole blocks.

    A graph with a fixed number of rows runs up to twice as fast as one that takes any number. So a
    call with fewer rows is filled up with rows of zeros, whose results are dropped.
    """

    name = "openvino"
    most_rows: Mapping[str, int] = MappingProxyType({})

    def __init__(self, graph: bytes, options: EngineOptions, device: Device) -> None:
        openvino = _library()
        self.device: str = device
        self._name = _NAMES[device]
        self._precision = options.precision
        self.version: str = openvino.__version__.split("-")[0]
        self.threads = options.threads or default_threads()
        self._blocked = next((group for group in options.rows if group.block), None)
        self._calls = options.calls_at_once
        with _failing_clearly("cannot load the graph"):
            self._core = openvino.Core()
            self._model = self._core.read_model(graph, b"")
        self._outputs = [output.get_any_name() for output in self._model.outputs]
        self.shapes: Mapping[str, tuple[int | None, ...]] = {
            value.get_any_name(): _shape(value)
            for value in (*self._model.inputs, *self._model.outputs)
        }
        self._compiling = threading.Lock()
        self._requests: dict[int | None, SimpleQueue[Any]] = {}
        if self._blocked and device == "cpu":
            self._requests_of(self._blocked.block)

    def run(self, feeds: Mapping[str, ndarray]) -> dict[str, ndarray]:
        """All outputs by name.

        Raises:
            DeviceMemoryError: a GPU does not have enough memory.
            HostError: it failed, or the CPU does not have enough memory.
        """
        n_rows = _rows_of(self._blocked, feeds)
        size = self._size(n_rows)
        with self._request(size) as request, self._failing_clearly("failed"):
            request.infer(self._filled(feeds, size), share_inputs=True)
            values = [request.get_output_tensor(i).data for i in range(len(self._outputs))]
            # Copies, because the next call overwrites the memory of this one's outputs.
            outputs = dict(zip(self._outputs, map(np.array, values), strict=True))
        return {name: v[:n_rows] if self._is_blocked(name) else v for name, v in outputs.items()}

    def _size(self, n_rows: int) -> int | None:
        """How many rows the graph is compiled for; a GPU's calls are filled up already."""
        if self.device != "cpu":
            return n_rows or None
        return _whole_blocks(self._blocked, n_rows)

    def _is_blocked(self, name: str) -> bool:
        return self._blocked is not None and name in self._blocked.tensors

    def _filled(self, feeds: Mapping[str, ndarray], size: int | None) -> dict[str, ndarray]:
        """The same feeds; inputs of the blocked group are filled up with zeros to `size` rows."""
        return {
            name: _with_zeros(rows, size) if size and self._is_blocked(name) else rows
            for name, rows in feeds.items()
        }

    @contextmanager
    def _request(self, size: int | None) -> Iterator[Any]:
        free = self._requests_of(size)
        request = free.get()
        try:
            yield request
        finally:
            free.put(request)

    def _requests_of(self, size: int | None) -> "SimpleQueue[Any]":
        with self._compiling, self._failing_clearly("cannot compile the graph"):
            if size not in self._requests:
                compiled = self._compiled(size)
                self._requests[size] = SimpleQueue()
                for _ in range(self._calls):
                    self._requests[size].put(compiled.create_infer_request())
            return self._requests[size]

    def _compiled(self, size: int | None) -> Any:
        model = self._model.clone()
        if size:
            inputs = {value.get_any_name(): value.partial_shape for value in model.inputs}
            blocked = {name: shape for name, shape in inputs.items() if self._is_blocked(name)}
            for shape in blocked.values():
                shape[0] = size
            model.reshape(blocked)
        return self._core.compile_model(model, self._name, self._properties())

    def _properties(self) -> dict[str, Any]:
        # By default it computes in bfloat16 or float16 where it can, which changes scores.
        found: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": self._calls}
        if self.device == "cpu":
            return {**found, "INFERENCE_NUM_THREADS": self.threads}
        if self._precision == "fp16":
            found["INFERENCE_PRECISION_HINT"] = "f16"
        # Compiling for a GPU takes long, and is kept.
        return {**found, "CACHE_DIR": str(cache_folder() / COMPILED)}

    @contextmanager
    def _failing_clearly(self, what: str) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if self.device != "cpu" and _NO_MEMORY.search(str(error)):
                raise DeviceMemoryError(
                    f"the GPU has too little free memory for openvino ({what}: {error}); close "
                    "other programs that use it, or use --device cpu"
                ) from error
            raise HostError(f"openvino {what} on {self.device}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._requests.clear()
        self._core = self._model = None  # they hold the weights


@contextmanager
def _failing_clearly(what: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise HostError(f"openvino {what}: {error}") from error


def _shape(value: Any) -> tuple[int | None, ...]:
    return tuple(None if d.is_dynamic else d.get_length() for d in value.get_partial_shape())


def _rows_of(group: RowGroup | None, feeds: Mapping[str, ndarray]) -> int:
    """How many rows the group's inputs have in a call; 0 if none of them is in it."""
    if group is None:
        return 0
    return next((len(rows) for name, rows in feeds.items() if name in group.tensors), 0)


def _whole_blocks(group: RowGroup | None, n_rows: int) -> int | None:
    """How many rows the call is filled up to; None where the graph takes any number."""
    if group is None or not group.block or not n_rows:
        return None
    return -(-n_rows // group.block) * group.block


def _with_zeros(rows: ndarray, size: int) -> ndarray:
    if len(rows) == size:
        return rows
    filled = np.zeros((size, *rows.shape[1:]), rows.dtype)
    filled[: len(rows)] = rows
    return filled
