"""The network of cells that are rows of numbers: an encoder to 256 numbers, and one of three heads.

After arXiv 2503.20049, which names an autoencoder to 256 dimensions and feed-forward, transformer
and graph-convolution classifiers. Sizes, tokens and the graph are not published where we can read:
what stands here is our own choice.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.vectors.sizes import EncoderSizes, HeadKind


class FeedForward(nn.Module):
    """One hidden layer."""

    def __init__(self, sizes: EncoderSizes) -> None:
        super().__init__()
        self.layer = nn.Linear(sizes.width, sizes.head_width)

    def forward(self, compressed: Tensor) -> Tensor:
        """Encodings float32 (N, head_width) from float32 (N, width)."""
        return functional.relu(self.layer(compressed))


class _AttentionBlock(nn.Module):
    """Attention and a feed-forward layer, each after a normalisation and added to what it is given.

    Written with plain products, which any engine runs alike.
    """

    def __init__(self, sizes: EncoderSizes) -> None:
        super().__init__()
        d = sizes.d_model
        self._heads, self._each = sizes.attention_heads, d // sizes.attention_heads
        self.first_norm, self.second_norm = nn.LayerNorm(d), nn.LayerNorm(d)
        self.query, self.key, self.value = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d)
        self.joined = nn.Linear(d, d)
        self.wide, self.narrow = nn.Linear(d, 2 * d), nn.Linear(2 * d, d)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens float32 (N, T, d_model) from the same."""
        normal = self.first_norm(tokens)
        query, key, value = (self._parted(f(normal)) for f in (self.query, self.key, self.value))
        marks = torch.matmul(query, key.transpose(2, 3)) / math.sqrt(self._each)
        seen = torch.matmul(marks.softmax(3), value).transpose(1, 2).flatten(2)
        tokens = tokens + self.joined(seen)
        return tokens + self.narrow(functional.relu(self.wide(self.second_norm(tokens))))

    def _parted(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(2, (self._heads, self._each)).transpose(1, 2)


class TokenTransformer(nn.Module):
    """A transformer over pieces of the encoding, each with a place of its own."""

    def __init__(self, sizes: EncoderSizes) -> None:
        super().__init__()
        self._cut = (sizes.n_tokens, sizes.width // sizes.n_tokens)
        self.token = nn.Linear(self._cut[1], sizes.d_model)
        self.place = nn.Parameter(torch.randn(sizes.n_tokens, sizes.d_model) * 0.02)
        self.blocks = nn.Sequential(*(_AttentionBlock(sizes) for _ in range(sizes.layers)))
        self.norm = nn.LayerNorm(sizes.d_model)
        self.last = nn.Linear(sizes.n_tokens * sizes.d_model, sizes.head_width)

    def forward(self, compressed: Tensor) -> Tensor:
        """Encodings float32 (N, head_width) from float32 (N, width)."""
        tokens = self.token(compressed.unflatten(1, self._cut)) + self.place
        return functional.relu(self.last(self.norm(self.blocks(tokens)).flatten(1)))


class AnchorGraph(nn.Module):
    """Two graph convolutions over encodings of cells that were learnt from, the anchors.

    A cell is joined to its nearest anchors, and each anchor to its nearest others. Cells are never
    joined to each other, so that what is said of one does not depend on which come with it.
    """

    anchors: Tensor
    joined: Tensor

    def __init__(self, sizes: EncoderSizes) -> None:
        super().__init__()
        self._neighbours = sizes.neighbours
        self.register_buffer("anchors", torch.zeros(sizes.n_anchors, sizes.width))
        joined = torch.zeros(sizes.n_anchors, sizes.neighbours, dtype=torch.int64)
        self.register_buffer("joined", joined)
        self.own_first = nn.Linear(sizes.width, sizes.head_width)
        self.near_first = nn.Linear(sizes.width, sizes.head_width, bias=False)
        self.own_second = nn.Linear(sizes.head_width, sizes.head_width)
        self.near_second = nn.Linear(sizes.head_width, sizes.head_width, bias=False)

    def set_anchors(self, compressed: Tensor) -> None:
        """Keep these as the anchors, float32 (n_anchors, width), and join each to its nearest."""
        self.anchors.copy_(compressed.detach())
        near = self._nearness(self.anchors).fill_diagonal_(-torch.inf)
        self.joined.copy_(near.topk(self._neighbours, dim=1).indices)

    def forward(self, compressed: Tensor, but: Tensor | None = None) -> Tensor:
        """Encodings float32 (N, head_width) from float32 (N, width).

        Args:
            but: in training, the anchor that each cell is itself, and is not joined to; int64
                (N,), under 0 for a cell that is none.
        """
        near = self._nearness(compressed)
        if but is not None:
            itself = torch.arange(len(self.anchors)) == but[:, None]
            near = near.masked_fill(itself, -torch.inf)
        nearest = near.topk(self._neighbours, dim=1).indices
        of_anchors = self._first(self.anchors, self.joined)
        own = self._first(compressed, nearest)
        around = functional.embedding(nearest, of_anchors).mean(1)
        return functional.relu(self.own_second(own) + self.near_second(around))

    def gaps(self, compressed: Tensor) -> Tensor:
        """How much further the first anchor is that a cell is not joined to, float32 (N,).

        Of mean squared differences, between the last of its neighbours and the next anchor. Where
        it is as small as rounding, engines may join the cell to either.

        Args:
            compressed: float32 (N, width).
        """
        near = self._nearness(compressed).topk(self._neighbours + 1, dim=1).values
        return near[:, -2] - near[:, -1]

    def _first(self, compressed: Tensor, nearest: Tensor) -> Tensor:
        around = functional.embedding(nearest, self.anchors).mean(1)
        return functional.relu(self.own_first(compressed) + self.near_first(around))

    def _nearness(self, compressed: Tensor) -> Tensor:
        """Less the mean squared difference to each anchor, and a part that is the same for all."""
        products = 2 * torch.matmul(compressed, self.anchors.T)
        return (products - self.anchors.square().sum(1)) / compressed.shape[1]


_HEADS: dict[HeadKind, type[FeedForward | TokenTransformer | AnchorGraph]] = {
    "feedforward": FeedForward,
    "transformer": TokenTransformer,
    "graph": AnchorGraph,
}


class VectorEncoder(nn.Module):
    """From scaled numbers of cells to their encodings; a linear layer then tells classes."""

    def __init__(self, sizes: EncoderSizes) -> None:
        super().__init__()
        self.sizes = sizes
        widths = (sizes.n_features, *sizes.hidden)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        # The last step keeps encodings of one length, so that distances between them compare.
        layers.append(nn.Linear(widths[-1], sizes.width))
        layers.append(nn.LayerNorm(sizes.width, elementwise_affine=False))
        self.compress = nn.Sequential(*layers)
        self.body = _HEADS[sizes.head](sizes)

    def forward(self, scaled: Tensor) -> Tensor:
        """Encodings float32 (N, head_width) from scaled numbers float32 (N, n_features)."""
        return self.body(self.compress(scaled))


def build_vector_encoder(sizes: EncoderSizes) -> VectorEncoder:
    """A network of random weights, drawn from torch's global seed, in evaluation mode."""
    return VectorEncoder(sizes).eval()


def neighbour_gaps(encoder: VectorEncoder, scaled: Tensor) -> Tensor:
    """For each cell, how near its neighbours in the graph are to being others, float32 (N,).

    It is the gap between its last neighbour and the next anchor, as `AnchorGraph.gaps` has it;
    infinite for heads without a graph.

    Args:
        scaled: scaled numbers of cells, float32 (N, n_features).
    """
    if not isinstance(encoder.body, AnchorGraph):
        return torch.full((len(scaled),), torch.inf)
    with torch.inference_mode():
        return encoder.body.gaps(encoder.compress(scaled))
