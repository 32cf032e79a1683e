"""Building a TensorRT plan from an ONNX graph, of the part that gives the blocked rows' outputs.

With TensorRT for RTX this takes seconds and needs no GPU; with the full one it takes minutes, on
the very GPU. It reports its progress, and can be ended by Ctrl-C.

Networks are strongly typed since TensorRT 11, so the plan computes in the types that the graph
states. What the builder could still change is fixed here: no TF32, which has 10 bits of mantissa in
place of float32's 23, and no REFIT, which may drop a bias according to NVIDIA's release notes.
"""

import signal
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.tensorrt.library import NAME, given, log, tensorrt
from vexas_edge.engines.tensorrt.plans import MOST_ROWS, USUAL_ROWS, blocked_rows, input_shape
from vexas_edge.engines.tensorrt.proof import Layer, layers_from_log
from vexas_edge.errors import HostError
from vexas_edge.talk import Say

_SECONDS_PER_LINE = 10.0


@dataclass(frozen=True, kw_only=True)
class Built:
    """A plan, and its layers as the builder described them; none if it did not."""

    plan: bytes
    layers: tuple[Layer, ...]


def plan_from_graph(graph: bytes, options: EngineOptions, capabilities: Sequence[str]) -> Built:
    """The graph's plan.

    Args:
        capabilities: of the GPUs that it is for; empty for this PC's.

    Raises:
        HostError: TensorRT does not accept the graph, or fails.
        KeyboardInterrupt: Ctrl-C was pressed; the build ends after its current step.
    """
    blocked = blocked_rows(options.rows).tensors
    builder = tensorrt.Builder(log())
    network = given(builder.create_network(), "making a network")
    _parse(graph, network)
    for output in [network.get_output(i) for i in range(network.num_outputs)]:
        if output.name not in blocked:
            network.unmark_output(output)
    config = _config(builder, network, blocked)
    _name_gpus(config, capabilities)
    config.progress_monitor = monitor = _Monitor(options.report)
    log().layers = ""
    log().last_errors()
    with _ended_by_interrupt(monitor):
        plan = builder.build_serialized_network(network, config)
    plan = bytes(given(plan, "building the engine"))
    return Built(plan=plan, layers=layers_from_log(log().layers))


def _parse(graph: bytes, network: Any) -> None:
    parser = tensorrt.OnnxParser(network, log())
    if not parser.parse(graph):
        log().last_errors()  # the parser has the same
        errors = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise HostError(
            f"{NAME} does not accept the graph: {errors}; `vexas-workshop calibrate preflight` "
            "says what it refuses, or use --engine onnxruntime"
        )


def _config(builder: Any, network: Any, blocked: Collection[str]) -> Any:
    config = given(builder.create_builder_config(), "making a configuration")
    config.clear_flag(tensorrt.BuilderFlag.TF32)
    # The detailed description says what each layer computes in.
    config.profiling_verbosity = tensorrt.ProfilingVerbosity.DETAILED
    profile = builder.create_optimization_profile()
    for tensor in [network.get_input(i) for i in range(network.num_inputs)]:
        # No output needs the inputs of the other rows, but they stay: one row of each is enough.
        sizes = (1, USUAL_ROWS, MOST_ROWS) if tensor.name in blocked else (1, 1, 1)
        least, usual, most = (input_shape(tensor.name, tuple(tensor.shape), n) for n in sizes)
        profile.set_shape(tensor.name, least, usual, most)
    config.add_optimization_profile(profile)
    return config


def _name_gpus(config: Any, capabilities: Sequence[str]) -> None:
    """Have the plan run on GPUs of these capabilities; TensorRT for RTX alone can do that."""
    if not capabilities:
        return
    config.num_compute_capabilities = len(capabilities)
    for index, capability in enumerate(capabilities):
        named = getattr(tensorrt.ComputeCapability, f"SM{capability.replace('.', '')}")
        given(config.set_compute_capability(named, index), f"naming GPUs of {capability}")


class _Monitor(tensorrt.IProgressMonitor):  # type: ignore[misc]
    """Reports the progress of a build every few seconds; TensorRT calls it from its threads."""

    def __init__(self, report: Say) -> None:
        super().__init__()
        self.stopped = False
        self._report = report
        self._n_steps: dict[str, int] = {}
        self._next = time.monotonic() + _SECONDS_PER_LINE

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
