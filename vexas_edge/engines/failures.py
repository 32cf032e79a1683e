"""What a device's failure means: too little memory, for which smaller calls help, or another."""

import re

from vexas_edge.errors import DeviceMemoryError, HostError

# As onnxruntime, its memory arena (BFCArena), CUDA, cuDNN and cuBLAS say it. 2 is CUDA's
# cudaErrorMemoryAllocation.
_NO_MEMORY = re.compile(
    r"available memory of|failed to allocate memory|out of memory|CUDA failure 2:|BFCArena"
    r"|ALLOC(ATION)?_FAILED|cudaErrorMemoryAllocation",
    re.IGNORECASE,
)


def failure_on(device: str, doing: str, error: Exception) -> HostError:
    """The error to raise for an exception of onnxruntime while it was doing something.

    On a GPU, a failure for lack of memory becomes a DeviceMemoryError.
    """
    if device == "cuda" and _NO_MEMORY.search(str(error)):
        return DeviceMemoryError(
            f"the GPU has too little free memory for onnxruntime ({doing}: {error}); close other "
            "programs that use it, or use --device cpu"
        )
    return HostError(f"onnxruntime {doing}: {error}")
