"""The encoder of a trained bag, as ONNX."""

from typing import TYPE_CHECKING

from export.bags.bag_file import TrainedBag
from export.inputs import Encoder, encoder_from_module

if TYPE_CHECKING:
    from torch import nn


def encoder_of_bag(bag: TrainedBag) -> Encoder:
    """The whole backbone; where positions are weighed, with the weighing, whose output is final.

    Raises:
        InputError: torch cannot export it.
    """
    facts = bag.facts
    source = {"encoder": facts.backbone, "weights": "of the bag"}
    return encoder_from_module(_module(bag), source, facts.canvas_px)


def _module(bag: TrainedBag) -> "nn.Module":
    from torch import Tensor, nn

    class OfPositions(nn.Module):
        """From pixels to the weighted mean of a cell's positions, and how much they weigh."""

        def __init__(self) -> None:
            super().__init__()
            self.network = bag.network

        def forward(self, pixels: Tensor) -> Tensor:
            found: Tensor = self.network.encodings(self.network.features(pixels))
            return found

    return OfPositions() if bag.facts.aggregation.level == "position" else bag.backbone
