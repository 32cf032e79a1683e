"""What a user of torch would write: scripts that bring cells to encodings on the device."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gpu_rig import Asked, parts
from samples import PREPROCESSING
from torch import nn

from export.backbones import build_backbone
from export.preprocessing import PREPROCESSINGS


def torch_works(asked: Asked, network: str, cells: np.ndarray) -> dict[str, Callable[[], None]]:
    """By name, what encodes all cells, in torch's usual ways."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    works = {"torch fp32": _encoding(asked, build_backbone(network), torch.float32, cells)}
    if asked.device == "cuda":
        works["torch fp16"] = _encoding(asked, build_backbone(network), torch.float16, cells)
    return works


def compiled_work(asked: Asked, network: str, cells: np.ndarray) -> Callable[[], None]:
    """The same in torch.compile, in float16 on a GPU."""
    dtype = torch.float16 if asked.device == "cuda" else torch.float32
    return _encoding(asked, build_backbone(network), dtype, cells, compiled=True)


def _encoding(
    asked: Asked, module: nn.Module, dtype: torch.dtype, cells: np.ndarray, compiled: bool = False
) -> Callable[[], None]:
    half = dtype == torch.float16
    layout = torch.channels_last if half else torch.contiguous_format
    ready: Any = module.eval().to(asked.device, dtype)
    ready = ready.to(memory_format=layout)
    encoder = torch.compile(ready) if compiled else ready
    mean = torch.tensor(PREPROCESSINGS[PREPROCESSING].mean, device=asked.device)

    def encode(part: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            pixels = torch.from_numpy(part).to(asked.device).flip(-1).float() - mean
            given = pixels.to(dtype).permute(0, 3, 1, 2).contiguous(memory_format=layout)
            return nn.functional.normalize(encoder(given).float()).cpu().numpy()

    def encode_all() -> None:
        # One call after the other: two threads of torch are slower, as they wait for each other.
        for part in parts(cells, asked.sizes.batch):
            encode(part)

    return encode_all
