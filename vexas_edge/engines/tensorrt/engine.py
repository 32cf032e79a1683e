"""The TensorRT engine: it finds or builds a graph's plan and runs it.

A plan gives the outputs of the blocked rows alone, that is encodings of cells. It is never built
unasked: `vexas-edge prepare` and `vexas-workshop export engine` put plans into this PC's cache.
"""

import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict
from typing import Any, Self

import numpy as np
from numpy import ndarray

from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.loading import refuse_external_data
from vexas_edge.engines.tensorrt.build import plan_from_graph
from vexas_edge.engines.tensorrt.cuda import (
    allocated,
    captured,
    checked,
    reserved,
    runtime,
    this_gpu,
)
from vexas_edge.engines.tensorrt.keeping import keep_plan, kept_plan
from vexas_edge.engines.tensorrt.library import FOR_RTX, NAME, VERSION, given, log, tensorrt
from vexas_edge.engines.tensorrt.plans import (
    MOST_ROWS,
    Gpu,
    PlanFor,
    blocked_tensors,
    fill,
    filled_up,
    input_shape,
    kind_of,
    plan_key,
)
from vexas_edge.engines.tensorrt.proof import layers_from_inspector
from vexas_edge.errors import HostError
from vexas_edge.host.cache import Key, find, store
from vexas_edge.host.process import default_threads

_KERNELS = "tensorrt-kernels"


def engine_from_graph(graph: bytes, options: EngineOptions) -> "TensorRtEngine":
    """An engine with the graph's plan from this PC's cache; builds it if the options allow that.

    A new plan is kept only if its layers are proved to compute in `options.precision`.

    Raises:
        HostError: another device was asked for, there is no GPU, the graph refers to another file
            or is not accepted, there is no plan and none may be built, or the new plan computes in
            something else.
    """
    if options.device not in ("auto", "cuda"):
        raise HostError(
            f"tensorrt does not run on {options.device}; use --device cuda, or another --engine"
        )
    refuse_external_data(graph, "tensorrt")
    gpu = this_gpu()
    wanted = plan_for(gpu)
    found = kept_plan(graph, options, wanted)
    kernels = {**plan_key(graph, options.precision, wanted), **asdict(gpu)}
    if found.content is not None:
        return TensorRtEngine(found.content, options, kernels)
    if not options.build:
        raise HostError(
            f"tensorrt has no engine for this graph on this PC: {found.missed}; build it with "
            "`vexas-edge prepare --bundle BUNDLE` or `vexas-workshop export engine BUNDLE`, or use "
            "--engine onnxruntime"
        )
    built = plan_from_graph(graph, options, wanted.capabilities)
    with ExitStack() as closing_if_refused:
        engine = closing_if_refused.enter_context(TensorRtEngine(built.plan, options, kernels))
        layers = built.layers or layers_from_inspector(engine.description())
        keep_plan(graph, options, wanted, built.plan, layers)
        closing_if_refused.pop_all()
    return engine


def plan_for(gpu: Gpu) -> PlanFor:
    """What a plan must be for to run on this GPU."""
    if FOR_RTX:
        return PlanFor(library=NAME, capabilities=kind_of(gpu.capability) or ())
    return PlanFor(library=NAME, gpu=gpu)


class TensorRtEngine:
    """A loaded plan. What a size of calls needs is made when a call first has it.

    Calls from several threads take turns, since the GPU computes one at a time anyway.
    """

    name = "tensorrt"
    device = "cuda"
    version = VERSION

    def __init__(self, plan: bytes, options: EngineOptions, kernels: Key) -> None:
        """Load the plan.

        Args:
            kernels: of the kernels that TensorRT for RTX compiles for this GPU, in the cache.
        """
        self.threads = options.threads or default_threads()
        blocked = blocked_tensors(options.rows)
        self.most_rows: Mapping[str, int] = dict.fromkeys(blocked, MOST_ROWS)
        self._calls: dict[int, _Call] = {}
        self._turn = threading.Lock()
        with ExitStack() as closing:
            self._runtime = tensorrt.Runtime(log())
            self._engine = given(self._runtime.deserialize_cuda_engine(plan), "loading the engine")
            self._kernels = _Kernels(self._engine, kernels) if FOR_RTX else None
            self._stream = checked(runtime.cudaStreamCreate())
            closing.callback(runtime.cudaStreamDestroy, self._stream)
            self._closing = closing.pop_all()
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        self._blocked = tuple(name for name in names if name in blocked)
        # Only the number of rows is free, in every input and output.
        self.shapes: Mapping[str, tuple[int | None, ...]] = {
            name: (None, *tuple(self._engine.get_tensor_shape(name))[1:]) for name in names
        }

    def run(self, feeds: Mapping[str, ndarray]) -> dict[str, ndarray]:
        """The outputs of the blocked rows by name.

        Raises:
            DeviceMemoryError: the GPU has too little free memory for a call of this size.
            HostError: the call has more rows than the engine was built for, or the GPU failed.
        """
        n_rows = next(len(feeds[name]) for name in self._blocked if name in feeds)
        with self._turn:
            call = self._call(filled_up(n_rows))
            for name, buffer in call.inputs.items():
                if name in self._blocked:
                    fill(buffer.host, feeds[name])
            call.work()
            checked(runtime.cudaStreamSynchronize(self._stream))
            return {name: buffer.host[:n_rows].copy() for name, buffer in call.outputs.items()}

    def description(self) -> str:
        """TensorRT's description of the plan's layers in the smallest call, as JSON."""
        inspector = given(self._engine.create_engine_inspector(), "describing the engine")
        # Without a context whose shapes are set, it does not say what a layer takes.
        inspector.execution_context = self._call(1).context
        text: str = inspector.get_engine_information(tensorrt.LayerInformationFormat.JSON)
        return text

    def _call(self, size: int) -> "_Call":
        if size not in self._calls:
            with ExitStack() as closing:  # what there is no memory for leaves nothing behind
                kernels = self._kernels
                configured = kernels.config if kernels else self._engine.create_runtime_config()
                call = _Call(self._engine, configured, self._sizes(size), self._stream, closing)
                self._closing.push(closing.pop_all())
            self._calls[size] = call
        return self._calls[size]

    def _sizes(self, size: int) -> dict[str, int]:
        """The rows of each input and output in a call of this size."""
        return {name: size if name in self._blocked else 1 for name in self.shapes}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._closing.close()
        self._calls.clear()
        if self._kernels:
            self._kernels.keep()
        self._kernels = self._engine = self._runtime = None


