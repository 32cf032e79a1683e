"""Whether the slides of a site are different slides, and of one source."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vexas_edge.cells.likeness import turned_copies
from vexas_edge.commissioning.slides import SeenCase
from vexas_edge.domain.reference import Reference
from vexas_edge.quality.statistics import CASE_STATISTICS
from vexas_edge.text import listed

# Two clusters of cases lie more than so many times the spread within them apart, in a statistic or
# along the main axis of encodings, and hold this share of the cases each, and two at least. Slides
# of one scanner reach 5.4 (lymphocytosis, 98 to 100 patients, 1,200 subsets of 30 to 60) and 8.2
# (jhu_discovery, the 62 patients whose images are 363 px high, 900 subsets); those of two reach at
# least 11.1 (jhu_discovery with its 13 patients of 365 px) and 14.2 (both cohorts, sizes not
# looked at). Along the axis one scanner reaches 4.8.
_MOST_APART = 9.0
_MOST_APART_ALONG_AXIS = 6.0
_LEAST_SHARE = 0.1
_LEAST_CASES = 2
# No spread within a cluster is taken for smaller than the training spread and this part of the
# training range, since many statistics are whole numbers; nor, of a size in px, than this part of
# it, since one analyzer's images may differ by a few px.
_RANGE_PART = 1 / 6
_SIZE_PART = 0.02
_SIZES = ("image_height_px", "image_width_px")
# A slide's images have one size if this share of them has it, and so do a site's if this share of
# its slides have one; where an analyzer cuts each cell out by its own outline, they have none.
_OF_ONE_SIZE = 0.9
# A slide is another one again if this share of its cells, or more, was seen on others.
_COPIED_SHARE = 0.5


def copied_slides(cases: Sequence[SeenCase]) -> str:
    """Which slides show cells of others, as a sentence; empty if none does.

    Half or more of a slide's cells must be another one's, or of several others together. Images
    that were saved again, mirrored or turned by right angles count as well.
    """
    owners = [place for place, case in enumerate(cases) for _ in case.signatures]
    first = turned_copies([signature for case in cases for signature in case.signatures])
    of_cell: dict[int, set[int]] = defaultdict(set)
    for number, owner in enumerate(owners):
        of_cell[first.get(number, number)].add(owner)
    shared: dict[int, Counter[int]] = defaultdict(Counter)
    n_shared: Counter[int] = Counter()
    for number, owner in enumerate(owners):
        if others := of_cell[first.get(number, number)] - {owner}:
            n_shared[owner] += 1
            shared[owner].update(others)
    pairs = {
        tuple(sorted((cases[place].name, cases[shared[place].most_common(1)[0][0]].name)))
        for place, case in enumerate(cases)
        if case.signatures and n_shared[place] >= _COPIED_SHARE * len(case.signatures)
    }
    named = listed(f"{one} and {other}" for one, other in sorted(pairs))
    return f"slides show the same cells: {named}; give each slide once" if pairs else ""


def formats_apart(cases: Sequence[SeenCase]) -> str:
    """Whether the slides' files are of several formats, as a sentence; empty if they are not."""
    formats = Counter(name for case in cases if case.images for name in case.images.formats)
    if len(formats) < 2:
        return ""
    counts = ", ".join(f"{name} on {n} slides" for name, n in formats.most_common())
    return f"the images are of several formats ({counts}), so not of one source"


def sizes_apart(cases: Sequence[SeenCase]) -> str:
    """Whether the slides' images are of several sizes, as a sentence; empty if they are not.

    One analyzer's images may differ in size, but then they do so on every slide.
    """
    seen = [case.images.sizes for case in cases if case.images]
    commonest = [(sizes.most_common(1)[0], sizes.total()) for sizes in seen]
    found = Counter(size for (size, n), total in commonest if n >= _OF_ONE_SIZE * total)
    n_others = found.total() - max(found.values(), default=0)
    if found.total() < _OF_ONE_SIZE * len(seen):
        return ""
    if n_others < max(_LEAST_CASES, _LEAST_SHARE * len(seen)):
        return ""
    counts = listed(
        f"{width} x {height} px on {n} slides" for (width, height), n in found.most_common()
    )
    return f"the images are of several sizes ({counts}), so not of one source"


def within_kinds(means: NDArray[np.float64], kinds: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean encodings of cases, float64 (n, D), each less the mean of its kind.

    So a disease that a model sees well is not taken for another scanner.
    """
    within = means.copy()
    for kind in np.unique(kinds):
        within[kinds == kind] -= means[kinds == kind].mean(axis=0)
    return within


def clusters_apart(
    statistics: NDArray[np.float64], means: NDArray[np.float64], reference: Reference
) -> str:
    """In what the cases fall into two clusters, as a sentence; empty if in nothing.

    Args:
        statistics: of the cases, float64 (n, S).
        means: their mean encodings, float64 (n, D), as `within_kinds` gives them.
        reference: of the model.
    """
    found = [
        (*apart(values, least), _MOST_APART, name)
        for name, values, least in zip(
            CASE_STATISTICS, statistics.T, _least_spreads(statistics, reference), strict=True
        )
    ]
    found.append((*apart(along_main_axis(means), 0.0), _MOST_APART_ALONG_AXIS, "encodings"))
    distance, n_smaller, allowed, name = max(found, key=lambda one: one[0] / one[2])
    if distance <= allowed:
        return ""
    return (
        f"the slides fall into two clusters of {len(statistics) - n_smaller} and {n_smaller} that "
        f"lie {distance:.3g} times their own spread apart in {name} (allowed {allowed:g}), so they "
        "are not of one source"
    )


def _least_spreads(statistics: NDArray[np.float64], reference: Reference) -> NDArray[np.float64]:
    """What the spread of each statistic within a cluster is at least taken for, float64 (S,)."""
    least = np.maximum(reference.spread, _RANGE_PART * (reference.high - reference.low))
    for name in _SIZES:
        place = CASE_STATISTICS.index(name)
        least[place] = max(least[place], _SIZE_PART * float(np.median(statistics[:, place])))
    return least


def apart(values: NDArray[np.float64], least_spread: float) -> tuple[float, int]:
    """How far two clusters of values lie apart, in the spread within them, and the smaller's size.

    The clusters are those with the least spread within, of those that are not too small; 0 where
    there are too few values for two.

    Args:
        least_spread: what the spread within is taken for where it is smaller.
    """
    n = len(values)
    least = max(_LEAST_CASES, math.ceil(_LEAST_SHARE * n))
    if n < 2 * least:
        return 0.0, 0
    ordered = np.sort(values - np.median(values))
    sums, squares = np.cumsum(ordered), np.cumsum(ordered**2)
    lower = np.arange(least, n - least + 1)
    upper = n - lower
    below, above = sums[lower - 1] / lower, (sums[-1] - sums[lower - 1]) / upper
    within = np.maximum(squares[-1] - lower * below**2 - upper * above**2, 0)
    best = int(np.argmin(within))
    spread = max(math.sqrt(float(within[best]) / max(1, n - 2)), least_spread)
    gap = float(above[best] - below[best])
    n_smaller = int(min(lower[best], upper[best]))
    return (gap / spread if spread > 0 else math.inf if gap > 0 else 0.0), n_smaller


def along_main_axis(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where each case lies along the axis in which cases differ most, float64 (n,)."""
    centred = means - means.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    along: NDArray[np.float64] = centred @ axes[0]
    return along
