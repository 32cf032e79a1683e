"""SqueezeNet 1.1 as a torch module with the weights of an ONNX file, to be compared with it."""

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import nn


class Fire(nn.Module):
    """A 1x1 convolution to a few channels, then 1x1 and 3x3 convolutions side by side."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 (N, C, H, W) to (N, 2 expanded, H, W)."""
        x = torch.relu(self.squeeze1x1(x))
        return torch.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))


class SqueezeNet(nn.Module):
    """SqueezeNet up to its global average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2)
        sizes = [(64, 16, 64), (128, 16, 64), (128, 32, 128), (256, 32, 128)]
        sizes += [(256, 48, 192), (384, 48, 192), (384, 64, 256), (512, 64, 256)]
        for number, size in enumerate(sizes, start=2):
            self.add_module(f"fire{number}", Fire(*size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 (N, 3, H, W) to (N, 512)."""
        x = torch.relu(self.conv1(x))
        for number in range(2, 10):
            if number in (2, 4, 6):
                x = nn.functional.max_pool2d(x, 3, 2)
            x = self.get_submodule(f"fire{number}")(x)
        return x.mean((2, 3))


def module_from_file(path: Path) -> SqueezeNet:
    """The module with the file's weights, matched by name and checked by shape."""
    arrays = {i.name: numpy_helper.to_array(i) for i in onnx.load(path).graph.initializer}
    kinds = {"weight": "W", "bias": "B"}
    module = SqueezeNet()
    state = {}
    for name in module.state_dict():
        layer, _, kind = name.rpartition(".")
        state[name] = torch.from_numpy(arrays[f"{layer.replace('.', '_')}_{kinds[kind]}"].copy())
    module.load_state_dict(state)
    return module.eval()
