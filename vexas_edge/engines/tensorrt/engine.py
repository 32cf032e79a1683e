"""The TensorRT engine: it finds or builds a graph's plan and runs it.

Building takes minutes, so it is never done unasked: a plan is looked up in this PC's cache, where
`vexas-edge prepare` or `vexas-workshop export engine` puts it.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Self

import numpy as np
from numpy import ndarray

from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.loading import refuse_external_data
from vexas_edge.engines.tensorrt.build import plan_from_graph
from vexas_edge.engines.tensorrt.nvidia import (
    allocated,
    captured,
    checked,
    given,
    log,
    runtime,
    tensorrt,
    this_gpu,
)
from vexas_edge.engines.tensorrt.plans import (
    bucket_of,
    buckets_for,
    fill,
    input_shape,
    most_rows,
    plan_key,
    without_padding,
)
from vexas_edge.engines.tensorrt.proof import proved
from vexas_edge.errors import HostError
from vexas_edge.host.cache import find, store
from vexas_edge.host.process import default_threads

_PLAN = "tensorrt-plan"


def engine_from_graph(graph: bytes, options: EngineOptions) -> "TensorRtEngine":
    """An engine with the graph's plan from this PC's cache; builds it if the options allow that.

    A new plan is kept only if its layers are proved to compute in `options.precision`.

    Raises:
        HostError: the CPU was asked for, there is no GPU, the graph refers to another file or is
            not accepted, there is no plan and none may be built, or the new plan computes in
            something else.
    """
    if options.device == "cpu":
        raise HostError(
            "tensorrt does not run on the CPU; use --engine onnxruntime or --device cuda"
        )
    refuse_external_data(graph, "tensorrt")
    buckets, gpu = buckets_for(options.rows), this_gpu()
    key = plan_key(graph, options.precision, options.rows, gpu)
    found = find(_PLAN, key, same="graph")
    if found.content is not None:
        return TensorRtEngine(found.content, buckets, options)
    if not options.build:
        raise HostError(
            f"tensorrt has no engine for this graph on this PC: {found.missed}; build it, which "
            "takes minutes, with `vexas-edge prepare --bundle BUNDLE` or `vexas-workshop export "
            "engine BUNDLE`, or use --engine onnxruntime"
        )
    plan = plan_from_graph(graph, options.rows, gpu, options.report)
    with ExitStack() as closing_if_refused:
        engine = closing_if_refused.enter_context(TensorRtEngine(plan, buckets, options))
        for bucket in buckets:
            words = proved(engine.description(bucket), options.precision)
            options.report(f"built for {bucket} rows per call: {words}")
        store(_PLAN, key, plan)
        closing_if_refused.pop_all()
    return engine


class TensorRtEngine:
    """A loaded plan. What a bucket needs is made when the bucket is first used.

    Calls from several threads take turns, since the GPU computes one at a time anyway.
    """

    name = "tensorrt"
    device = "cuda"

    def __init__(self, plan: bytes, buckets: Sequence[int], options: EngineOptions) -> None:
        self.version: str = tensorrt.__version__
        self.threads = options.threads or default_threads()
        self.most_rows: Mapping[str, int] = most_rows(options.rows)
        self._rows = options.rows
        self._sizes = tuple(buckets)
        self._buckets: dict[int, _Bucket] = {}
        self._turn = threading.Lock()
        with ExitStack() as self._closing:
            self._runtime = tensorrt.Runtime(log())
            self._engine = given(self._runtime.deserialize_cuda_engine(plan), "loading the engine")
            self._stream = checked(runtime.cudaStreamCreate())
            self._closing.callback(runtime.cudaStreamDestroy, self._stream)
            largest = self._bucket(self._sizes[-1])
            self._closing = (
                self._closing.pop_all()
            )  # nothing failed, so keep everything until it is closed
        buffers = {**largest.inputs, **largest.outputs}
        # Only the number of rows is free, in every input and output.
        self.shapes: Mapping[str, tuple[int | None, ...]] = {
            name: (None, *buffer.host.shape[1:]) for name, buffer in buffers.items()
        }

    def run(self, feeds: Mapping[str, ndarray]) -> dict[str, ndarray]:
        """All outputs by name.

        Raises:
            HostError: the call has more rows than the engine was built for, or the GPU failed.
        """
        n_rows = {name: len(rows) for name, rows in feeds.items()}
        with self._turn:
            bucket = self._bucket(bucket_of(n_rows, self._rows, self._sizes))
            for name, buffer in bucket.inputs.items():
                fill(buffer.host, name, feeds[name])
            checked(runtime.cudaGraphLaunch(bucket.work, self._stream))
            checked(runtime.cudaStreamSynchronize(self._stream))
            outputs = {name: buffer.host for name, buffer in bucket.outputs.items()}
            return without_padding(outputs, n_rows, self._rows)

    def description(self, bucket: int) -> str:
        """TensorRT's description of the engine's layers in a bucket, as JSON."""
        inspector = given(self._engine.create_engine_inspector(), "describing the engine")
        # Without a context whose shapes are set, it does not say what a layer takes.
        inspector.execution_context = self._bucket(bucket).context
        text: str = inspector.get_engine_information(tensorrt.LayerInformationFormat.JSON)
        return text

    def _bucket(self, size: int) -> "_Bucket":
        if size not in self._buckets:
            profile = self._sizes.index(size)
            shapes = partial(input_shape, bucket=size, rows=self._rows)
            self._buckets[size] = _Bucket(
                self._engine, profile, shapes, self._stream, self._closing
            )
        return self._buckets[size]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._closing.close()
        self._buckets.clear()
        self._engine = self._runtime = None


class _Bucket:
    """What calls of one size need: a context, memory, and the work of a call as one CUDA graph."""

    def __init__(
        self,
        engine: Any,
        profile: int,
        shape_of: Callable[[str, Sequence[int]], tuple[int, ...]],
        stream: Any,
        closing: ExitStack,
    ) -> None:
        self.context = given(engine.create_execution_context(), "making a context")
        self._stream = stream
        context, doing = self.context, "preparing for a batch of fixed size"
        given(context.set_optimization_profile_async(profile, int(stream)), doing)
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        modes = {name: engine.get_tensor_mode(name) for name in names}
        inputs = [name for name in names if modes[name] == tensorrt.TensorIOMode.INPUT]
        for name in inputs:
            shape = shape_of(name, tuple(engine.get_tensor_shape(name)))
            given(context.set_input_shape(name, shape), doing)
        buffers = {}
        for name in names:
            dtype = np.dtype(tensorrt.nptype(engine.get_tensor_dtype(name)))
            buffers[name] = allocated(name, tuple(context.get_tensor_shape(name)), dtype, closing)
            given(context.set_tensor_address(name, buffers[name].device), doing)
        self.inputs = {name: buffers[name] for name in inputs}
        self.outputs = {name: buffers[name] for name in names if name not in inputs}
        # The first run of a context does things that a CUDA graph cannot capture.
        self._enqueue()
        checked(runtime.cudaStreamSynchronize(stream))
        self.work = captured(self._enqueue, stream, closing)

    def _enqueue(self) -> None:
        """Put all the work of one call on the stream."""
        for buffer in self.inputs.values():
            buffer.upload(self._stream)
        given(self.context.execute_async_v3(int(self._stream)), "running")
        for buffer in self.outputs.values():
            buffer.download(self._stream)
