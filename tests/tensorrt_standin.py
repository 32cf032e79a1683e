"""A stand-in for TensorRT and CUDA, written by hand to prove our own logic where neither is there.

It computes nothing like TensorRT: of each cell the mean, of each draw the mean of its cells. It
holds us to the rules that NVIDIA documents: memory is as large as what is copied, a context has run
once before it is captured, TensorRT says None or False where it fails, CUDA a status.
"""

import ctypes
import json
import os
import signal
import time
from collections.abc import Callable
from enum import IntEnum
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

VERSION = "11.4.0"
WIDTH = 2  # of an encoding
GRAPH = {"canvas_px": 8, "draw_size": 3}


def graph_bytes(**changed: Any) -> bytes:
    """What stands for an ONNX file. `inputs`: their declared shapes by name."""
    px, draw_size = GRAPH["canvas_px"], GRAPH["draw_size"]
    inputs = {"cells": [-1, px, px, 3], "draws": [-1, draw_size]}
    return json.dumps({"inputs": inputs, **changed}).encode()


def description_of(*layers: tuple[str, str], kind: str = "CaskConvolution") -> str:
    """An inspector's JSON, in TensorRT 11's form: (name, type of what it takes) of each layer."""
    return json.dumps(
        {
            "Layers": [
                {
                    "Name": name,
                    "LayerType": kind,
                    "Inputs": [{"Name": "x", "Dimensions": [1], "Datatype": datatype}],
                    "Outputs": [{"Name": "y", "Dimensions": [1], "Datatype": datatype}],
                }
                for name, datatype in layers
            ],
            "I/O Tensors": [],
        }
    )


class CudaError(IntEnum):
    """As `cudaError_t`."""

    cudaSuccess = 0  # noqa: N815 - CUDA's names
    cudaErrorMemoryAllocation = 2  # noqa: N815
    cudaErrorNoDevice = 100  # noqa: N815


class Severity(IntEnum):
    """Of a line in TensorRT's log."""

    ERROR = 1
    WARNING = 2


class Stream:
    """A stream; what is enqueued happens at once, or is recorded."""

    def __init__(self) -> None:
        self.recorded: list[Callable[[], None]] | None = None

    def __int__(self) -> int:
        return id(self)

    def enqueue(self, work: Callable[[], None]) -> None:
        (work() if self.recorded is None else self.recorded.append(work))


class Standin:
    """The two packages, what they were asked to do, and how they are told to fail.

    failing: statuses of CUDA's calls by name. describes: the engine's inspector, JSON. configs: of
    every build. memory: what is allocated, by address.
    """

    def __init__(self) -> None:
        self.failing: dict[str, CudaError] = {}
        self.describes = description_of(("conv1", "Float"), ("conv2", "Float"))
        self.fails_to_build = self.is_interrupted = False
        self.configs: list[Any] = []
        self.memory: dict[int, Any] = {}
        self.streams: dict[int, Stream] = {}
        self.launches = 0

    def modules(self) -> dict[str, ModuleType]:
        """What `sys.modules` is to hold."""
        names = ("tensorrt", "cuda", "cuda.bindings", "cuda.bindings.runtime")
        modules = {name: ModuleType(name) for name in names}
        vars(modules["tensorrt"]).update(tensorrt_names(self))
        runtime = modules["cuda.bindings.runtime"]
        vars(runtime).update(cuda_names(self))
        modules["cuda.bindings"].runtime = runtime  # type: ignore[attr-defined]
        return modules

    def allocate(self, size: int) -> int:
        memory = (ctypes.c_uint8 * size)(*[0xA5] * size)
        self.memory[ctypes.addressof(memory)] = memory
        return ctypes.addressof(memory)

    def copy(self, to: int, of: int, size: int) -> None:
        for address in (to, of):
            assert size <= len(self.memory[address]), "copied past the end of an allocation"
        ctypes.memmove(to, of, size)

    def array(self, address: int, shape: Any, dtype: Any) -> np.ndarray:
        return np.frombuffer(self.memory[address], dtype)[: int(np.prod(shape))].reshape(shape)


