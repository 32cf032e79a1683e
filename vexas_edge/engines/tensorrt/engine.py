"""The TensorRT engine: it finds or builds a graph's plan and runs it.

A plan gives the outputs of the blocked rows alone, that is encodings of cells. It is never built
unasked: `vexas-edge prepare` and `vexas-workshop export engine` put plans into this PC's cache.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from queue import SimpleQueue
from typing import Any, Self

from numpy import ndarray

from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.gpu_calls import CALLS_AT_ONCE
from vexas_edge.engines.loading import refuse_external_data
from vexas_edge.engines.tensorrt.build import plan_from_graph
from vexas_edge.engines.tensorrt.calls import Call
from vexas_edge.engines.tensorrt.cuda import checked, runtime, this_gpu
from vexas_edge.engines.tensorrt.keeping import keep_plan, kept_plan
from vexas_edge.engines.tensorrt.library import FOR_RTX, NAME, VERSION, given, log, tensorrt
from vexas_edge.engines.tensorrt.plans import (
    Gpu,
    PlanFor,
    blocked_rows,
    fill,
    kind_of,
    plan_key,
)
from vexas_edge.engines.tensorrt.proof import layers_from_inspector
from vexas_edge.errors import DeviceMemoryError, HostError
from vexas_edge.host.cache import Key, find, store
from vexas_edge.host.process import default_threads

_KERNELS = "tensorrt-kernels"


def engine_from_graph(graph: bytes, options: EngineOptions) -> "TensorRtEngine":
    """An engine with the graph's plan from this PC's cache; builds it if the options allow that.

    A new plan is kept only if its layers are proved to compute in `options.precision`.

    Raises:
        HostError: another device was asked for, there is no GPU, the graph refers to another file
            or is not accepted, there is no plan that loads and none may be built, or the new plan
            computes in something else.
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
    problem = found.missed
    if found.content is not None:
        try:
            return TensorRtEngine(found.content, options, kernels)
        except HostError as error:
            problem = str(error)
    if not options.build:
        raise HostError(
            f"tensorrt has no engine for this graph on this PC: {problem}; build it with "
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
    """A loaded plan. Two calls run at once, each in memory of its own: one copies, one computes.

    Every call is filled up to the same size, so that what the self-test has proved is what scores.
    Where the GPU has no memory for that size, the engine goes on with half of it.
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
        blocked = blocked_rows(options.rows)
        self.most_rows: Mapping[str, int] = dict.fromkeys(blocked.tensors, blocked.most)
        self._most = self._size = blocked.most
        self._made: list[Call] = []
        self._free: SimpleQueue[Call] = SimpleQueue()
        self._making = threading.Lock()
        checked(runtime.cudaSetDevice(0))
        self._runtime = tensorrt.Runtime(log())
        self._engine = given(self._runtime.deserialize_cuda_engine(plan), "loading the engine")
        self._kernels = _Kernels(self._engine, kernels) if FOR_RTX else None
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        self._blocked = tuple(name for name in names if name in blocked.tensors)
        # Only the number of rows is free, in every input and output.
        self.shapes: Mapping[str, tuple[int | None, ...]] = {
            name: (None, *tuple(self._engine.get_tensor_shape(name))[1:]) for name in names
        }

    def run(self, feeds: Mapping[str, ndarray]) -> dict[str, ndarray]:
        """The outputs of the blocked rows by name.

        Raises:
            DeviceMemoryError: the GPU has too little free memory for a call of this size.
            HostError: the call has more rows than the engine was opened for, or the GPU failed.
        """
        n_rows = next(len(feeds[name]) for name in self._blocked if name in feeds)
        if n_rows > self._most:
            raise HostError(
                f"this TensorRT engine takes {self._most} rows per call at most, and this call has "
                f"{n_rows}; give it fewer, or use --engine onnxruntime"
            )
        with self._free_call(n_rows) as call:
            for name, buffer in call.inputs.items():
                if name in self._blocked:
                    fill(buffer.host, feeds[name])
            call.work()
            return {name: buffer.host[:n_rows].copy() for name, buffer in call.outputs.items()}

    def description(self) -> str:
        """TensorRT's description of the plan's layers in a call, as JSON."""
        inspector = given(self._engine.create_engine_inspector(), "describing the engine")
        # Without a context whose shapes are set, it does not say what a layer takes.
        with self._free_call(1) as call:
            inspector.execution_context = call.context
            text: str = inspector.get_engine_information(tensorrt.LayerInformationFormat.JSON)
        return text

    @contextmanager
    def _free_call(self, n_rows: int) -> Iterator[Call]:
        with self._making:
            if self._free.empty() and len(self._made) < CALLS_AT_ONCE:
                self._make()
            if n_rows > self._size:
                raise DeviceMemoryError(
                    f"the GPU has no memory for a call of {n_rows} rows, but for one of "
                    f"{self._size}; use --device cpu if that is too slow"
                )
        call = self._free.get()
        try:
            yield call
        finally:
            self._free.put(call)

    def _make(self) -> None:
        """Make what one more call needs; where there is no memory for it, go on with less."""
        sizes = {name: self._size if name in self._blocked else 1 for name in self.shapes}
        config = self._kernels.config if self._kernels else self._engine.create_runtime_config()
        try:
            call = Call(self._engine, config, sizes)
        except DeviceMemoryError:
            if self._made:  # the other one serves
                return
            self._size = -(-self._size // 2)
            raise
        self._made.append(call)
        self._free.put(call)
        if self._kernels:
            self._kernels.keep()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        for _ in self._made:  # this waits for calls under way
            self._free.get().close()
        self._made.clear()
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
        self._kept = find(_KERNELS, key, same="graph").content
        if self._kept:  # the library itself rejects what was compiled for anything else
            self._compiled.deserialize(self._kept)
        self.config.set_runtime_cache(self._compiled)

    def keep(self) -> None:
        """Keep what was compiled; where that fails, it is compiled anew the next time."""
        with suppress(HostError):
            found = bytes(given(self._compiled.serialize(), "describing its kernels"))
            if found != self._kept:
                store(_KERNELS, self._key, found)
                self._kept = found