class _Kernels:
    """The kernels that TensorRT for RTX compiles for a plan on this GPU, kept for the next run."""

    def __init__(self, engine: Any, key: Key) -> None:
        self.config = engine.create_runtime_config()
        # By default slower kernels run until those for the size of a call are compiled.
        strategies = tensorrt.DynamicShapesKernelSpecializationStrategy
        self.config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        self._compiled = self.config.create_runtime_cache()
        self._key = key
        self._before = find(_KERNELS, key, same="graph").content
        if self._before:  # the library itself rejects what was compiled for anything else
            self._compiled.deserialize(self._before)
        self.config.set_runtime_cache(self._compiled)

    def keep(self) -> None:
        """Keep what was compiled; where the cache cannot be written, it is compiled anew."""
        found = bytes(self._compiled.serialize())
        if found != self._before:
            with suppress(HostError):
                store(_KERNELS, self._key, found)


class _Call:
    """What calls of one size need: a context, memory, and their work, in a CUDA graph if it can."""

    def __init__(
        self, engine: Any, config: Any, n_rows: Mapping[str, int], stream: Any, closing: ExitStack
    ) -> None:
        """Take all memory that such a call needs, and run it once.

        Args:
            config: how the context runs; it then uses memory of ours, for this size alone.
            n_rows: of each input and output.
        """
        strategies = tensorrt.ExecutionContextAllocationStrategy
        config.set_execution_context_allocation_strategy(strategies.USER_MANAGED)
        self.context = given(engine.create_execution_context(config), "making a context")
        self._stream = stream
        context, doing = self.context, "preparing for calls of a known size"
        given(context.set_optimization_profile_async(0, int(stream)), doing)
        modes = {name: engine.get_tensor_mode(name) for name in n_rows}
        inputs = [name for name in n_rows if modes[name] == tensorrt.TensorIOMode.INPUT]
        for name in inputs:
            shape = input_shape(name, tuple(engine.get_tensor_shape(name)), n_rows[name])
            given(context.set_input_shape(name, shape), doing)
        buffers = {}
        for name in n_rows:
            dtype = np.dtype(tensorrt.nptype(engine.get_tensor_dtype(name)))
            buffers[name] = allocated(name, tuple(context.get_tensor_shape(name)), dtype, closing)
            given(context.set_tensor_address(name, buffers[name].device), doing)
        if size := context.update_device_memory_size_for_shapes():
            context.set_device_memory(reserved(size, closing), size)
        self.inputs = {name: buffers[name] for name in inputs}
        self.outputs = {name: buffers[name] for name in n_rows if name not in inputs}
        # The first run of a context does things that a CUDA graph cannot capture.
        self._enqueue()
        checked(runtime.cudaStreamSynchronize(stream))
        can_capture = not FOR_RTX or context.is_stream_capturable(int(stream))
        self._graph = captured(self._enqueue, stream, closing) if can_capture else None

    def work(self) -> None:
        """Put all the work of one call on the stream."""
        if self._graph is None:
            self._enqueue()
        else:
            checked(runtime.cudaGraphLaunch(self._graph, self._stream))

    def _enqueue(self) -> None:
        for buffer in self.inputs.values():
            buffer.upload(self._stream)
        given(self.context.execute_async_v3(int(self._stream)), "running")
        for buffer in self.outputs.values():
            buffer.download(self._stream)
