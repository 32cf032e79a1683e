"""How cells' classes are learnt."""

from dataclasses import dataclass, field
from typing import Literal

from export.backbones.halves import Trained
from training.pretraining.views import ViewOptions
from vexas_edge.errors import UsageError

Head = Literal["softmax", "svm"]


def default_views(canvas_px: int) -> ViewOptions:
    """How cells on a canvas of that side are shown in training."""
    return ViewOptions(crop_px=canvas_px, jitter=0.15, scale=0.12, blur_px=1.0, shift_px=8)


@dataclass(frozen=True, kw_only=True)
class TypingOptions:
    """How cells' classes are learnt; the defaults are ours.

    start: the encoder's weights to start from; None for random ones, with all of it trained.
    train: the head alone, on features that are computed once; the encoder's last stages, too, on
        what the stages before them give, which is computed once; or all of it.
    last: how many stages with parameters are trained by "last".
    head: a linear layer, or an SVM on the encodings, as in the Leukopy study.
    C: the SVM's.
    canvas_px: side of the square in the middle of each image that is looked at.
    views: how cells are shown in training; their crop is `canvas_px`.
    copies: how many views of each cell are kept where some stages run only once.
    rate, encoder_rate: highest learning rates, of the head and of the encoder's stages; both rise
        first and then fall along a cosine.
    dropout: the share of features that are left out at random in training.
    class_power: rare classes weigh by their number to the power of minus this: 0 lets every cell
        weigh the same, 1 every class.
    precision: the share of cells named by a class that must be of it.
    batch_size: cells per batch.
    """

    backbone: str = "squeezenet11"
    preprocessing: str = "keras-caffe"
    start: str | None = None
    train: Trained = "last"
    last: int = 6
    head: Head = "softmax"
    C: float = 1.0
    canvas_px: int = 192
    views: ViewOptions = field(default_factory=lambda: default_views(TypingOptions.canvas_px))
    copies: int = 6
    rate: float = 2e-3
    encoder_rate: float = 3e-4
    weight_decay: float = 1e-2
    dropout: float = 0.3
    class_power: float = 0.5
    epochs: int = 12
    batch_size: int = 32
    precision: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        names = ("C", "copies", "rate", "encoder_rate", "epochs", "batch_size", "precision")
        low = [f"{name} is {getattr(self, name)}" for name in names if getattr(self, name) <= 0]
        if low:
            raise UsageError(f"{low[0]}; it must be above 0")
        if self.precision > 1 or not 0 <= self.dropout < 1:
            raise UsageError(
                f"precision is {self.precision} and dropout {self.dropout}; expected shares"
            )
        if self.start is None and self.train != "all":
            raise UsageError(
                f"train is {self.train!r}, which leaves some of the encoder as it starts, but no "
                "start is given; name its weights, or train all of it"
            )
        if self.views.crop_px != self.canvas_px:
            raise UsageError(
                f"views show {self.views.crop_px} px and cells {self.canvas_px} px; both must be "
                "the same"
            )

    @property
    def side_px(self) -> int:
        """Of the squares that cells are kept in, so that a turned view has no empty corner."""
        return self.canvas_px + 2 * (2 * self.canvas_px // 5)
