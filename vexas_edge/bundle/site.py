"""The site file: what `vexas-edge commission` found at a site, beside the bundle that it is of.

`site.vxb.site.json` lies beside `site.vxb`. It never changes the bundle. Where it opens a model's
domain gate, what is foreign is measured from the site's own centre of encodings, and nothing else.
"""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct

from vexas_edge.domain.performance import Performance
from vexas_edge.fields import Hash256OrEmpty, Name, Sha256
from vexas_edge.results.values import SiteId

SITE_SCHEMA = 1

LONGEST_LABEL = 200

Label = Annotated[str, Meta(min_length=1, max_length=LONGEST_LABEL)]
Sentence = Annotated[str, Meta(max_length=2000)]
SlideLevel = Annotated[int, Meta(ge=0, le=255)]
# JSON has no infinity, and a number over this range is no number of ours.
Finite = Annotated[float, Meta(ge=-1e12, le=1e12)]
Portion = Annotated[float, Meta(ge=0, le=1)]
Tally = Annotated[int, Meta(ge=0, le=10**9)]
Counts = Annotated[dict[str, Tally], Meta(max_length=1000)]


class OutOfRange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A statistic whose middle over the site's cases lies out of its training range."""

    name: Label
    value: Finite
    low: Finite
    high: Finite


class FamilySeen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many of a family's statistics lie out of range, and the farthest of these."""

    n: Tally
    outside: Tally
    farthest: Annotated[tuple[OutOfRange, ...], Meta(max_length=10)]


class SiteModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was found of one model at a site.

    n_scored, n_abstained: how many cases it would answer for, or not, with its gate as it stands in
    this file.
    reasons: for how many cases it would abstain for each, machine-readable.
    families: of statistics; empty where the bundle has no reference.
    known: how the known slides that it answers for are called; null without such slides.
    opened: whether its gate is centred on this site.
    why_not: why it is not, in sentences; empty where it is.
    centre: the mean of the known slides' mean encodings, D long; empty where it is not opened.
    """

    n_scored: Tally
    n_abstained: Tally
    reasons: Counts
    families: Annotated[dict[str, FamilySeen], Meta(max_length=50)]
    known: Performance | None
    opened: bool
    why_not: Annotated[tuple[Sentence, ...], Meta(max_length=100)]
    centre: tuple[Finite, ...]


class RedCells(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The size of whole red cells around the leukocytes: information, which decides nothing.

    diameter_px: the middle over cases of each case's middle diameter of a disc of the same area.
    low_px, high_px: the quartiles over cases.
    """

    n_cases: Tally
    n_cells: Tally
    diameter_px: Finite
    low_px: Finite
    high_px: Finite


class SiteImages(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the images of a site are, of at most 16 cells a case and model.

    formats, sizes_px: how many images there are of each.
    slide: the middle over cases of the bare slide's red, green and blue.
    clipped_share: the middle over cases of the share of pixels with a channel at its end.
    red_cells: null where no whole one was seen.
    """

    formats: Counts
    sizes_px: Counts
    slide: tuple[SlideLevel, SlideLevel, SlideLevel]
    clipped_share: Portion
    red_cells: RedCells | None


class SiteBundle(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bundle that a site file is of."""

    name: Name
    version: str
    sha256: Sha256


class Site(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole site file.

    instrument, software: the analyzer, and the version of its software.
    commissioned: UTC, ISO 8601.
    vexas_edge: the version that wrote it.
    n_cases: how many were looked at. n_failed: how many of them could not be read.
    seal: the hash of everything else, so that a change by hand or by a disk is noticed.
    """

    schema_version: int
    bundle: SiteBundle
    instrument: Label
    software: Label
    commissioned: Annotated[str, Meta(max_length=40)]
    vexas_edge: Label
    n_cases: Tally
    n_failed: Tally
    images: SiteImages
    models: Annotated[dict[Name, SiteModel], Meta(min_length=1)]
    seal: Hash256OrEmpty = ""


@dataclass(frozen=True, kw_only=True)
class KnownSite:
    """The site file beside a bundle. sha256: of the file."""

    site: Site
    sha256: str

    @property
    def id(self) -> SiteId:
        """What a result says of it."""
        site = self.site
        return SiteId(
            sha256=self.sha256,
            instrument=site.instrument,
            software=site.software,
            commissioned=site.commissioned,
            opens=tuple(name for name, model in site.models.items() if model.opened),
        )
