"""Bags of images that a model for lymphocytes must not answer for, and some that it may."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from no_cells import (
    N_CELLS,
    SIDE_PX,
    black,
    blank,
    drawn,
    exact,
    flat,
    flipped,
    noise,
    noisy_copies,
    off_centre,
    red_cells,
    saved_again,
    shifted,
    shows_red_cells_alone,
    stripes,
    text,
)
from PIL import Image

from training.reference.changes import RgbPixels, saved_as_jpeg
from vexas_edge.cells.images import cell_from_bytes
from vexas_edge.errors import CellError

# Bags of no cell of each kind, and bags that are drawn from all patients of a source.
N_BAGS, N_POOLED = 15, 10
LEAST_OF_PATIENT = 8
CLASSES = {
    "neutrophils": "Segmented neutrophils",
    "monocytes": "Monocyte",
    "blasts": "Blast, no lineage spec",
    "promyelocytes": "Promyelocyte",
    "lymphocytes": "Lymphocyte",
}


@dataclass(frozen=True, kw_only=True)
class Bag:
    """Some images that are given to a model as one case.

    patient: whose cells some are, as an index into the cohort; -1 if none of the cohort's.
    images: makes them, uint8 (H, W, 3) each.
    """

    kind: str
    patient: int = -1
    images: Callable[[], list[RgbPixels]]


def bags(data: Path, patients: Sequence[Path], *, small: bool) -> Iterator[Bag]:
    """Every bag.

    Args:
        data: the folder that holds `jhu_discovery`, `cellavision100`, `bccd` and `cells`.
        patients: the folders of the cohort's patients.
        small: whether a few of each kind are enough.
    """
    n = 2 if small else N_BAGS
    for make in (blank, flat, black, noise, stripes, text, drawn):
        for seed in range(n):
            yield Bag(kind=make.__name__, images=partial(made, make, seed))
    for patient in range(0, len(patients), 20 if small else 2):
        own = partial(cells_of, patients[patient])
        for kind, change in (
            ("red cells", red_cells),
            ("off-centre", off_centre),
            ("one cell, exact", exact),
            ("one cell, shifted", shifted),
            ("one cell, flipped", flipped),
            ("one cell, noisy", noisy_copies),
            ("one cell, saved again", saved_again),
        ):
            yield Bag(kind=kind, patient=patient, images=partial(changed, change, own, patient))
    yield from _of_fields(data, 1 if small else 8)
    yield from _of_leukaemia(data, small=small)
    yield from _of_sources(data, small=small)
    yield from _mixed(data, patients, small=small)


def made(make: Callable[[np.random.Generator], RgbPixels], seed: int) -> list[RgbPixels]:
    """A bag of images that show no cell."""
    rng = np.random.default_rng(seed)
    return [make(rng) for _ in range(N_CELLS)]


def cells_of(folder: Path) -> list[RgbPixels]:
    """The images of a folder, in the order of their names; damaged ones are left out."""
    return read_images(sorted(path for path in folder.rglob("*") if path.is_file()))


def read_images(paths: Sequence[Path]) -> list[RgbPixels]:
    """These images, but for the damaged."""
    found = []
    for path in paths:
        try:
            found.append(cell_from_bytes(path.read_bytes()))
        except CellError:
            continue
    return found


def changed(
    change: Callable[[list[RgbPixels], np.random.Generator], list[RgbPixels]],
    own: Callable[[], list[RgbPixels]],
    seed: int,
) -> list[RgbPixels]:
    """A bag made of a patient's cells."""
    return change(own()[:N_CELLS], np.random.default_rng(seed))


