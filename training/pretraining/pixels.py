"""Runs cells through an encoder in torch, while it is being trained."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.preprocessing import Preprocessing

_CELLS_PER_BATCH = 32


def network_input(cells: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Network input float32 (N, 3, H, W) from cells float32 (N, 3, H, W), RGB, 0 to 255."""
    channels = cells.flip(1) if preprocessing.bgr else cells
    mean, scale = channels.new_tensor([preprocessing.mean, preprocessing.scale])
    return (channels - mean[:, None, None]) / scale[:, None, None]


def encode_pixels(encoder: nn.Module, pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Encodings float32 (N, D), L2-normalised, on the CPU, of whole cells uint8 (N, H, W, 3) RGB.

    The encoder stays in training or evaluation mode as before.
    """
    was_training = encoder.training
    encoder.eval()
    with torch.inference_mode():
        found = [
            functional.normalize(
                encoder(network_input(batch.permute(0, 3, 1, 2).float(), preprocessing))
            ).cpu()
            for batch in pixels.split(_CELLS_PER_BATCH)
        ]
    encoder.train(was_training)
    return torch.cat(found)