def cuda_names(standin: Standin) -> dict[str, Any]:
    """What `cuda.bindings.runtime` holds."""
    success = CudaError.cudaSuccess

    def call(name: str, does: Callable[..., Any]) -> Callable[..., tuple[Any, ...]]:
        def called(*arguments: Any) -> tuple[Any, ...]:
            status = standin.failing.get(name, success)
            if status is not success:
                return (status, None)
            value = does(*arguments)
            return (status,) if value is None else (status, value)

        return called

    def launch(work: list[Callable[[], None]], stream: Stream) -> None:
        standin.launches += 1
        for each in work:
            stream.enqueue(each)

    def copy(to: int, of: int, size: int, kind: int, stream: Stream) -> None:
        assert kind in (1, 2)
        stream.enqueue(lambda: standin.copy(to, of, size))

    def end_capture(stream: Stream) -> Any:
        recorded, stream.recorded = stream.recorded, None
        return recorded

    def create_stream() -> Stream:
        stream = Stream()
        standin.streams[int(stream)] = stream
        return stream

    def free(address: int) -> None:
        del standin.memory[address]

    gpu = SimpleNamespace(name=b"NVIDIA Stand-in", major=8, minor=9)
    calls: dict[str, Callable[..., Any]] = {
        "cudaGetDeviceCount": lambda: 1,
        "cudaGetDeviceProperties": lambda _: gpu,
        "cudaDriverGetVersion": lambda: 13000,
        "cudaGetErrorName": lambda status: status.name.encode(),
        "cudaGetErrorString": lambda _: b"in words",
        "cudaMalloc": standin.allocate,
        "cudaMallocHost": standin.allocate,
        "cudaFree": free,
        "cudaFreeHost": free,
        "cudaMemcpyAsync": copy,
        "cudaStreamCreate": create_stream,
        "cudaStreamDestroy": lambda stream: standin.streams.pop(int(stream)) and None,
        "cudaStreamSynchronize": lambda _: time.sleep(0.001),  # others may run meanwhile
        "cudaStreamBeginCapture": lambda stream, _: setattr(stream, "recorded", []),
        "cudaStreamEndCapture": end_capture,
        "cudaGraphInstantiate": lambda graph, _: graph,
        "cudaGraphLaunch": launch,
        "cudaGraphDestroy": lambda _: None,
        "cudaGraphExecDestroy": lambda _: None,
    }
    return {
        "cudaError_t": CudaError,
        "cudaMemcpyKind": SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2),
        "cudaStreamCaptureMode": SimpleNamespace(cudaStreamCaptureModeThreadLocal=1),
        **{name: call(name, does) for name, does in calls.items()},
    }


def tensorrt_names(standin: Standin) -> dict[str, Any]:
    """What `tensorrt` holds, of what we use."""

    class ILogger:
        pass

    class IProgressMonitor:
        pass

    class Builder:
        def __init__(self, log: Any) -> None:
            self.log = log

        def create_network(self) -> Any:
            return SimpleNamespace(graph=None)

        def create_builder_config(self) -> "Config":
            standin.configs.append(Config())
            return standin.configs[-1]

        def create_optimization_profile(self) -> Any:
            shapes: dict[str, Any] = {}
            return SimpleNamespace(
                shapes=shapes,
                set_shape=lambda name, min, opt, max: shapes.update({name: [min, opt, max]}),
            )

        def build_serialized_network(self, network: Any, config: "Config") -> Any:
            return build(standin, self.log, network, config)

    class OnnxParser:
        def __init__(self, network: Any, _: Any) -> None:
            self.network, self.num_errors = network, 0

        def parse(self, graph: bytes) -> bool:
            content = json.loads(graph)
            self.num_errors = len(content.get("errors", []))
            self.get_error = content.get("errors", []).__getitem__
            tensors = [SimpleNamespace(name=n, shape=s) for n, s in content["inputs"].items()]
            self.network.get_input, self.network.num_inputs = tensors.__getitem__, len(tensors)
            return not self.num_errors

    class Runtime:
        def __init__(self, log: Any) -> None:
            self.log = log

        def deserialize_cuda_engine(self, plan: bytes) -> "Engine | None":
            if plan.startswith(b"{"):
                return Engine(standin, json.loads(plan))
            self.log.log(Severity.WARNING, "never mind")
            self.log.log(Severity.ERROR, "the plan is of another version")
            return None

    return {
        "__version__": VERSION,
        "ILogger": ILogger,
        "IProgressMonitor": IProgressMonitor,
        "Builder": Builder,
        "OnnxParser": OnnxParser,
        "Runtime": Runtime,
        "BuilderFlag": SimpleNamespace(TF32="TF32", REFIT="REFIT"),
        "ProfilingVerbosity": SimpleNamespace(DETAILED="DETAILED"),
        "LayerInformationFormat": SimpleNamespace(JSON="JSON"),
        "TensorIOMode": SimpleNamespace(INPUT="INPUT", OUTPUT="OUTPUT"),
        "nptype": np.dtype,
    }