def alike(cell: RgbPixels) -> RgbPixels:
    """The image's middle, saved as the cohort's images are."""
    top, left = ((side - SIDE_PX) // 2 for side in cell.shape[:2])
    return saved_as_jpeg(np.ascontiguousarray(cell[top : top + SIDE_PX, left : left + SIDE_PX]), 90)


def files(paths: Sequence[Path], *, as_ours: bool) -> list[RgbPixels]:
    """A bag of these files, as they are or saved as the cohort's are."""
    images = read_images(paths)
    return [alike(image) for image in images] if as_ours else images


def fields(paths: Sequence[Path], seed: int) -> list[RgbPixels]:
    """Windows of whole fields that show red cells and no other."""
    rng = np.random.default_rng(seed)
    # A field is larger than any cell that is read.
    whole = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    found: list[RgbPixels] = []
    for _ in range(2000):
        field = whole[rng.integers(len(whole))]
        top, left = (int(rng.integers(side - SIDE_PX)) for side in field.shape[:2])
        window = field[top : top + SIDE_PX, left : left + SIDE_PX]
        if shows_red_cells_alone(window):
            found.append(np.ascontiguousarray(window))
        if len(found) == N_CELLS:
            break
    return found


def _of_fields(data: Path, n: int) -> Iterator[Bag]:
    overviews = sorted((data / "jhu_discovery").glob("*/**/Unsigned slides/*_001.jpg"))
    large = [path for path in overviews if path.stat().st_size > 300_000]
    for seed in range(n):
        yield Bag(kind="red cells of another hospital", images=partial(fields, large, seed))


def _of_leukaemia(data: Path, *, small: bool) -> Iterator[Bag]:
    rng = np.random.default_rng(7)
    for words, folder in list(CLASSES.items())[: 1 if small else None]:
        of_patient = _by_patient(data, folder)
        everyone = [path for paths in of_patient.values() for path in paths]
        many = [paths for paths in of_patient.values() if len(paths) >= LEAST_OF_PATIENT]
        for as_ours in (False, True):
            kind = f"{words}, {'saved alike' if as_ours else 'as exported'}"
            for paths in many[: 2 if small else None]:
                yield Bag(
                    kind=f"{kind}, one patient", images=partial(files, paths, as_ours=as_ours)
                )
            for n_cells in (N_CELLS, 40):
                for _ in range(1 if small else N_POOLED):
                    chosen = rng.choice(len(everyone), n_cells, replace=False)
                    paths = [everyone[place] for place in chosen]
                    yield Bag(
                        kind=f"{kind}, {n_cells} of many",
                        images=partial(files, paths, as_ours=as_ours),
                    )


def _by_patient(data: Path, folder: str) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    root = data / "jhu_discovery"
    for path in sorted(root.glob(f"Patient_*/**/{folder}/*.jpg")):
        found.setdefault(path.relative_to(root).parts[0], []).append(path)
    return found


def _of_sources(data: Path, *, small: bool) -> Iterator[Bag]:
    """Distinct cells of other sources, 16 a bag and all in one."""
    for kind, folder in (
        ("cellavision100", data / "cellavision100" / "images"),
        ("bccd", data / "bccd" / "crops360"),
        ("barcelona", data / "cells" / "barcelona"),
        ("munich", data / "cells" / "munich"),
    ):
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        n_bags = len(paths) // N_CELLS
        for number in range(min(n_bags, 1) if small else n_bags):
            chosen = paths[number::n_bags][:N_CELLS]
            yield Bag(kind=f"{kind}, 16", images=partial(files, chosen, as_ours=False))
        if not small:
            yield Bag(kind=f"{kind}, all", images=partial(files, paths, as_ours=False))


def _mixed(data: Path, patients: Sequence[Path], *, small: bool) -> Iterator[Bag]:
    rng = np.random.default_rng(11)
    blasts = [path for paths in _by_patient(data, CLASSES["blasts"]).values() for path in paths]
    for patient in range(0, len(patients), 30 if small else 3):
        for share, n_others in ((20, 3), (50, 8)):
            own = partial(cells_of, patients[patient])
            chosen = [blasts[k] for k in rng.choice(len(blasts), n_others, replace=False)]
            others: partial[list[RgbPixels]] = partial(files, chosen, as_ours=True)
            mixed = partial(together, own, others, n_others)
            yield Bag(kind=f"{share} % blasts", patient=patient, images=mixed)
            other = (patient + int(rng.integers(1, len(patients)))) % len(patients)
            of_other = partial(cells_of, patients[other])
            mixed = partial(together, own, of_other, n_others)
            yield Bag(kind=f"{share} % of another patient", patient=patient, images=mixed)


def together(
    own: Callable[[], list[RgbPixels]], others: Callable[[], list[RgbPixels]], n_others: int
) -> list[RgbPixels]:
    """A patient's cells, some of them replaced by others."""
    return own()[: N_CELLS - n_others] + others()[:n_others]
