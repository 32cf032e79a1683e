"""The families of statistics: what has changed in a slide where they have."""

from typing import Literal

Family = Literal["focus", "exposure", "colour", "stain", "file format", "size"]

_BY_START: tuple[tuple[str, Family], ...] = (
    ("slide_red", "colour"),
    ("slide_blue", "colour"),
    ("span", "colour"),
    ("red_cells", "colour"),
    ("dye", "stain"),
    ("nucleus_share", "size"),
    ("nucleus_spread_px", "size"),
    ("nucleus_area", "size"),
    ("nucleus", "stain"),
    ("cytoplasm", "stain"),
    ("filled", "size"),
    ("red_area", "size"),
    ("image", "file format"),
    ("none", "file format"),
    ("blocks", "file format"),
    ("level", "file format"),
    ("band_red", "file format"),
    ("band_blue", "file format"),
    ("noise", "exposure"),
    ("slide", "exposure"),
    ("light", "exposure"),
    ("clipped", "exposure"),
    ("darkest", "exposure"),
    ("band", "focus"),
    ("steep", "focus"),
    ("wave", "focus"),
)


def family_of(statistic: str) -> Family:
    """The family of a statistic of a case, by its name."""
    return next(family for start, family in _BY_START if statistic.startswith(start))