class Config:
    """A builder's configuration, its flags as they are by default."""

    def __init__(self) -> None:
        self.flags = {"TF32"}
        self.profiling_verbosity = "LAYER_NAMES_ONLY"
        self.progress_monitor: Any = None
        self.profiles: list[dict[str, Any]] = []
        self.timings = b""

    def clear_flag(self, flag: str) -> None:
        self.flags.discard(flag)

    def set_flag(self, flag: str) -> None:
        self.flags.add(flag)

    def add_optimization_profile(self, profile: Any) -> int:
        self.profiles.append(profile.shapes)
        return len(self.profiles) - 1

    def create_timing_cache(self, content: bytes) -> bytes:
        return content

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.timings = cache
        return True

    def get_timing_cache(self) -> Any:
        return SimpleNamespace(serialize=lambda: self.timings + b"+1")


def build(standin: Standin, log: Any, network: Any, config: Config) -> bytes | None:
    """Two steps of one phase, then the plan."""
    monitor = config.progress_monitor
    monitor.phase_start("Tactics", None, 2)
    if standin.is_interrupted:
        os.kill(os.getpid(), signal.SIGINT)
    for step in range(2):
        if not monitor.step_complete("Tactics", step):
            return None
    monitor.phase_finish("Tactics")
    if standin.fails_to_build:
        log.log(Severity.ERROR, "no kernel for it")
        return None
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    declared = {tensor.name: tensor.shape for tensor in inputs}
    return json.dumps({"declared": declared, "profiles": config.profiles}).encode()


class Engine:
    """A plan, loaded."""

    def __init__(self, standin: Standin, plan: dict[str, Any]) -> None:
        self.standin, self.plan = standin, plan
        self.types = {"cells": "uint8", "draws": "int64"}
        self.outputs = {"encodings": WIDTH, "probabilities": 2, "decisions": 1}
        self.num_io_tensors = len(self.types) + len(self.outputs)

    def get_tensor_name(self, i: int) -> str:
        return [*self.types, *self.outputs][i]

    def get_tensor_mode(self, name: str) -> str:
        return "INPUT" if name in self.types else "OUTPUT"

    def get_tensor_dtype(self, name: str) -> str:
        return self.types.get(name, "float32")

    def get_tensor_shape(self, name: str) -> list[int]:
        return self.plan["declared"][name]

    def create_execution_context(self) -> "Context":
        return Context(self)

    def create_engine_inspector(self) -> Any:
        return SimpleNamespace(
            execution_context=None, get_engine_information=lambda _: self.standin.describes
        )


class Context:
    """One profile's shapes and addresses."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.shapes: dict[str, list[int]] = {}
        self.addresses: dict[str, int] = {}
        self.has_run = False

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        assert stream in self.engine.standin.streams
        self.profile = self.engine.plan["profiles"][profile]
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = list(shape)
        return self.profile[name] == [list(shape)] * 3

    def get_tensor_shape(self, name: str) -> list[int]:
        if name in self.shapes:
            return self.shapes[name]
        rows = self.shapes["cells" if name == "encodings" else "draws"][0]
        return [rows, self.engine.outputs[name]]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        found = self.engine.standin.streams[stream]
        assert self.has_run or found.recorded is None, "captured before its first run"
        self.has_run = True
        found.enqueue(self._compute)
        return True

    def _compute(self) -> None:
        at = {
            name: self.engine.standin.array(
                address, self.get_tensor_shape(name), self.engine.get_tensor_dtype(name)
            )
            for name, address in self.addresses.items()
        }
        means = at["cells"].mean((1, 2, 3), dtype=np.float32) / 255
        drawn = means[at["draws"]].mean(1)
        at["encodings"][:] = np.stack([means, 1 - means], axis=1)
        at["probabilities"][:] = np.stack([drawn, 1 - drawn], axis=1)
        at["decisions"][:] = drawn[:, None]
