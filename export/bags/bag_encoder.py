"""The encoder of a trained bag, as ONNX."""

from typing import TYPE_CHECKING

from export.bags.bag_file import BagOfVectors, TrainedBag
from export.inputs import Encoder, encoder_from_module
from export.vectors.vector_encoder import encoder_from_network

if TYPE_CHECKING:
    from torch import nn


def encoder_of_bag(bag: TrainedBag) -> Encoder:
    """The whole encoder; where positions are weighed, with the weighing, whose output is final.

    Raises:
        InputError: torch cannot export it.
    """
    instances = bag.facts.instances
    if isinstance(instances, BagOfVectors):
        return encoder_from_network(bag.encoder, instances.sizes)
    source = {"encoder": instances.backbone, "weights": "of the bag"}
    return encoder_from_module(_module(bag), source, instances.canvas_px)


def _module(bag: TrainedBag) -> "nn.Module":
    from torch import Tensor, nn

    from export.bags.network import BagNetwork

    if bag.facts.aggregation.level != "position":
        return bag.encoder
    layers = bag.layers
    assert isinstance(layers, BagNetwork)  # as those are that weigh positions
    network: BagNetwork = layers

    class OfPositions(nn.Module):
        """From pixels to the weighted mean of a cell's positions, and how much they weigh."""

        def __init__(self) -> None:
            super().__init__()
            self.network: BagNetwork = network

        def forward(self, pixels: Tensor) -> Tensor:
            return self.network.encodings(self.network.features(pixels))

    return OfPositions()
