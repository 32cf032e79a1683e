"""A GPU made up for the tests: onnxruntime's sessions on CUDA compute on the CPU in truth.

The card fails as onnxruntime does where a call has more rows than it has memory for.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from vexas_edge.engines import onnxruntime as module
from vexas_edge.host.libraries import load_library

onnxruntime = load_library("onnxruntime")
states = load_library("onnxruntime.capi.onnxruntime_pybind11_state")

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
# As an H100 wrote it.
NO_MEMORY = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv "
    "node. Name:'conv' Status Message: bfc_arena.cc:376 void* BFCArena::AllocateRawInternal("
    "size_t, bool) Available memory of 1048576 is smaller than requested bytes of 4194304"
)


@dataclass
class Card:
    """The made-up GPU.

    most_rows: how many images a call may have.
    settings: the provider options and further arguments of every session.
    calls: the number of images of every call that was computed.
    n_failed: how many calls were not, for lack of memory.
    most_at_once: how many calls have run at the same time.
    """

    most_rows: int
    settings: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    n_failed: int = 0
    most_at_once: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def computing(self, n_rows: int) -> Iterator[None]:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            if n_rows > self.most_rows:
                self.n_failed += 1
                raise states.RuntimeException(NO_MEMORY)
            yield
        finally:
            with self._lock:
                self._now -= 1
                self.calls += [n_rows] if n_rows <= self.most_rows else []


class Session:
    """A session on the card: one of the CPU that says otherwise."""

    def __init__(self, card: Card, real: Any) -> None:
        self._card, self._real = card, real
        self.get_inputs, self.get_outputs = real.get_inputs, real.get_outputs

    def get_providers(self) -> list[str]:
        return [CUDA, CPU]

    def run(self, outputs: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        (n_rows,) = [len(v) for v in feeds.values() if v.ndim == 4] or [0]
        with self._card.computing(n_rows):
            return self._real.run(outputs, feeds)


@contextmanager
def simulated_card(most_rows: int = 1000) -> Iterator[Card]:
    """A PC with such a card, as long as this lasts."""
    card, real = Card(most_rows), onnxruntime.InferenceSession

    def session(graph: bytes, options: Any, providers: Sequence[Any], **more: Any) -> Any:
        if providers == [CPU]:
            return real(graph, options, providers)
        if isinstance(providers[0], tuple):  # not the probe
            card.settings.append((providers[0][1], more))
        off = more.get("disabled_optimizers")
        return Session(card, real(graph, options, [CPU], disabled_optimizers=off))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
        patch.setattr(onnxruntime, "InferenceSession", session)
        patch.setattr(module, "load_cuda", lambda _: ())
        patch.setattr(module, "free_gpu_memory_mib", lambda: 8192)
        module._cuda_failure.cache_clear()
        yield card
    module._cuda_failure.cache_clear()
