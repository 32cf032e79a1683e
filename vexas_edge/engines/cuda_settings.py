"""The ways in which onnxruntime is set up on CUDA, by name, and what each is good for.

On an H100, cells of 272 px a second in float16, ResNet50: nhwc 5,762, heuristic 4,761; with the
biases inside the convolutions nhwc-fused 3,822 and onnxruntime's own defaults 1,888. In float32
exhaustive is the fastest (1,790, heuristic 1,639). Other cards may differ, so `prepare` measures.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from vexas_edge.choices import Precision
from vexas_edge.errors import HostError

# Of each precision, the one that is taken unmeasured first.
CUDA_SETTINGS: Mapping[Precision, tuple[str, ...]] = {
    "fp32": ("exhaustive", "heuristic"),
    "fp16": ("nhwc", "heuristic", "nhwc-fused"),
}

# What is left to the rest of the PC and to CUDA itself: kernels of CUDA, cuDNN and cuBLAS are
# loaded when they are first used, and do not count against onnxruntime's limit.
_RESERVE_MIB = 1024
_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class CudaSetting:
    """One way to set onnxruntime up.

    provider: options of its CUDA provider.
    optimizers_off: its graph optimisers that must not run.
    """

    provider: Mapping[str, str]
    optimizers_off: tuple[str, ...] = ()


# TF32 has the ten bits of float16, so it is off. Memory grows by what is needed, not by doubling.
_ALWAYS = {"use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"}
_HEURISTIC = {**_ALWAYS, "cudnn_conv_algo_search": "HEURISTIC"}
# The optimiser that would put biases back into convolutions, which adds them by a slow kernel.
_JOINING = ("ConvAddFusion",)

_SETTINGS = {
    # With all the workspace that cuDNN likes, 256 cells of VGG16 asked for 26 GB, and no faster.
    "exhaustive": CudaSetting(
        provider={
            **_ALWAYS,
            "cudnn_conv_algo_search": "EXHAUSTIVE",
            "cudnn_conv_use_max_workspace": "0",
        }
    ),
    "heuristic": CudaSetting(provider=_HEURISTIC, optimizers_off=_JOINING),
    "nhwc": CudaSetting(provider={**_HEURISTIC, "prefer_nhwc": "1"}, optimizers_off=_JOINING),
    "nhwc-fused": CudaSetting(
        provider={**_HEURISTIC, "prefer_nhwc": "1", "fuse_conv_bias": "1"},
    ),
}


def cuda_setting(name: str, precision: Precision) -> CudaSetting:
    """The setting of this name; with an empty name, the one for the precision.

    Raises:
        HostError: there is none of this name.
    """
    found = _SETTINGS.get(name or CUDA_SETTINGS.get(precision, ("exhaustive",))[0])
    if found is None:
        raise HostError(
            f"onnxruntime has no setting {name!r} for CUDA; name one of {', '.join(_SETTINGS)}"
        )
    return found


def memory_limit(free_mib: int | None) -> dict[str, str]:
    """The provider's option that limits its memory, in bytes; none if it is not known what is free.

    A call beyond the limit fails by itself, without taking the memory of other programs.
    """
    if free_mib is None:
        return {}
    limit_mib = max(free_mib - _RESERVE_MIB, free_mib // 2)
    return {"gpu_mem_limit": str(max(1, limit_mib) * _MIB)}
