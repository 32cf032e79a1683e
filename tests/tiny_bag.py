"""Bags that are whole and small: a network of random weights, and bundles of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from tiny import write_cells
from torch import nn

from export import write_bundle
from export.backbones import build_backbone
from export.bags.aggregation import AggregationOptions
from export.bags.bag_file import BagFacts, BagOfImages, Regression, TrainedBag, bag_file, load_bag
from export.bags.network import BagNetwork
from vexas_edge.covariates.covariate import Covariate

CANVAS_PX = 32
AGE = Covariate(name="age_years", unit="years", low=1, high=120, mean=60.0, scale=15.0)
SEX = Covariate(
    name="sex", low=0, high=1, words={"F": 0, "M": 1}, mean=0.5, scale=0.5, missing="mean"
)

MEAN = AggregationOptions()


@dataclass(frozen=True, kw_only=True)
class BagKind:
    """How a bag is."""

    weighting: AggregationOptions = MEAN
    encoding: str = "l2"
    covariates: tuple[Covariate, ...] = (AGE, SEX)
    in_network: bool = False
    classes: tuple[str, str] = ("reactive", "tumoral")


def tiny_bag(path: Path, kind: BagKind) -> TrainedBag:
    """A bag of random weights, written and read."""
    torch.manual_seed(3)
    backbone = build_backbone("compact").eval()
    for layer in backbone.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
    n_covariates = len(kind.covariates)
    network = BagNetwork(
        backbone,
        nn.Sequential(*backbone.stages()),
        kind.weighting,
        msgspec.convert(kind.encoding, Any),
        n_covariates if kind.in_network else 0,
    )
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if not name.startswith("late."):
                parameter.normal_(0, 0.5)
        cells = torch.from_numpy(np.random.default_rng(0).normal(size=(40, 3, 32, 32))).float()
        network.eval().standardise(network.features(cells))
        if kind.weighting.method == "learned":
            network.aggregation.norm.running_mean.fill_(0.3)  # type: ignore[union-attr]
            network.aggregation.norm.running_var.fill_(2.5)  # type: ignore[union-attr]
    slope = 0.15
    both = Regression(
        weights=(slope,) if kind.in_network else (slope, 0.6, -0.4), bias=0.2, threshold=0.55
    )
    facts = BagFacts(
        positive=kind.classes[1],
        others=kind.classes[0],
        instances=BagOfImages(canvas_px=CANVAS_PX, backbone="compact", preprocessing="torchvision"),
        encoding=msgspec.convert(kind.encoding, Any),
        aggregation=kind.weighting,
        middle=0.3,
        spread=0.8,
        covariates=kind.covariates,
        image=None
        if kind.in_network and n_covariates
        else Regression(weights=(slope,), bias=0.1, threshold=0.5),
        both=both if n_covariates else None,
        in_network=kind.in_network,
    )
    path.write_bytes(bag_file(facts, backbone.state_dict(), network.state_dict()))
    return load_bag(path)


def bag_spec(folder: Path, positive: str = "tumoral") -> dict[str, Any]:
    """The spec of a bundle of the bag in a folder, for neutrophils."""
    write_cells(folder / "parity", 12, seed=77)
    model = {
        "cells": ["neutrophil"],
        "bag": str(folder / "bags.safetensors"),
        "parity_cells": str(folder / "parity"),
        "minimum_cells": 1,
    }
    return {
        "name": "bag",
        "version": "1.0.0",
        "positive": positive,
        "models": {"neutrophil": model},
    }


def bag_bundle(folder: Path, kind: BagKind) -> Path:
    """A bundle of a tiny bag."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny_bag(folder / "bags.safetensors", kind)
    write_bundle(bag_spec(folder, kind.classes[1]), to=folder / "bag.vxb")
    return folder / "bag.vxb"
