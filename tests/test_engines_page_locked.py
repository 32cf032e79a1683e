"""Page-locked memory is reused, grows, is given back, and is done without where there is none."""

import ctypes
import sys
from typing import Any

import numpy as np
import pytest

from vexas_edge.engines.page_locked import PageLocked, cuda_runtime


class Runtime:
    """CUDA's runtime as far as it is used: it counts what it gives and takes back."""

    def __init__(self, *, most: int = 1 << 20) -> None:
        self.most = most
        self.held: dict[int, Any] = {}
        self.sizes: list[int] = []
        self.asked_for_errors = 0

    def cudaHostAlloc(self, pointer: Any, n_bytes: int, flags: int) -> int:  # noqa: N802
        assert flags == 1
        if n_bytes > self.most:
            return 2
        memory = ctypes.create_string_buffer(n_bytes)
        pointer._obj.value = ctypes.addressof(memory)
        self.held[pointer._obj.value] = memory
        self.sizes.append(n_bytes)
        return 0

    def cudaFreeHost(self, address: int) -> int:  # noqa: N802
        del self.held[address]
        return 0

    def cudaGetLastError(self) -> int:  # noqa: N802
        self.asked_for_errors += 1
        return 2


def test_memory_is_used_again_and_grows() -> None:
    runtime = Runtime()
    memory = PageLocked(runtime)
    small = memory.array((2, 3), np.uint8)
    small[...] = 7
    assert memory.array((6,), np.uint8).tolist() == [7] * 6
    large = memory.array((4, 5), np.int64)
    large[...] = np.arange(20).reshape(4, 5)
    assert large.sum() == 190
    assert memory.array((1, 2), np.float32).shape == (1, 2)
    assert runtime.sizes == [6, 160]
    assert len(runtime.held) == 1
    memory.close()
    memory.close()
    assert runtime.held == {}


def test_an_array_may_have_no_rows() -> None:
    assert PageLocked(Runtime()).array((0, 10), np.int64).shape == (0, 10)


@pytest.mark.parametrize("runtime", [None, Runtime(most=0)])
def test_ordinary_memory_serves_where_there_is_no_other(runtime: Any) -> None:
    memory = PageLocked(runtime)
    for n in (3, 5):
        array = memory.array((n,), np.int64)
        array[...] = n
        assert array.sum() == n * n
    memory.close()
    if runtime:
        assert runtime.asked_for_errors == 1  # so that onnxruntime does not take it for its own


def test_a_library_that_is_not_there_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def absent(name: str) -> None:
        asked.append(name)
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", absent)
    for platform in ("linux", "win32"):
        monkeypatch.setattr(sys, "platform", platform)
        cuda_runtime.cache_clear()
        assert cuda_runtime() is None
    cuda_runtime.cache_clear()
    assert asked == ["libcudart.so.13", "libcudart.so.12", "cudart64_13.dll", "cudart64_12.dll"]
