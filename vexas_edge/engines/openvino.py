"""OpenVINO on the CPU: an optional engine, often the fastest for int8 on Intel and AMD."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy import ndarray

from vexas_edge.choices import Device
from vexas_edge.engines.contract import Abilities, CallSize, EngineOptions, RowGroup
from vexas_edge.engines.loading import refuse_external_data
from vexas_edge.errors import HostError, MissingEngineError
from vexas_edge.host.libraries import load_library
from vexas_edge.host.process import default_threads

ABILITIES = Abilities(
    packages=("openvino",),
    graphs={"cpu": {"fp32": "fp32", "int8": "int8"}},
    call_sizes={"cpu": CallSize(rows=32, values=4 * 272 * 272 * 3)},
)


@cache
def _library() -> Any:
    try:
        library = load_library("openvino")
    except ImportError as error:
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
    """The CPU, if OpenVINO can use it. Intel's GPUs are left out: no graph was judged on one."""
    openvino = _library()
    with _failing_clearly("cannot start"):
        return ("cpu",) if "CPU" in openvino.Core().available_devices else ()


def start(graph: bytes, options: EngineOptions) -> "OpenVinoEngine":
    """Load the graph on the CPU.

    Raises:
        HostError: CUDA was asked for, the graph does not load, or it refers to another file.
    """
    if options.device == "cuda":
        raise HostError("openvino does not run on CUDA; use --engine onnxruntime or --device cpu")
    refuse_external_data(graph, "openvino")
    return OpenVinoEngine(graph, options)


class OpenVinoEngine:
    """A graph, compiled once for each number of rows that calls have had, in whole blocks.

    A graph with a fixed number of rows runs up to twice as fast as one that takes any number. So a
    call with fewer rows is filled up with rows of zeros, whose results are dropped.
    """

    name = "openvino"
    device = "cpu"
    most_rows: Mapping[str, int] = MappingProxyType({})

    def __init__(self, graph: bytes, options: EngineOptions) -> None:
        openvino = _library()
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
        if self._blocked:
            self._requests_of(self._blocked.block)

    def run(self, feeds: Mapping[str, ndarray]) -> dict[str, ndarray]:
        """All outputs by name.

        Raises:
            HostError: it failed or does not have enough memory.
        """
        n_rows = _rows_of(self._blocked, feeds)
        size = _whole_blocks(self._blocked, n_rows)
        with self._request(size) as request, _failing_clearly("failed on the CPU"):
            request.infer(self._filled(feeds, size), share_inputs=True)
            values = [request.get_output_tensor(i).data for i in range(len(self._outputs))]
            # Copies, because the next call overwrites the memory of this one's outputs.
            outputs = dict(zip(self._outputs, map(np.array, values), strict=True))
        return {name: v[:n_rows] if self._is_blocked(name) else v for name, v in outputs.items()}

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
        with self._compiling, _failing_clearly("cannot compile the graph"):
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
        return self._core.compile_model(
            model,
            "CPU",
            {
                # OpenVINO's default is bfloat16 where the CPU has it, which changes scores.
                "INFERENCE_PRECISION_HINT": "f32",
                "INFERENCE_NUM_THREADS": self.threads,
                "NUM_STREAMS": self._calls,
            },
        )

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
