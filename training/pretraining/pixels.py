"""Runs cells through an encoder in torch, while it is being trained."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.backbones.backbone import evaluating
from export.preprocessing import Preprocessing

_CELLS_PER_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """A preprocessing whose figures are on a device, as each copy of them makes a GPU wait.

    mean, scale: float32 (3, 1, 1), of the network's channels.
    bgr: whether the network's first channel is blue.
    """

    mean: Tensor
    scale: Tensor
    bgr: bool


def scaling_on(device: torch.device, preprocessing: Preprocessing) -> Scaling:
    """The preprocessing with its figures on the device."""
    figures = torch.tensor([preprocessing.mean, preprocessing.scale], dtype=torch.float32)
    mean, scale = figures[:, :, None, None].to(device)
    return Scaling(mean=mean, scale=scale, bgr=preprocessing.bgr)


def network_input(cells: Tensor, scaling: Scaling) -> Tensor:
    """Network input float32 (N, 3, H, W) from cells float32 (N, 3, H, W), RGB, 0 to 255."""
    channels = cells.flip(1) if scaling.bgr else cells
    return (channels - scaling.mean) / scaling.scale


def encode_pixels(encoder: nn.Module, pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Encodings float32 (N, D), L2-normalised, on the CPU, of whole cells uint8 (N, H, W, 3) RGB.

    The encoder's layers stay in training or evaluation mode as before, and on its device.
    """
    device = next(encoder.parameters()).device
    scaling = scaling_on(device, preprocessing)
    with evaluating(encoder), torch.inference_mode():
        found = [
            functional.normalize(
                encoder(network_input(batch.to(device).permute(0, 3, 1, 2).float(), scaling))
            )
            for batch in pixels.split(_CELLS_PER_BATCH)
        ]
    return torch.cat(found).cpu()
