"""A score on a strip from 0 to 1, over the scores of training patients: where each mark lies."""

from dataclasses import dataclass

from vexas_edge.results.values import ModelScore

# Of the picture, in its own units: the strip, and the bars above it.
WIDTH, BAR_HEIGHT = 640.0, 64.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """How many training patients have a score in one part of 0 to 1, as a bar."""

    x: float
    width: float
    height: float
    patients: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Strip:
    """The marks, at places along the strip.

    bars: none where there are too few training patients.
    """

    score: float
    low: float
    high: float
    threshold: float
    bars: tuple[Bar, ...]
    patients: int


def strip_of(model: ModelScore) -> Strip | None:
    """The strip of a model's score; None where it has none."""
    if model.score is None or model.interval_low is None or model.interval_high is None:
        return None
    counts = model.training_scores
    width, most = WIDTH / max(1, len(counts)), max(counts, default=1)
    return Strip(
        score=_place(model.score),
        low=_place(model.interval_low),
        high=_place(model.interval_high),
        threshold=_place(model.threshold),
        bars=tuple(
            Bar(
                x=round(number * width, 1),
                width=round(width - 2, 1),
                height=round(BAR_HEIGHT * count / most, 1),
                patients=count,
            )
            for number, count in enumerate(counts)
        ),
        patients=sum(counts),
    )


def _place(share: float) -> float:
    return round(WIDTH * share, 1)
