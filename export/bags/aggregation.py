"""From the logits of a patient's cells to the patient's: a mean weighted in one of five ways.

Four are those of Grisi and Schmidt-Mengin for lymphocytosis, the fifth is gated attention (Ilse et
al., ICML 2018, arXiv 1802.04712). Means are of logits throughout, so that each cell's share in the
answer can be told; the lymphocytosis study averaged probabilities in its "extended" rule.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vexas_edge.bundle.models import Level, Weighting
from vexas_edge.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class AggregationOptions:
    """How cells are joined.

    method: "mean"; "topk", the mean of the highest; "topbottom", that of the highest and of the
        lowest; "learned", weights that are the sigmoid of each normalised logit; "attention".
    k: how many cells "topk" takes, and "topbottom" on each side; all, where there are fewer.
    share: of a patient's cells; they are more than `k` where this share is.
    level: whether "learned" weighs cells, or every position in the maps of cells.
    hidden: width of "attention".
    """

    method: Weighting = "mean"
    k: int = 10
    share: float = 0.0
    level: Level = "cell"
    hidden: int = 64

    def __post_init__(self) -> None:
        if self.k < 1 or not 0 <= self.share <= 1 or self.hidden < 1:
            raise UsageError(
                f"k is {self.k}, share {self.share} and hidden {self.hidden}; expected k and "
                "hidden of at least 1 and a share of 0 to 1"
            )
        if self.level == "position" and self.method != "learned":
            raise UsageError(f"only 'learned' can weigh positions, not {self.method!r}")

    def taken(self, n_cells: int) -> int:
        """How many of a patient's cells "topk" takes.

        >>> AggregationOptions(k=10, share=0.5).taken(40), AggregationOptions(k=10).taken(3)
        (20, 3)
        """
        return min(n_cells, max(self.k, math.ceil(self.share * n_cells)))


class Aggregation(nn.Module):
    """Gives each cell a mark, and a patient's cells their weights by their marks."""

    def __init__(self, options: AggregationOptions, width: int) -> None:
        super().__init__()
        self.options = options
        if options.method == "learned":
            # Logits spread within a few steps, so what is known of them must keep up.
            self.norm = nn.BatchNorm1d(1, momentum=0.5)
        if options.method == "attention":
            self.value = nn.Linear(width, options.hidden)
            self.gate = nn.Linear(width, options.hidden)
            self.score = nn.Linear(options.hidden, 1)

    def marks(self, features: Tensor, logits: Tensor) -> Tensor:
        """What cells are weighed by, float32 (N,): their logits, or logarithms of their weights.

        Args:
            features: of cells of any number of patients, float32 (N, D).
            logits: of these cells, float32 (N,).
        """
        if self.options.method == "learned":
            self.norm.train(self.training and len(logits) > 1)
            return functional.logsigmoid(self.norm(logits.detach()[:, None])[:, 0])
        if self.options.method == "attention":
            gated = self.value(features).tanh() * self.gate(features).sigmoid()
            return self.score(gated)[:, 0]
        return logits.detach()

    def weights(self, marks: Tensor) -> Tensor:
        """The weights of one patient's cells, float32 (n,), of sum 1."""
        method, n = self.options.method, len(marks)
        if method in ("learned", "attention"):
            return marks.softmax(0)
        if method == "mean":
            return torch.full_like(marks, 1 / n)
        k = self.options.taken(n)
        weights = torch.zeros_like(marks)
        sides = [True] if method == "topk" else [True, False]
        for largest in sides:
            weights[marks.topk(k, largest=largest).indices] += 1 / (k * len(sides))
        return weights
