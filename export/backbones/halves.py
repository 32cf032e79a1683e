"""A backbone cut in two: what stays as it is, and what is trained."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from export.backbones.backbone import Backbone
from vexas_edge.errors import UsageError

Trained = Literal["head", "last", "all"]


@dataclass(frozen=True, kw_only=True)
class Halves:
    """A backbone cut in two.

    early: the stages that stay as they are, whose output can be kept.
    late: those that are trained, without pooling; it may be empty.
    """

    early: nn.Sequential
    late: nn.Sequential


def cut_backbone(backbone: Backbone, trained: Trained, last: int) -> Halves:
    """The backbone in two halves, which share its parameters.

    Args:
        trained: "head" leaves all of it early, "all" makes all of it late, and "last" its `last`
            stages that have parameters.

    Raises:
        UsageError: it has not as many such stages.
    """
    stages = list(backbone.stages())
    cut = len(stages) if trained == "head" else 0
    if trained == "last":
        own = [place for place, stage in enumerate(stages) if any(True for _ in stage.parameters())]
        if not 1 <= last <= len(own):
            raise UsageError(
                f"the last {last} stages are to be trained; the encoder has {len(own)}"
            )
        cut = own[-last]
    return Halves(early=nn.Sequential(*stages[:cut]), late=nn.Sequential(*stages[cut:]))
