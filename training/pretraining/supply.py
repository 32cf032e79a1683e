"""Brings cells and numbers to the device that learns from them, without making a GPU wait.

A copy to a GPU from ordinary memory is waited for, and so is all that was queued before it; one
from pinned memory is only queued.
"""

import torch
from torch import Tensor

# Of a GPU's free memory, what cells may take; networks, gradients and views need the rest.
_MOST_FOR_CELLS = 0.5


def queued_to(device: torch.device, tensor: Tensor) -> Tensor:
    """A tensor of the CPU on the device; a copy to a GPU is only queued."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def kept_pixels(pixels: Tensor, device: torch.device) -> Tensor:
    """The cells on the device if there is room for them, else as they are, on the CPU."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if pixels.nbytes > _MOST_FOR_CELLS * free:
            return pixels
    return pixels.to(device)


def some_pixels(pixels: Tensor, rows: Tensor, device: torch.device) -> Tensor:
    """The pixels of some cells on the device, wherever `kept_pixels` left all of them.

    Args:
        pixels: uint8 (N, S, S, 3).
        rows: of the wanted cells, int64 (n,), where the pixels are.
    """
    # On a CPU over ten times as fast as pixels[rows].
    found = pixels.index_select(0, rows)
    return found if found.device.type == device.type else queued_to(device, found)
