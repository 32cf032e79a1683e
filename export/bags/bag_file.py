"""A trained bag as one file: all weights, and how its score and covariates are joined."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct

from export.bags.aggregation import AggregationOptions
from export.vectors.scaling import FeatureScaling
from export.vectors.sizes import EncoderSizes
from vexas_edge.bundle.models import Brightness, EncodingKind, Vectors
from vexas_edge.covariates.covariate import Covariate, problem_of_covariates
from vexas_edge.errors import InputError, UsageError
from vexas_edge.fields import Share
from vexas_edge.inputs import check_file

if TYPE_CHECKING:
    from torch import Tensor, nn

    from export.bags.network import BagLayers

_KEY = "bag"  # the JSON's key in the metadata of the safetensors file
_ENCODER, _HEAD, _LATE, _SCALING = "encoder.", "head.", "late.", "scaling."


class Regression(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A logistic regression of standardised columns.

    threshold: the probability from which a call is positive.
    """

    weights: tuple[float, ...]
    bias: float
    threshold: Share


class BagOfImages(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="images"
):
    """A bag's cells are images.

    canvas_px: the side of the square in the middle of each image that is looked at.
    background: the bare slide that each case is brought to; null leaves cells as they are.
    """

    canvas_px: Annotated[int, Meta(ge=8, le=4096)]
    background: tuple[Brightness, Brightness, Brightness] | None = None
    backbone: str
    preprocessing: str


class BagOfVectors(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="vectors"
):
    """A bag's cells are rows of numbers.

    vectors: as the manifest has it.
    features: the name of each number, in their order.
    """

    vectors: Vectors
    features: tuple[str, ...]
    sizes: EncoderSizes


class BagFacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything of a trained bag but its weights.

    positive: the group whose probability is the score.
    others: what all other patients are called.
    instances: what its cells are.
    middle, spread: by which the patients' logits are standardised.
    image: of the logit alone; null where the covariates are in the network.
    both: of the logit and the covariates, in their order; of the logit alone where the covariates
        are in the network; null where there are none.
    in_network: whether the covariates are added to the logit before it is standardised.
    training: how it was trained, for the record.
    """

    positive: str
    others: str
    instances: BagOfImages | BagOfVectors
    encoding: EncodingKind
    aggregation: AggregationOptions
    middle: float
    spread: Annotated[float, Meta(gt=0)]
    covariates: tuple[Covariate, ...] = ()
    image: Regression | None = None
    both: Regression | None = None
    in_network: bool = False
    training: dict[str, Any] = {}

    @property
    def n_in_network(self) -> int:
        """How many covariates the network itself takes."""
        return len(self.covariates) if self.in_network else 0

    @property
    def images(self) -> BagOfImages:
        """The instances of a bag that is known to be of images."""
        assert isinstance(self.instances, BagOfImages)
        return self.instances

    @property
    def final(self) -> Regression:
        """That of the score."""
        found = self.both or self.image
        assert found is not None  # `_problem_of` has seen to it
        return found


@dataclass(frozen=True, kw_only=True)
class TrainedBag:
    """A trained bag, loaded.

    encoder, layers: in evaluation mode, on the CPU. Of images, the encoder is a backbone, and the
        layers are a `BagNetwork` whose late half is all of it.
    scaling: of the numbers of vectors; None for images.
    """

    facts: BagFacts
    encoder: "nn.Module"
    layers: "BagLayers"
    scaling: FeatureScaling | None = None

    @property
    def classes(self) -> tuple[str, str]:
        """In the order of the probabilities."""
        return self.facts.others, self.facts.positive

    @property
    def encoding_width(self) -> int:
        """D of the encodings; one more where positions are weighed."""
        return len(self.layers.mean) + (self.facts.aggregation.level == "position")


def bag_file(
    facts: BagFacts,
    encoder: Mapping[str, "Tensor"],
    head: Mapping[str, "Tensor"],
    scaling: FeatureScaling | None = None,
) -> bytes:
    """The content of a safetensors file with the facts as JSON beside the weights.

    Args:
        encoder: the weights of the whole encoder, by its own names.
        head: those of the network, of which those of its late half are left out.
        scaling: of the numbers of vectors.
    """
    import torch
    from safetensors.torch import save

    named = {f"{_ENCODER}{name}": tensor for name, tensor in encoder.items()}
    named |= {f"{_HEAD}{name}": t for name, t in head.items() if not name.startswith(_LATE)}
    if scaling is not None:
        figures = {"mean": scaling.mean, "spread": scaling.spread}
        named |= {f"{_SCALING}{name}": torch.from_numpy(f) for name, f in figures.items()}
    copies = {name: tensor.detach().contiguous().clone() for name, tensor in named.items()}
    return save(copies, metadata={_KEY: msgspec.json.encode(facts).decode()})


def load_bag(path: Path) -> TrainedBag:
    """The bag in a file that `vexas-workshop train bags` or `train expression` wrote.

    Raises:
        InputError: it cannot be read, is no such file, or contradicts itself.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    check_file(path, "bag")
    try:
        with safe_open(path, framework="pt") as opened:
            facts = msgspec.json.decode((opened.metadata() or {})[_KEY], type=BagFacts)
            tensors: dict[str, torch.Tensor] = {n: opened.get_tensor(n) for n in opened.keys()}  # noqa: SIM118 - no mapping
        if problem := _problem_of(facts, tensors):
            raise ValueError(problem)
        of = facts.instances
        return (
            _of_vectors(facts, of, tensors)
            if isinstance(of, BagOfVectors)
            else _of_images(facts, of, tensors)
        )
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError, UsageError) as error:
        raise InputError(
            f"{path} is no file of `vexas-workshop train bags` or `train expression` that can be "
            f"used ({type(error).__name__}: {str(error)[:200]})"
        ) from error


