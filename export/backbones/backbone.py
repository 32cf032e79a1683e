"""What all our encoders have in common: a row of stages that make maps, and a global pooling."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

Pooling = Literal["average", "max"]


class Backbone(nn.Module, ABC):
    """An encoder: float32 (N, 3, H, W) to maps (N, D, h, w), and by global pooling to (N, D).

    absent_parts: beginnings of the names of parameters, such as a classifier's, that public weights
        have and this does not.
    pooling: whether an encoding is the average of a map's positions, as in the VEXAS paper, or
        their maximum.
    """

    absent_parts: ClassVar[tuple[str, ...]] = ()
    pooling: Pooling = "average"

    @abstractmethod
    def stages(self) -> Iterator[nn.Module]:
        """The modules that turn pixels into maps, in the order in which they run."""

    def maps(self, x: Tensor) -> Tensor:
        """The maps before pooling, float32 (N, D, h, w)."""
        for stage in self.stages():
            x = stage(x)
        return x

    def pooled(self, maps: Tensor) -> Tensor:
        """Encodings float32 (N, D) of maps (N, D, h, w)."""
        return maps.mean((2, 3)) if self.pooling == "average" else maps.amax((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.pooled(self.maps(x))

    @property
    def width(self) -> int:
        """D of the encodings, measured on a square that every backbone accepts."""
        with evaluating(self), torch.inference_mode():
            return int(self(torch.zeros(1, 3, 128, 128)).shape[1])


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Meanwhile the module is in evaluation mode; then each of its layers is in its own again."""
    modes = {layer: layer.training for layer in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for layer, training in modes.items():
            layer.training = training


def keep_statistics(module: nn.Module) -> None:
    """Let batch normalisation use the statistics that it has, and learn no others."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
