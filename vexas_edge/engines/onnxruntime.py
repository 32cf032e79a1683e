"""onnxruntime, the reference engine: on every CPU, and on CUDA where its GPU build is installed."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from numpy import ndarray

from vexas_edge.choices import Device
from vexas_edge.engines.contract import Abilities, CallSize, EngineOptions
from vexas_edge.errors import HostError, MissingEngineError
from vexas_edge.host.libraries import load_library
from vexas_edge.host.process import default_threads

# Four cells of 272 px, or 32 small ones: larger calls gain no speed on a CPU and cost memory.
_CALL_SIZE = CallSize(rows=32, values=4 * 272 * 272 * 3)

ABILITIES = Abilities(
    packages=("onnxruntime", "onnxruntime-gpu"),
    graphs={"cpu": {"fp32": "fp32", "int8": "int8"}, "cuda": {"fp32": "fp32", "fp16": "fp16"}},
    call_sizes={"cpu": _CALL_SIZE, "cuda": _CALL_SIZE},
)

_CUDA = "CUDAExecutionProvider"
# The smallest possible graph, which returns the one float that it is given.
_NOTHING = bytes.fromhex(
    "080a3a370a100a017812017922084964656e746974791201675a0f0a0178120a0a08080112040a020801"
    "620f0a0179120a0a08080112040a02080142040a001012"
)
_ERROR = 3  # onnxruntime's log level that leaves warnings out


@cache
def _library() -> Any:
    try:
        return load_library("onnxruntime")
    except ImportError as error:
        raise MissingEngineError(
            f"onnxruntime cannot be loaded ({error})",
            "on Windows install the Microsoft Visual C++ "
            "runtime (the `msvc-runtime` wheel brings it without admin rights)",
        ) from error


@cache
def _failures() -> tuple[type[Exception], ...]:
    """The exceptions of a device that fails. Wrong feeds raise others, which are bugs of ours."""
    pybind = load_library("onnxruntime.capi.onnxruntime_pybind11_state")
    return (pybind.Fail, pybind.RuntimeException, pybind.EPFail)


def devices() -> tuple[Device, ...]:
    """The devices that graphs really run on: a build with CUDA may lack a GPU or its libraries."""
    return ("cpu", "cuda") if _runs_cuda() else ("cpu",)


@cache
def _runs_cuda() -> bool:
    if _CUDA not in _library().get_available_providers():
        return False
    failures: tuple[type[Exception], ...] = (RuntimeError, *_failures())
    try:
        probe = _library().InferenceSession(_NOTHING, _session_options(1), [_CUDA])
    except failures:
        return False
    return _CUDA in probe.get_providers()


def start(graph: bytes, options: EngineOptions) -> "OnnxRuntimeEngine":
    """Load the graph on the device that the options name.

    Raises:
        HostError: CUDA was asked for and is not available, or the graph does not load.
    """
    onnxruntime = _library()
    if options.device == "cuda" and _CUDA not in onnxruntime.get_available_providers():
        raise HostError(
            f"device cuda was asked for, but this onnxruntime {onnxruntime.__version__} has no "
            "CUDA support; install onnxruntime-gpu in place of onnxruntime, or use --device cpu"
        )
    threads = options.threads or default_threads()
    wants_cuda = options.device != "cpu" and _runs_cuda()
    providers: list[Any] = [(_CUDA, {"use_tf32": "0"})] if wants_cuda else []
    try:
        session = onnxruntime.InferenceSession(
            graph,
            _session_options(threads // options.calls_at_once),
            [*providers, "CPUExecutionProvider"],
        )
    except Exception as error:
        raise HostError(f"onnxruntime cannot load the graph: {error}") from error
    got_cuda = _CUDA in session.get_providers()
    if options.device == "cuda" and not got_cuda:
        raise HostError(
            "device cuda was asked for, but onnxruntime fell back to the CPU: "
            "no usable NVIDIA GPU, driver or CUDA libraries; use --device cpu or install them"
        )
    return OnnxRuntimeEngine(session, "cuda" if got_cuda else "cpu", threads)


def _session_options(threads: int) -> Any:
    options = _library().SessionOptions()
    options.intra_op_num_threads = max(1, threads)
    options.inter_op_num_threads = 1
    # Spinning threads slow down everything else on a shared PC, and our own decoding most of all.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # All weights must be in the graph that was hashed; one that points to other files is refused.
    nowhere = str(Path(__file__).with_name("no external data"))
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", nowhere
    )
    options.log_severity_level = _ERROR
    return options


class OnnxRuntimeEngine:
    """A loaded onnxruntime session."""

    name = "onnxruntime"
    most_rows: Mapping[str, int] = MappingProxyType({})

    def __init__(self, session: Any, device: str, threads: int) -> None:
        self.version: str = _library().__version__
        self.device = device
        self.threads = threads
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]
        self.shapes: Mapping[str, tuple[int | None, ...]] = {
            value.name: tuple(d if isinstance(d, int) else None for d in value.shape)
            for value in (*session.get_inputs(), *session.get_outputs())
        }

    def run(self, feeds: Mapping[str, ndarray]) -> dict[str, ndarray]:
        """All outputs by name.

        Raises:
            HostError: the device failed or does not have enough memory.
        """
        try:
            values = self._session.run(self._outputs, dict(feeds))
        except _failures() as error:
            raise HostError(f"onnxruntime failed on {self.device}: {error}") from error
        return dict(zip(self._outputs, values, strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._session = None
