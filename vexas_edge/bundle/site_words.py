"""A site file in words."""

from collections.abc import Iterator, Mapping

from vexas_edge.bundle.site import FamilySeen, RedCells, Site, SiteImages, SiteModel
from vexas_edge.domain.performance import text_of_rate

_SIZES_NAMED = 5


def lines_from_site(site: Site) -> list[str]:
    """How the site differs from training, for how many cases each model answers, and what opens."""
    failed = f", of which {site.n_failed} could not be read" if site.n_failed else ""
    lines = [
        f"site: {site.instrument}, software {site.software}, commissioned {site.commissioned}",
        f"  {site.n_cases} cases{failed}",
        *(f"  {line}" for line in _image_lines(site.images)),
    ]
    for name, model in site.models.items():
        lines += [f"  model {name}", *(f"    {line}" for line in _model_lines(model))]
    return lines


def _image_lines(images: SiteImages) -> Iterator[str]:
    formats = ", ".join(f"{name} {n}" for name, n in images.formats.items())
    sizes = list(images.sizes_px.items())
    named = ", ".join(f"{size} px {n}" for size, n in sizes[:_SIZES_NAMED])
    more = len(sizes) - _SIZES_NAMED
    yield f"images: {formats}; {named}{f' and {more} more sizes' if more > 0 else ''}"
    slide = ", ".join(map(str, images.slide))
    clipped = f"{images.clipped_share:.1%}".replace("%", " %")
    yield f"bare slide: {slide} (red, green, blue); {clipped} of pixels clipped"
    yield f"red cells: {_red_cells(images.red_cells)}"


def _red_cells(found: RedCells | None) -> str:
    if found is None:
        return "no whole one was seen around the leukocytes"
    return (
        f"{found.diameter_px:.0f} px across ({found.low_px:.0f} to {found.high_px:.0f} in half of "
        f"{found.n_cases} cases); information only: VEXAS and MDS are macrocytic"
    )


def _model_lines(model: SiteModel) -> Iterator[str]:
    gate = "with its gate centred on this site" if model.opened else "with its own gate"
    n = model.n_scored + model.n_abstained
    why = ", ".join(f"{reason} {number}" for reason, number in model.reasons.items())
    yield f"{gate}: answers for {model.n_scored} of {n} cases{f'; abstains: {why}' if why else ''}"
    yield from _family_lines(model.families)
    if model.known and model.known.is_possible:
        yield f"{gate}: known positives found: {text_of_rate(model.known.sensitivity)}"
        false = text_of_rate(model.known.false_positives)
        yield f"{gate}: known negatives called positive: {false}"
        yield f"{gate}: calls that agree: {text_of_rate(model.known.agreement)}"
    if model.opened:
        yield "domain gate: centred on this site"
    for reason in model.why_not:
        yield f"domain gate not opened: {reason}"


def _family_lines(families: Mapping[str, FamilySeen]) -> Iterator[str]:
    within = [name for name, family in families.items() if not family.outside]
    for name, family in families.items():
        if family.outside:
            far = ", ".join(
                f"{one.name} {one.value:.4g} ({one.low:.4g} to {one.high:.4g})"
                for one in family.farthest
            )
            yield f"{name}: {family.outside} of {family.n} statistics out of range: {far}"
    if within:
        yield f"within the training range: {', '.join(within)}"
