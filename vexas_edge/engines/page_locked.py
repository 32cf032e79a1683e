"""Page-locked memory, which a GPU reads by itself, so that copies to it wait for nobody.

It is only for speed: where CUDA's runtime library is not found, or gives no such memory, ordinary
memory serves.
"""

import ctypes
import sys
from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_LINUX = ("libcudart.so.13", "libcudart.so.12")
_WINDOWS = ("cudart64_13.dll", "cudart64_12.dll")
_ON_ANY_CONTEXT = 1  # cudaHostAllocPortable


@cache
def cuda_runtime() -> Any:
    """CUDA's runtime library, which an engine has loaded already; None where it is not found."""
    for name in _WINDOWS if sys.platform == "win32" else _LINUX:
        try:
            return _declared(ctypes.CDLL(name))
        except (OSError, AttributeError):  # AttributeError: it lacks a function
            continue
    return None


def _declared(library: Any) -> Any:
    """The library, told the types that its functions take, as pointers do not fit an int."""
    allocate, free = library.cudaHostAlloc, library.cudaFreeHost
    allocate.argtypes = (ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t, ctypes.c_uint)
    free.argtypes = (ctypes.c_void_p,)
    library.cudaGetLastError.argtypes = ()
    return library


class PageLocked:
    """A piece of memory that is used again and again, and grows to the largest array it held."""

    def __init__(self, runtime: Any) -> None:
        """Take no memory yet. runtime: `cuda_runtime()`; None for ordinary memory."""
        self._runtime = runtime
        self._address: int | None = None
        self._memory: Any = bytearray()

    def array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array of anything in this memory; the next one takes its place."""
        n_bytes = prod(shape) * np.dtype(dtype).itemsize
        if n_bytes > len(self._memory):
            self._grow(n_bytes)
        return np.ndarray(shape, dtype, self._memory)

    def close(self) -> None:
        """Give the memory back. Arrays in it must not be used any more."""
        self._memory = bytearray()
        if self._address is not None:
            self._runtime.cudaFreeHost(self._address)
            self._address = None

    def _grow(self, n_bytes: int) -> None:
        self.close()
        self._address = self._allocated(n_bytes)
        if self._address is None:
            self._memory = bytearray(n_bytes)
        else:
            self._memory = (ctypes.c_uint8 * n_bytes).from_address(self._address)

    def _allocated(self, n_bytes: int) -> int | None:
        """The address of page-locked memory; None if there is none, now and for this object."""
        if self._runtime is None:
            return None
        address = ctypes.c_void_p()
        failed = self._runtime.cudaHostAlloc(ctypes.byref(address), n_bytes, _ON_ANY_CONTEXT)
        if failed or not address.value:
            # CUDA keeps the error for whoever asks next in this thread, and onnxruntime would ask.
            self._runtime.cudaGetLastError()
            self._runtime = None
            return None
        return address.value
