"""What all our encoders have in common: a row of stages that make maps, and a global pooling."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from torch import Tensor, nn

Pooling = Literal["average", "max"]


class Backbone(nn.Module):
    """An encoder: float32 (N, 3, H, W) to maps (N, D, h, w), and by global pooling to (N, D).

    absent_parts: beginnings of the names of parameters, such as a classifier's, that public weights
        have and this does not.
    pooling: whether an encoding is the average of a map's positions, as in the VEXAS paper, or
        their maximum.
    """

    absent_parts: ClassVar[tuple[str, ...]] = ()
    pooling: Pooling = "average"

    def stages(self) -> Iterator[nn.Module]:
        """The modules that turn pixels into maps, in the order in which they run."""
        raise NotImplementedError

    def maps(self, x: Tensor) -> Tensor:
        """The maps before pooling, float32 (N, D, h, w)."""
        for stage in self.stages():
            x = stage(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        maps = self.maps(x)
        return maps.mean((2, 3)) if self.pooling == "average" else maps.amax((2, 3))
