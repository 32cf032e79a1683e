"""How the classes of cells are learnt from their genes."""

from dataclasses import dataclass
from typing import Literal

from export.vectors.sizes import HeadKind
from vexas_edge.errors import UsageError

Unit = Literal["cell", "case"]
CaseWeighting = Literal["mean", "learned"]


@dataclass(frozen=True, kw_only=True)
class ExpressionOptions:
    """How cells' classes are learnt; the defaults are ours.

    library_size, log1p, clip: as `FeatureScaling` has them; None for library_size and False for
        log1p where the numbers are logarithms already.
    head: which network comes after the encoding.
    hidden: width of the layer before the encoding, and of the one after it in the autoencoder.
    neighbours, anchors: of the head "graph"; anchors are at most so many of the cells learnt from.
    pretrain_lineages: of whose cells the autoencoder learns; empty for those of all.
    pretrain_epochs: of the autoencoder; 0 leaves it out.
    fine_tune: whether the encoder goes on learning with the head, or stays as the autoencoder left
        it.
    per: whether a label is told of each cell, or of the cells of a case together.
    weighting: of a case's cells: their mean, or weights that are learned.
    bag_cells: how many cells of a case are shown together in training, drawn anew each epoch.
    epochs, batch_size, batch_cases, rate, weight_decay: of head and encoder together. The rate is
        the highest; it falls along a cosine. A batch is of `batch_size` cells, or of `batch_cases`
        cases.
    encoder_rate: of the encoder's, as a share of `rate`.
    input_dropout: the share of features that are left out at random in training.
    dropout: the same of the encoding and of what the head returns.
    noise: the standard deviation of what is added to scaled features in training.
    class_power: rare classes weigh by their number to the power of minus this: 0 lets every cell
        weigh the same, 1 every class.
    seed: of all that is drawn.
    """

    library_size: float | None = 1e4
    log1p: bool = True
    clip: float | None = 10.0
    head: HeadKind = "feedforward"
    hidden: int = 512
    neighbours: int = 10
    anchors: int = 1024
    pretrain_lineages: tuple[str, ...] = ()
    pretrain_epochs: int = 30
    pretrain_rate: float = 1e-3
    fine_tune: bool = True
    per: Unit = "cell"
    weighting: CaseWeighting = "mean"
    bag_cells: int = 64
    batch_cases: int = 8
    epochs: int = 40
    batch_size: int = 64
    rate: float = 1e-3
    encoder_rate: float = 1.0
    weight_decay: float = 1e-2
    input_dropout: float = 0.5
    dropout: float = 0.3
    noise: float = 0.0
    class_power: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        above = (
            *("hidden", "neighbours", "anchors", "pretrain_rate", "bag_cells", "batch_cases"),
            *("epochs", "batch_size", "rate"),
        )
        low = [f"{name} is {getattr(self, name)}" for name in above if getattr(self, name) <= 0]
        if low:
            raise UsageError(f"{low[0]}; it must be above 0")
        least = ("pretrain_epochs", "encoder_rate", "weight_decay", "noise", "class_power")
        low = [f"{name} is {getattr(self, name)}" for name in least if getattr(self, name) < 0]
        if low:
            raise UsageError(f"{low[0]}; it must be 0 or more")
        for name in ("input_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; expected a share below 1")
        for name in ("library_size", "clip"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UsageError(f"{name} is {value}; it must be above 0, or none")
