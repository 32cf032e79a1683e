"""Scores patients whom a trained bag has not seen, as its bundle would."""

import numpy as np
import torch

from export.bags.bag_file import TrainedBag
from export.bags.bag_outputs import outputs_of
from export.bags.network import BagNetwork
from export.preprocessing import preprocessing_named
from training.bags.bags import Bags
from training.pretraining.pixels import network_input, scaling_on
from vexas_edge.bundle.contract import PROBABILITIES
from vexas_edge.covariates.taken import taken_covariates

_CELLS_PER_CALL = 64


def held_out_scores(bag: TrainedBag, bags: Bags) -> dict[str, float]:
    """Each patient's probability of the positive group, by name.

    A patient without a covariate that the bag must know has none.
    """
    found = {}
    for patient, name in enumerate(bags.patients):
        taken = taken_covariates(bag.facts.covariates, bags.covariates[patient])
        if not taken.problems:
            encodings = _encodings(bag, bags.cells.pixels[bags.rows(patient)])
            outputs = outputs_of(bag, encodings, taken.standardised)
            found[name] = float(outputs[PROBABILITIES][0, 1])
    return found


def _encodings(bag: TrainedBag, pixels: torch.Tensor) -> np.ndarray:
    """Of cells uint8 (N, S, S, 3)."""
    network = bag.layers
    assert isinstance(network, BagNetwork)  # as those of images are
    scaling = scaling_on(torch.device("cpu"), preprocessing_named(bag.facts.images.preprocessing))
    with torch.inference_mode():
        parts = [
            network.encodings(
                network.features(network_input(part.permute(0, 3, 1, 2).float(), scaling))
            )
            for part in pixels.split(_CELLS_PER_CALL)
        ]
    found: np.ndarray = torch.cat(parts).numpy()
    return found
