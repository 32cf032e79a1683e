"""Measures the benchmark's patients and bags once, and keeps what was measured in a folder."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import other_changes
from foreign_bags import Bag, cells_of
from numpy.typing import NDArray
from other_changes import in_between, otherwise_made, pairs

import training.reference.changes
import training.reference.pairs
import vexas_edge.quality
from export.fuse import embedding_width, encoding_graph
from export.inputs import load_encoder
from export.preprocessing import CanvasScaling, preprocessing_named
from training.measured.case import MeasuredCase, read_measured, write_measured
from training.measured.measuring import Bench, changed_bags, statistics_of_cells
from training.reference.changes import KINDS, RgbPixels, fitted_changes
from training.reference.pairs import fitted_pairs
from vexas_edge.bundle.contract import CELLS, ENCODINGS, encoding_contract
from vexas_edge.cells.background import Background, background_of_cell, middle_background
from vexas_edge.cells.canvas import Canvas
from vexas_edge.cells.images import identity_of
from vexas_edge.cells.likeness import near_copies, signature_of
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.opening import open_engine
from vexas_edge.quality.statistics import MEASURED_CELLS

CANVAS_PX = 112


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A change of images. group: fitted, fitted pair, between, pair or otherwise."""

    group: str
    name: str
    kind: str
    family: str
    change: Callable[[RgbPixels], RgbPixels]


def conditions(*, small: bool) -> list[Condition]:
    """Every change, those that a gate is fitted on first; of a small run only some."""
    found = [
        *_conditions("fitted", ((c.name, c.kind, c) for c in fitted_changes())),
        *_conditions("fitted pair", ((c.name, "pair", c) for c in fitted_pairs())),
        *_conditions("between", ((c.name, c.kind, c) for c in in_between())),
        *_conditions("pair", pairs()),
        *_conditions("otherwise", otherwise_made()),
    ]
    return found[::20] if small else found


def _conditions(
    group: str, named: "Iterator[tuple[str, str, Callable[[RgbPixels], RgbPixels]]]"
) -> Iterator[Condition]:
    for name, kind, change in named:
        family = KINDS[kind].family if kind in KINDS else ""
        yield Condition(group=group, name=name, kind=kind, family=family, change=change)


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """How images are measured, and where that is kept.

    background: that every case is brought to; None leaves cells as they are.
    small: whether only some of the changes are made.
    """

    encoder: Path
    background: Background | None
    small: bool
    work: Path

    def patients(self, folders: Sequence[Path]) -> list[MeasuredCase]:
        """The cohort's patients, clean and changed."""
        return _in_two(partial(_measured_patient, self), folders)

    def clean_patients(self, folders: Sequence[Path]) -> list[MeasuredCase]:
        """The same, clean alone."""
        return _in_two(partial(_measured_clean, self), folders)

    def as_they_are(self) -> "Measuring":
        """The same without normalising."""
        return replace(self, background=None)

    def bags(self, found: Sequence[Bag]) -> list[MeasuredCase]:
        """Other bags, of the distinct images in each."""
        return _in_two(partial(_measured_bag, self), found)


def _in_two(work: Callable[[Any], MeasuredCase], tasks: Sequence[Any]) -> list[MeasuredCase]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        return list(pool.map(work, tasks))


def _measured_patient(how: Measuring, folder: Path) -> MeasuredCase:
    return _measured(how, cells_of(folder), conditions(small=how.small))


def _measured_clean(how: Measuring, folder: Path) -> MeasuredCase:
    return _measured(how, cells_of(folder), ())


def _measured_bag(how: Measuring, bag: Bag) -> MeasuredCase:
    return _measured(how, bag.images(), ())


def _measured(
    how: Measuring, images: Sequence[RgbPixels], changes: Sequence[Condition]
) -> MeasuredCase:
    """Images that show the same count once, as in scoring."""
    by_identity = dict(sorted((identity_of(image), image) for image in images[::-1]))
    copies = near_copies([signature_of(image) for image in by_identity.values()])
    distinct = {
        identity: image
        for place, (identity, image) in enumerate(by_identity.items())
        if place not in copies
    }
    facts = [code(), how.background, [c.name for c in changes], [i.hex() for i in distinct]]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    path = how.work / f"{key}.npz"
    if not path.exists():
        write_measured(_measured_anew(how, distinct, changes), path)
    return read_measured(path)


def _measured_anew(
    how: Measuring, distinct: dict[bytes, RgbPixels], changes: Sequence[Condition]
) -> MeasuredCase:
    bench, raw = _bench(how.encoder, how.background), list(distinct.values())
    slide = middle_background([background_of_cell(image) for image in raw])
    canvas = bench.canvas.for_background(slide)
    first = raw[:MEASURED_CELLS]
    return MeasuredCase(
        identities=tuple(distinct),
        encodings=bench.encode(np.stack([canvas.place(image) for image in raw])),
        statistics=statistics_of_cells(first, bench),
        changed=tuple(changed_bags(first, bench, [c.change for c in changes], "", lambda *_: None)),
    )


@cache
def _bench(encoder: Path, background: Background | None) -> Bench:
    loaded = load_encoder(encoder.name, encoder.parent, canvas_px=CANVAS_PX)
    scaling = CanvasScaling(preprocessing=preprocessing_named("keras-caffe"), canvas_px=CANVAS_PX)
    graph = encoding_graph(loaded.model, scaling)
    contract = encoding_contract(scaling.cells, embedding_width(loaded.model))
    engine = open_engine(
        graph.SerializeToString(), EngineOptions(threads=1, rows=contract.rows(MEASURED_CELLS))
    )

    def encode(cells: RgbPixels) -> NDArray[np.float32]:
        return engine.run({CELLS: cells})[ENCODINGS]

    canvas = Canvas(canvas_px=CANVAS_PX, larger="crop", background=background)
    return Bench(window_px=CANVAS_PX, canvas=canvas, encode=encode, threads=1)


@cache
def code() -> str:
    """The hash of the source that measurements depend on."""
    modules = (other_changes, training.reference.changes, training.reference.pairs)
    files = [Path(str(module.__file__)) for module in modules]
    files += sorted(Path(vexas_edge.quality.__path__[0]).glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
