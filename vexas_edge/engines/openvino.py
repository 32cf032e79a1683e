"""OpenVINO on the CPU: an optional engine, often the fastest for int8 on Intel and AMD."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Self

import numpy as np
from numpy import ndarray

from vexas_edge.engines.contract import Device, EngineOptions
from vexas_edge.engines.loading import find_windows_runtime, refuse_external_data
from vexas_edge.errors import HostError
from vexas_edge.host.process import default_threads

find_windows_runtime()
try:
    import openvino
except ImportError as error:
    raise HostError(
        f"openvino cannot be loaded ({error}); install it with `python -m pip install "
        "vexas-edge[openvino]`, or use --engine onnxruntime"
    ) from error


def devices() -> tuple[Device, ...]:
    """Where it runs here. Its GPUs are Intel's, on which no graph of ours was ever judged."""
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
    """A graph compiled for each number of cells that a call has had, rounded up to a whole block.

    Graphs of a fixed number of cells run up to twice as fast as one that takes any number, so a
    call that has fewer cells is filled with black ones, whose encodings are dropped.
    """

    name = "openvino"
    device = "cpu"
    most_cells: int | None = None

    def __init__(self, graph: bytes, options: EngineOptions) -> None:
        self.version: str = openvino.__version__.split("-")[0]
        self.threads = options.threads or default_threads()
        self._block = options.cells_a_call
        self._calls = options.calls_at_once
        with _failing_clearly("cannot load the graph"):
            self._core = openvino.Core()
            self._model = self._core.read_model(graph, b"")
        self._outputs = [output.get_any_name() for output in self._model.outputs]
        self.shapes = {
            value.get_any_name(): _shape(value)
            for value in (*self._model.inputs, *self._model.outputs)
        }
        self._compiling = threading.Lock()
        self._requests: dict[int | None, SimpleQueue[Any]] = {}
        if self._block:
            self._requests_of(self._block)

    def run(self, feeds: Mapping[str, ndarray]) -> dict[str, ndarray]:
        """All outputs by name.

        Raises:
            HostError: it failed or has not memory enough.
        """
        n_cells = len(feeds["cells"]) if "cells" in feeds else 0
        size = -(-n_cells // self._block) * self._block if self._block and n_cells else None
        with self._request(size) as request, _failing_clearly("failed on the CPU"):
            request.infer(_filled(feeds, size), share_inputs=True)
            values = [request.get_output_tensor(i).data for i in range(len(self._outputs))]
            # Copies: the next call writes where this one's outputs lie.
            outputs = dict(zip(self._outputs, map(np.array, values), strict=True))
        if size:
            outputs["encodings"] = outputs["encodings"][:n_cells]
        return outputs

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
            shape = model.input("cells").partial_shape
            shape[0] = size
            model.reshape({"cells": shape})
        return self._core.compile_model(
            model,
            "CPU",
            {
                # Its own default is bfloat16 where the CPU has it, which moves scores.
                "INFERENCE_PRECISION_HINT": "f32",
                "INFERENCE_NUM_THREADS": self.threads,
                "NUM_STREAMS": self._calls,
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._requests.clear()


@contextmanager
def _failing_clearly(what: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise HostError(f"openvino {what}: {error}") from error


def _shape(value: Any) -> tuple[int | None, ...]:
    return tuple(None if d.is_dynamic else d.get_length() for d in value.get_partial_shape())


def _filled(feeds: Mapping[str, ndarray], size: int | None) -> dict[str, ndarray]:
    """The same feeds, black cells added up to `size`."""
    cells = feeds.get("cells")
    if cells is None or not size or len(cells) == size:
        return dict(feeds)
    padded = np.zeros((size, *cells.shape[1:]), cells.dtype)
    padded[: len(cells)] = cells
    return {**feeds, "cells": padded}
