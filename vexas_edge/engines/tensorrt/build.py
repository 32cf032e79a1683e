"""Building a TensorRT plan from an ONNX graph.

This takes minutes, reports its progress, and can be ended by Ctrl-C.

Networks are strongly typed since TensorRT 11, so the plan computes in the types that the graph
states. What the builder could still change is fixed here: no TF32, which has 10 bits of mantissa in
place of float32's 23, and no REFIT, which may drop a bias according to NVIDIA's release notes.
"""

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from vexas_edge.engines.contract import RowGroup
from vexas_edge.engines.tensorrt.nvidia import given, log, tensorrt
from vexas_edge.engines.tensorrt.plans import Gpu, buckets_for, input_shape, timings_key
from vexas_edge.errors import HostError
from vexas_edge.host.cache import find, store
from vexas_edge.talk import Say

_TIMINGS = "tensorrt-timings"
_SECONDS_PER_LINE = 10.0


def plan_from_graph(graph: bytes, rows: Sequence[RowGroup], gpu: Gpu, report: Say) -> bytes:
    """The graph's plan, with one profile per bucket of rows, in ascending order.

    The timings of kernels are kept in the cache, for other graphs too.

    Raises:
        HostError: TensorRT does not accept the graph, or fails.
        KeyboardInterrupt: Ctrl-C was pressed; the build ends after its current step.
    """
    builder = tensorrt.Builder(log())
    network = given(builder.create_network(), "making a network")
    _parse(graph, network)
    config = _config(builder, network, rows)
    timings = find(_TIMINGS, timings_key(gpu), same="name").content
    config.set_timing_cache(config.create_timing_cache(timings or b""), ignore_mismatch=False)
    monitor = _Monitor(report)
    config.progress_monitor = monitor
    with _ended_by_interrupt(monitor):
        plan = builder.build_serialized_network(network, config)
    plan = bytes(given(plan, "building the engine"))
    store(_TIMINGS, timings_key(gpu), bytes(config.get_timing_cache().serialize()))
    return plan


def _parse(graph: bytes, network: Any) -> None:
    parser = tensorrt.OnnxParser(network, log())
    if not parser.parse(graph):
        errors = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise HostError(
            f"tensorrt {tensorrt.__version__} does not accept the graph: {errors}; "
            "`vexas-workshop calibrate preflight` says what it refuses, or use --engine onnxruntime"
        )


def _config(builder: Any, network: Any, rows: Sequence[RowGroup]) -> Any:
    config = given(builder.create_builder_config(), "making a configuration")
    config.clear_flag(tensorrt.BuilderFlag.TF32)
    # The detailed description says what each layer computes in.
    config.profiling_verbosity = tensorrt.ProfilingVerbosity.DETAILED
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    for bucket in buckets_for(rows):
        profile = builder.create_optimization_profile()
        for tensor in inputs:
            shape = input_shape(tensor.name, tuple(tensor.shape), bucket, rows)
            profile.set_shape(tensor.name, shape, shape, shape)  # least, best, most
        config.add_optimization_profile(profile)
    return config


class _Monitor(tensorrt.IProgressMonitor):  # type: ignore[misc]
    """Reports the progress of a build every few seconds; TensorRT calls it from its threads."""

    def __init__(self, report: Say) -> None:
        super().__init__()
        self.stopped = False
        self._report = report
        self._n_steps: dict[str, int] = {}
        self._next = time.monotonic()

    def phase_start(self, phase_name: str, _parent: str | None, num_steps: int) -> None:
        self._n_steps[phase_name] = num_steps

    def step_complete(self, phase_name: str, step: int) -> bool:
        """Report if it is time to; returns whether the build shall go on."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _SECONDS_PER_LINE
            self._report(f"building: {phase_name}, {step + 1} of {self._n_steps[phase_name]}")
        return not self.stopped

    def phase_finish(self, phase_name: str) -> None:
        self._n_steps.pop(phase_name, None)

    def stop(self, *_: object) -> None:
        """Have TensorRT end the build after its current step."""
        self.stopped = True


@contextmanager
def _ended_by_interrupt(monitor: _Monitor) -> Iterator[None]:
    """Let Ctrl-C end the build after a step, since no exception may pass through the builder."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, monitor.stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if monitor.stopped:
        raise KeyboardInterrupt
