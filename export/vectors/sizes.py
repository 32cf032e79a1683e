"""The sizes of the network of cells that are rows of numbers."""

from typing import Literal

import msgspec

HeadKind = Literal["feedforward", "transformer", "graph"]


class EncoderSizes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that tells how a network is built; weights are kept apart.

    n_features: G, the numbers of a cell.
    hidden: widths of the layers before the encoding.
    width: of the encoding, which the paper has at 256.
    head: which of the three comes after it.
    head_width: of what the head returns.
    n_tokens: for "transformer", into so many tokens of equal length is the encoding cut.
    d_model, layers, attention_heads: of the transformer.
    n_anchors: for "graph", how many encodings of cells that were learnt from are kept.
    neighbours: how many of them each cell is joined to.
    """

    n_features: int
    hidden: tuple[int, ...] = (512,)
    width: int = 256
    head: HeadKind = "feedforward"
    head_width: int = 128
    n_tokens: int = 32
    d_model: int = 32
    layers: int = 2
    attention_heads: int = 4
    n_anchors: int = 0
    neighbours: int = 10

    def __post_init__(self) -> None:
        named = msgspec.structs.asdict(self)
        counts = {name: n for name, n in named.items() if name not in ("hidden", "head")}
        if self.head != "graph":
            del counts["n_anchors"]
        low = [f"{name} is {n}" for name, n in counts.items() if n < 1]
        if low or min(self.hidden, default=1) < 1:
            raise ValueError(f"{low[0] if low else f'hidden is {self.hidden}'}; it must be above 0")
        if self.head == "transformer":
            if self.width % self.n_tokens:
                raise ValueError(f"{self.width} numbers make no {self.n_tokens} equal tokens")
            if self.d_model % self.attention_heads:
                raise ValueError(
                    f"d_model is {self.d_model}; {self.attention_heads} attention heads must "
                    "divide it"
                )
        if self.head == "graph" and self.n_anchors <= self.neighbours:
            raise ValueError(
                f"{self.n_anchors} anchors are too few for {self.neighbours} neighbours; at least "
                "one more is needed"
            )
