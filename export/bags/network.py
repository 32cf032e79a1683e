"""The network of bags: an encoder, a linear layer that gives each cell a logit, an aggregation."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.backbones.backbone import Backbone
from export.bags.aggregation import Aggregation, AggregationOptions
from vexas_edge.bundle.models import EncodingKind

_SMALLEST_SPREAD = 1e-6
_MAP_RANK = 4  # cells, channels, height, width


class Answers(NamedTuple):
    """What the network says of some patients' cells.

    bags: the patients' logits, float32 (P,).
    cells: their cells' logits, float32 (N,).
    weights: of cells within their patient, float32 (N,).
    """

    bags: Tensor
    cells: Tensor
    weights: Tensor


class BagLayers(nn.Module):
    """What follows the encodings: each cell's logit, and the weighted mean that is the patient's.

    Encodings are standardised by figures of the cells to fit on, which stay as they are at first.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, width: int, options: AggregationOptions, n_covariates: int) -> None:
        """Layers that say nothing yet.

        Args:
            width: of the encodings; where positions are weighed, without their weight.
            n_covariates: that are joined to the patients' logits.
        """
        super().__init__()
        self._level = options.level
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.classify = nn.Linear(width, 1)
        nn.init.zeros_(self.classify.weight)
        nn.init.zeros_(self.classify.bias)
        self.aggregation = Aggregation(options, width)
        self.covariates = nn.Parameter(torch.zeros(n_covariates))

    def standardise(self, features: Tensor) -> None:
        """Take mean and spread of these features, (N, D) or (N, D, P), for standardising."""
        flat = features if features.ndim == 2 else features.movedim(1, 2).flatten(0, 1)
        self.mean.copy_(flat.mean(0))
        self.spread.copy_(flat.std(0).clamp_min(_SMALLEST_SPREAD))

    def begin_with(self, weights: Tensor, bias: float) -> None:
        """Begin with a regression of the covariates alone.

        Args:
            weights: of the standardised covariates, (M,).
        """
        with torch.no_grad():
            self.covariates.copy_(weights)
            self.classify.bias.fill_(bias)

    def of_encodings(self, encodings: Tensor, sizes: Sequence[int]) -> Answers:
        """The answers for patients whose cells follow each other.

        Args:
            encodings: of all cells, (N, D), or where positions are weighed (N, D + 1).
            sizes: the number of each patient's cells, of sum N.
        """
        of_positions = self._level == "position"
        rows = self._standardised(encodings[:, :-1] if of_positions else encodings)
        cells = self.classify(rows)[:, 0]
        marks = encodings[:, -1] if of_positions else self.aggregation.marks(rows, cells)
        weights = torch.cat([self.aggregation.weights(own) for own in marks.split(list(sizes))])
        return Answers(_sums(weights * cells, sizes), cells, weights)

    def _standardised(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.spread


class BagNetwork(BagLayers):
    """All that is trained of a bag of images: the late half of the encoder and the head."""

    def __init__(
        self,
        backbone: Backbone,
        late: nn.Module,
        options: AggregationOptions,
        encoding: EncodingKind,
        n_covariates: int,
    ) -> None:
        """A network whose head says nothing yet.

        Args:
            backbone: of which `late` are the last stages.
            encoding: whether features are divided by their L2 norm.
            n_covariates: that are joined to the patients' logits.
        """
        super().__init__(backbone.width, options, n_covariates)
        self.late = late
        self._pooled, self._encoding = backbone.pooled, encoding

    def features(self, early: Tensor) -> Tensor:
        """Features of cells, float32 (N, D), or of positions, (N, D, P), from the early half.

        Args:
            early: what the early half gives, float32 (N, ...): maps, or features already.
        """
        maps = self.late(early)
        if maps.ndim < _MAP_RANK:
            return maps
        features = maps.flatten(2) if self._level == "position" else self._pooled(maps)
        return functional.normalize(features) if self._encoding == "l2" else features

    def encodings(self, features: Tensor) -> Tensor:
        """What an encoder returns for each cell: (N, D), or for positions (N, D + 1).

        Each position weighs, so a cell has their weighted mean, and the logarithm of their weight.

        Args:
            features: of cells, (N, D), or of positions, (N, D, P).
        """
        if features.ndim == 2:
            return features
        rows = self._standardised(features.movedim(1, 2).flatten(0, 1))
        marks = self.aggregation.marks(rows, self.classify(rows)[:, 0])
        marks = marks.view(-1, features.shape[2])
        mean = (features * marks.softmax(1)[:, None]).sum(2)
        return torch.cat([mean, marks.logsumexp(1)[:, None]], 1)

    def answers(self, features: Tensor, sizes: Sequence[int]) -> Answers:
        """As `of_encodings`, from features of cells, (N, D), or of their positions, (N, D, P)."""
        return self.of_encodings(self.encodings(features), sizes)


def _sums(values: Tensor, sizes: Sequence[int]) -> Tensor:
    return torch.stack([own.sum() for own in values.split(list(sizes))])