def _of_images(facts: BagFacts, of: BagOfImages, tensors: Mapping[str, "Tensor"]) -> TrainedBag:
    from torch import nn

    from export.backbones import build_backbone
    from export.bags.network import BagNetwork

    backbone = build_backbone(of.backbone)
    backbone.load_state_dict(_below(_ENCODER, tensors))
    network = BagNetwork(
        backbone,
        nn.Sequential(*backbone.stages()),
        facts.aggregation,
        facts.encoding,
        facts.n_in_network,
    )
    late = {n: t for n, t in network.state_dict().items() if n.startswith(_LATE)}
    network.load_state_dict({**late, **_below(_HEAD, tensors)})
    return TrainedBag(facts=facts, encoder=backbone.eval(), layers=network.eval())


def _of_vectors(facts: BagFacts, of: BagOfVectors, tensors: Mapping[str, "Tensor"]) -> TrainedBag:
    from export.bags.network import BagLayers
    from export.vectors.network import build_vector_encoder

    encoder = build_vector_encoder(of.sizes)
    encoder.load_state_dict(_below(_ENCODER, tensors))
    layers = BagLayers(of.sizes.head_width, facts.aggregation, facts.n_in_network)
    layers.load_state_dict(_below(_HEAD, tensors))
    figures = {name: tensor.numpy() for name, tensor in _below(_SCALING, tensors).items()}
    scaling = FeatureScaling(
        library_size=of.vectors.library_size,
        log1p=of.vectors.log1p,
        mean=figures["mean"],
        spread=figures["spread"],
        clip=of.vectors.clip,
    )
    return TrainedBag(facts=facts, encoder=encoder.eval(), layers=layers.eval(), scaling=scaling)


def _below(prefix: str, tensors: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _problem_of(facts: BagFacts, tensors: Mapping[str, "Tensor"]) -> str:
    """What contradicts itself in a file; empty if nothing does."""
    n_covariates = len(facts.covariates)
    if problem := problem_of_covariates(facts.covariates):
        return problem
    n_both = None if facts.both is None else len(facts.both.weights)
    if n_both != ((1 if facts.in_network else 1 + n_covariates) if n_covariates else None):
        return f"a regression of {n_both} columns does not fit {n_covariates} covariates"
    if (facts.image is None) != facts.in_network or (facts.image and len(facts.image.weights) != 1):
        return "the regression of the image alone does not fit the rest"
    if isinstance(facts.instances, BagOfVectors):
        of = facts.instances
        n_features = {of.vectors.n_features, of.sizes.n_features, len(set(of.features))}
        shapes = {tuple(t.shape) for t in _below(_SCALING, tensors).values()}
        if n_features != {len(of.features)} or shapes != {(len(of.features),)}:
            return f"its {len(of.features)} features do not fit the rest"
        if facts.encoding != "raw" or facts.aggregation.level != "cell":
            return "cells that are vectors have raw encodings, and are weighed whole"
    if facts.positive == facts.others:
        return f"both classes are called {facts.positive!r}"
    odd = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    return f"{odd[0]} is not finite" if odd else ""
