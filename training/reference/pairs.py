"""Pairs of simulated changes that a gate is fitted on."""

from collections.abc import Iterator
from dataclasses import dataclass

from training.reference.changes import Change, RgbPixels

# Pairs that a gate is fitted on, too: one change must not hide another.
_PAIRS = (
    ("gamma", 1.05, "temperature", 0.02),
    ("noise", 2, "saturation", 1.1),
    ("scale", 1.02, "noise", 4),
    ("saturation", 0.8, "stain", 0.9),
    ("gain green", 0.94, "scale", 0.95),
    ("blur", 1, "white balance", 0.7),
    ("gain green", 1.04, "gamma", 1.2),
    ("brightness", 1.05, "noise", 2),
    ("stain", 1.1, "white balance", 0.4),
    ("noise", 4, "gain green", 1.04),
    ("gamma", 1.05, "blur", 1),
    ("temperature", -0.05, "saturation", 1.1),
    ("gamma", 0.88, "white balance", 0.7),
    ("gain red", 1.04, "scale", 0.95),
    ("jpeg", 60, "temperature", 0.04),
    ("saturation", 0.8, "gain blue", 1.1),
    ("scale", 1.06, "blur", 0.5),
    ("brightness", 0.93, "stain", 0.9),
    ("gamma", 0.88, "brightness", 0.85),
    ("jpeg", 80, "blur", 1),
    ("gain red", 0.95, "noise", 2),
    ("gain green", 0.94, "blur", 0.5),
    ("scale", 1.02, "white balance", 0.7),
    ("stain", 0.9, "noise", 4),
    ("jpeg", 35, "noise", 2),
    ("blur", 0.5, "noise", 2),
    ("stain", 0.9, "gain blue", 1.1),
    ("scale", 0.95, "gain blue", 0.9),
    ("blur", 1, "temperature", 0.02),
    ("scale", 1.06, "stain", 0.9),
)


@dataclass(frozen=True, kw_only=True)
class PairOfChanges:
    """Two changes of different kinds, one after the other; no one family is to blame."""

    first: Change
    second: Change
    family: str = ""

    @property
    def name(self) -> str:
        """Both names, as `blur 0.5 + noise 2`."""
        return f"{self.first.name} + {self.second.name}"

    def __call__(self, pixels: RgbPixels) -> RgbPixels:
        """The image changed, uint8 (H, W, 3)."""
        return self.second(self.first(pixels))


def fitted_pairs() -> Iterator[PairOfChanges]:
    """Every pair of kinds that a gate is fitted on."""
    for kind, strength, other, other_strength in _PAIRS:
        yield PairOfChanges(
            first=Change(kind=kind, strength=strength),
            second=Change(kind=other, strength=other_strength),
        )
