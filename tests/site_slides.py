"""Slides of a made-up site, and tiny bundles whose domain gate finds them foreign."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from tiny import CLASSES, cell_pixels, png, rewritten
from tiny_gate import FAMILIES, gated, leaf, small_reference

from vexas_edge import open_bundle
from vexas_edge.bundle.graphs import REFERENCE
from vexas_edge.domain.performance import Performance
from vexas_edge.domain.reference import GATES, Reference, bytes_from_reference

MODEL = "neutrophil"
POSITIVE = CLASSES.index("VEXAS")
STATED = Performance(positives=60, positives_called=44, negatives=60, negatives_called=6)
SITE = ("--instrument", "DM96", "--software", "7.0")


@cache
def foreign_reference(harm: float = 0.0) -> Reference:
    """A reference that finds every tiny slide foreign, and nothing else wrong with it."""
    small = small_reference()
    foreign = [GATES.index(name) for name in ("foreign case", "foreign cells")]
    scale = np.full_like(small.gate_scale, 1e9)
    scale[[*foreign, GATES.index("harm")]] = 1
    # So wide that no slides fall into two clusters.
    wide = np.full_like(small.spread, 1e3)
    return replace(
        small,
        n_patients=48,
        harm=leaf(harm),
        families=leaf(0.05, 0.05, 0.05),
        family_names=FAMILIES,
        mean=small.mean + 100,
        gate_centre=np.zeros_like(small.gate_centre),
        gate_scale=scale,
        limit=np.full_like(small.limit, 4),
        spread=wide,
    )


def foreign_bundle(
    bundle: Path,
    to: Path,
    reference: Reference | None = None,
    stated: Performance | None = STATED,
    models: Sequence[str] = (MODEL,),
) -> Path:
    """The bundle with these models alone, each with this reference, that states this of each."""
    data = bytes_from_reference(reference or foreign_reference())
    whole = gated(bundle, to.with_suffix(".whole"), dict.fromkeys(models, data))
    return stating(whole, to, stated, models)


def stating(bundle: Path, to: Path, stated: object, models: Sequence[str] = (MODEL,)) -> Path:
    """The bundle with these models alone, of whose training it states this."""
    chosen = {}
    for name in models:
        model = open_bundle(bundle).manifest.models[name]
        files = dict(model.files)
        if stated is not None:
            measured = {**files[REFERENCE].measured, "stated": msgspec.to_builtins(stated)}
            files[REFERENCE] = msgspec.structs.replace(files[REFERENCE], measured=measured)
        chosen[name] = msgspec.structs.replace(model, files=files)
    return rewritten(bundle, to, models=chosen)


def write_slide(
    folder: Path, seed: int, tint: int, cells: int = 12, cell_class: str = MODEL
) -> Path:
    """A slide of cells of one tint: those of a positive have the tint of VEXAS."""
    (folder / cell_class).mkdir(parents=True)
    for place in range(cells):
        pixels = cell_pixels(100_000 + 100 * seed + place, tint)
        (folder / cell_class / f"{place}.png").write_bytes(png(pixels))
    return folder


def write_site(
    folder: Path,
    negatives: int = 22,
    positives: int = 12,
    swapped: bool = False,
    cells: int = 12,
) -> tuple[Path, Path]:
    """Slides, and the table that says what each is; `swapped` labels are wrong."""
    rows = ["case,label,patient"]
    for seed in range(negatives + positives):
        is_positive = seed >= negatives
        write_slide(folder / "slides" / f"S{seed}", seed, POSITIVE if is_positive else 0, cells)
        rows.append(f"S{seed},{'VEXAS' if is_positive != swapped else 'negative'},P{seed}")
    (folder / "known.csv").write_text("\n".join(rows) + "\n")
    return folder / "slides", folder / "known.csv"
