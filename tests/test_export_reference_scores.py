"""A bundle gives the scores that the user's own pipeline gave, or says which step differs."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC
from tiny import png
from torch import nn

from export import write_bundle
from export.backbones import build_backbone, load_weights
from export.comparing import ParityError
from export.reference_scores import Compared, agree, read_reference_scores
from training.encodings.slide import background_of_cohort
from vexas_edge import open_bundle
from vexas_edge.errors import InputError, UsageError
from vexas_edge.smear.cohort import read_cohort
from vexas_edge.smear.options import ReadOptions

PX = 24


@dataclass(frozen=True, kw_only=True)
class Mine:
    """A user's own pipeline, written without a line of ours."""

    net: nn.Module
    normalised: bool = True
    bgr: bool = True
    mean: tuple[float, float, float] = (103.939, 116.779, 123.68)
    place: Callable[[np.ndarray], np.ndarray]
    size: int = 10
    draws: int = 1000
    positive: str = "VEXAS"
    slide: tuple[int, int, int] | None = None

    def encodings(self, folder: Path) -> np.ndarray:
        """Of the images of one patient, float32 (N, D)."""
        shown = []
        for path in sorted(folder.rglob("*.*")):
            with Image.open(path) as image:
                shown.append(np.asarray(image.convert("RGB")))
        if self.slide:
            gains = np.array(self.slide) / bare_slide(shown)
            shown = [np.clip(np.rint(p * gains), 0, 255).astype(np.uint8) for p in shown]
        cells = [self.place(pixels).astype(np.float32) for pixels in shown]
        images = np.stack(cells)[..., ::-1] if self.bgr else np.stack(cells)
        images = (images - np.array(self.mean, np.float32)).transpose(0, 3, 1, 2)
        with torch.inference_mode():
            found = self.net.eval()(torch.from_numpy(np.ascontiguousarray(images))).numpy()
        return found / np.linalg.norm(found, axis=1, keepdims=True) if self.normalised else found

    def medians(self, encodings: np.ndarray, seed: int, draws: int | None = None) -> np.ndarray:
        rng = np.random.default_rng(seed)
        rows = rng.integers(0, len(encodings), (draws or self.draws, self.size))
        return np.median(encodings[rows], axis=1).astype(np.float64)

    def score(self, classifier: Any, encodings: np.ndarray, seed: int) -> tuple[float, float]:
        """The score and its standard error."""
        column = list(classifier.classes_).index(self.positive)
        found = classifier.predict_proba(self.medians(encodings, seed))[:, column]
        return float(found.mean()), float(found.std(ddof=1) / np.sqrt(self.draws))


def bare_slide(shown: list[np.ndarray]) -> np.ndarray:
    """The middle over the cells of the median of each one's brightest fifth, by hand."""
    levels = [np.sort(pixels.reshape(-1, 3), axis=0) for pixels in shown]
    return np.median([np.median(level[-len(level) // 5 :], axis=0) for level in levels], axis=0)


def centred(side: int) -> Callable[[np.ndarray], np.ndarray]:
    """Centre crop and black padding, by hand."""

    def place(pixels: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            spare = side - pixels.shape[axis]
            if spare < 0:
                pixels = np.take(pixels, range(-spare // 2, -spare // 2 + side), axis)
            else:
                widths = [(0, 0)] * 3
                widths[axis] = (spare // 2, spare - spare // 2)
                pixels = np.pad(pixels, widths)
        return pixels

    return place


def net() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 12, 3, 2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen patients, of whom some have more reddish cells and some more bluish ones."""
    folder = tmp_path_factory.mktemp("cohort")
    rng = np.random.default_rng(5)
    lines = ["patient,sample,path,label,split"]
    for n in range(14):
        place = folder / f"S{n}" / "monocyte"
        place.mkdir(parents=True)
        for i in range(16):
            red = rng.random() < (0.75 if n % 2 else 0.3)
            height, width = rng.integers(10, 33, 2)
            colour = (190, 90, 140) if red else (110, 100, 200)
            pixels = rng.normal(colour, 30, (height, width, 3)).clip(0, 255).astype(np.uint8)
            (place / f"{i}.png").write_bytes(png(pixels))
        lines.append(f"P{n},S{n},S{n},{('control', 'VEXAS')[n % 2]},fit")
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")
    return folder / "cohort.csv"


MINE = Mine(net=net(), place=centred(PX))


def fitted(mine: Mine, encodings: Mapping[str, np.ndarray], labels: Mapping[str, str]) -> Any:
    medians = [mine.medians(e, seed, draws=30) for seed, e in enumerate(encodings.values())]
    groups = np.repeat([labels[name] for name in encodings], 30)
    return CalibratedClassifierCV(SVC(), ensemble=False).fit(np.concatenate(medians), groups)


def export_mine(mine: Mine, cohort: Path, to: Path, **spec: Any) -> Any:
    """Fit and score as `mine` does, and export the bundle that the spec describes."""
    rows = read_cohort(cohort)
    encodings = {row.sample: mine.encodings(row.path) for row in rows}
    labels = {row.sample: row.label for row in rows}
    classifier = fitted(mine, encodings, labels)
    lines = ["sample,score,standard_error"]
    for seed, (sample, found) in enumerate(encodings.items(), start=100):
        score, error = mine.score(classifier, found, seed)
        lines.append(f"{sample},{score},{error}")
    (to / "mine.csv").write_text("\n".join(lines) + "\n")
    model = {
        "cells": ["monocyte"],
        "preprocessing": "keras-caffe",
        "encoding": "l2",
        "canvas_px": PX,
        "larger": "crop",
        "parity_cells": str(cohort.parent / "S0"),
        "reference_scores": str(to / "mine.csv"),
        "cohort": str(cohort),
    }
    fields: dict[str, Any] = {"name": "site", "version": "1", "positive": "VEXAS"}
    fields |= {"models": {"monocyte": {**model, **spec}}}
    return write_bundle(fields, encoder=mine.net, classifier=classifier, to=to / "site.vxb")


@pytest.mark.parametrize("encoding", ["l2", "raw"])
def test_the_right_spec_gives_the_scores_of_the_users_own_pipeline(
    cohort: Path, tmp_path: Path, encoding: str
) -> None:
    mine = replace(MINE, normalised=encoding == "l2")
    manifest = export_mine(mine, cohort, tmp_path, encoding=encoding)
    measured = manifest.provenance["reference_scores"]["monocyte"]
    assert measured["patients"] == 14
    assert measured["mean_difference"] < 0.01
    opened = open_bundle(tmp_path / "site.vxb").manifest
    assert opened.models["monocyte"].encoding == encoding
    assert opened.provenance["reference_scores"]["monocyte"] == measured


def resized(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((PX, PX), Image.Resampling.BILINEAR))


def in_the_corner(pixels: np.ndarray) -> np.ndarray:
    canvas = np.zeros((PX, PX, 3), np.uint8)
    kept = pixels[:PX, :PX]
    canvas[: kept.shape[0], : kept.shape[1]] = kept
    return canvas


@pytest.mark.parametrize(
    ("mine", "spec", "named"),
    [
        (replace(MINE, normalised=False), {}, 'normalisation differs, .*needs encoding = "raw"'),
        (MINE, {"encoding": "raw"}, 'normalisation differs, .*needs encoding = "l2"'),
        (
            replace(MINE, bgr=False, mean=(123.68, 116.779, 103.939), normalised=False),
            {
                "encoding": "raw",
                "preprocessing": {"mean": (123.68, 116.779, 103.939), "bgr": True},
            },
            "colour order differs, and red comes first",
        ),
        (
            replace(MINE, bgr=False, mean=(0, 0, 0), normalised=False),
            {"encoding": "raw", "preprocessing": {"mean": (123.68, 116.779, 103.939)}},
            "mean or the scale differs, and the preprocessing was keras-efficientnet",
        ),
        (replace(MINE, place=resized, normalised=False), {"encoding": "raw"}, "were resized"),
        (
            replace(MINE, place=centred(PX), normalised=False),
            {"encoding": "raw", "canvas_px": 32},
            "canvas or the crop differs",
        ),
        (replace(MINE, size=1), {}, "draw size differs, and the spec needs draw_size = 1"),
        (
            replace(MINE, positive="control"),
            {},
            "class order differs, and these are probabilities of 'control'",
        ),
    ],
)
def test_a_wrong_spec_is_refused_and_the_step_named(
    cohort: Path, tmp_path: Path, mine: Mine, spec: dict[str, Any], named: str
) -> None:
    with pytest.raises(ParityError, match=f"which the draws do not explain; most likely .*{named}"):
        export_mine(mine, cohort, tmp_path, **spec)
    assert not (tmp_path / "site.vxb").exists()


@pytest.fixture(scope="module")
def lit(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same patients under lamps of other brightness and colour."""
    folder = tmp_path_factory.mktemp("lit")
    rng = np.random.default_rng(6)
    for n in range(14):
        lamp = rng.uniform(0.6, 1.1, 3)
        (folder / f"S{n}" / "monocyte").mkdir(parents=True)
        for path in (cohort.parent / f"S{n}" / "monocyte").iterdir():
            with Image.open(path) as image:
                pixels = np.clip(np.asarray(image) * lamp, 0, 255).astype(np.uint8)
            (folder / f"S{n}" / "monocyte" / path.name).write_bytes(png(pixels))
    (folder / "cohort.csv").write_text(cohort.read_text())
    return folder / "cohort.csv"


@pytest.mark.parametrize("mine_normalises", [True, False])
def test_a_slide_that_only_one_of_both_evens_out_is_named(
    lit: Path, tmp_path: Path, mine_normalises: bool
) -> None:
    slide = background_of_cohort(read_cohort(lit), ["monocyte"], ReadOptions())
    spec = {"normalise": "background", "background": slide}
    mine = replace(MINE, slide=slide) if mine_normalises else MINE
    named = "the bare slide was brought to" if mine_normalises else "the bare slide was left as"
    with pytest.raises(ParityError, match=f"most likely {named}"):
        export_mine(mine, lit, tmp_path, **({} if mine_normalises else spec))
    (tmp_path / "right").mkdir()
    export_mine(mine, lit, tmp_path / "right", **(spec if mine_normalises else {}))


class Shuffled(Mine):
    """A pipeline whose scores have nothing to do with its cells."""

    def score(self, *seen: Any) -> tuple[float, float]:
        return float(np.random.default_rng(seen[-1]).random()), 0.01


def test_scores_of_other_cells_are_refused_without_a_guess(cohort: Path, tmp_path: Path) -> None:
    other = Shuffled(net=MINE.net, place=MINE.place)
    with pytest.raises(ParityError, match="no single change of normalisation, .* explains it"):
        export_mine(other, cohort, tmp_path)


def test_without_standard_errors_the_papers_hundred_draws_are_assumed(
    cohort: Path, tmp_path: Path
) -> None:
    first = export_mine(replace(MINE, draws=100), cohort, tmp_path)
    lines = (tmp_path / "mine.csv").read_text().splitlines()
    (tmp_path / "bare.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines))
    again = export_mine(
        replace(MINE, draws=100), cohort, tmp_path, reference_scores=str(tmp_path / "bare.csv")
    )
    known, assumed = (
        manifest.provenance["reference_scores"]["monocyte"] for manifest in (first, again)
    )
    assert assumed["mean_difference"] == known["mean_difference"]
    name = "standard_error_of_a_difference"
    assert assumed[name] == pytest.approx(known[name], rel=0.2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sample;score\nS1;0.5\n", "lacks the columns sample"),
        ("sample,score\n", "lacks the columns sample"),
        ("sample,score\nS1,0.5\nS1,0.6\n", "line 3: sample 'S1' has a score already"),
        ("sample,score\nS99,0.5\n", "line 2: the cohort has no sample of the sample 'S99'"),
        ("patient,score\nP1,high\n", "line 2: score is 'high'; expected a number from 0 to 1"),
        ("patient,score\nP1,1.5\n", "line 2: score is '1.5'; expected a number from 0 to 1"),
        ("sample,score,standard_error\nS1,0.5,-1\n", "standard_error is '-1'"),
    ],
)
def test_scores_that_make_no_sense_are_refused(
    cohort: Path, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(InputError) as refused:
        read_reference_scores(tmp_path / "mine.csv", read_cohort(cohort))
    assert said in str(refused.value)


def test_errors_so_large_that_anything_agrees_are_refused(cohort: Path, tmp_path: Path) -> None:
    export_mine(MINE, cohort, tmp_path)
    lines = [line.rpartition(",")[0] + ",0.2" for line in (tmp_path / "mine.csv").open()]
    (tmp_path / "wide.csv").write_text("\n".join(["sample,score,standard_error", *lines[1:]]))
    wide = {"reference_scores": str(tmp_path / "wide.csv")}
    with pytest.raises(InputError, match="too uncertain to be compared: .* is 0.200 in the mean"):
        export_mine(MINE, cohort, tmp_path, **wide)


def test_a_model_that_abstains_for_most_patients_proves_nothing(
    cohort: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        InputError, match="scores 0 of the 14 patients of .* abstains for the others"
    ):
        export_mine(MINE, cohort, tmp_path, minimum_cells=17)


def test_a_shift_of_everybody_counts_though_nobody_is_far_away(cohort: Path) -> None:
    rows = read_cohort(cohort)
    shifted, noisy = (
        [
            Compared(
                row=row,
                bundle=0.5 + by * sign,
                bundle_error=0.005,
                reference=0.5,
                reference_error=0.005,
                more_draws=10,
            )
            for row, sign in zip(rows, signs, strict=True)
        ]
        for by, signs in ((0.016, [1] * 14), (0.008, [1, -1] * 7))
    )
    assert not agree(shifted)
    assert agree(noisy)


def test_scores_without_a_cohort_are_refused(cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="reference_scores and cohort go together"):
        export_mine(MINE, cohort, tmp_path, reference_scores=None)


# Real patients


@pytest.mark.real_data
@pytest.mark.parametrize("normalised", [False, True])
def test_on_40_real_patients_the_right_key_agrees_and_the_wrong_one_is_refused(
    shared_data: Path, tmp_path: Path, normalised: bool
) -> None:
    """A user's torch network, and an SVM fitted on its raw encodings or on normalised ones."""
    (weights,) = (shared_data / "squeezenet11").glob("*.onnx")
    network = build_backbone("squeezenet11")
    load_weights(network, weights)
    mine = Mine(
        net=network.eval(),
        place=centred(112),
        normalised=normalised,
        positive="tumoral",
    )
    rows = read_cohort(shared_data / "lymphocytosis" / "cohort.csv")
    fit, judged = rows[0::3][:33], [row for n, row in enumerate(rows) if n % 3][:40]
    encodings = {row.sample: mine.encodings(row.path) for row in (*fit, *judged)}
    medians = [mine.medians(encodings[row.sample], n, draws=60) for n, row in enumerate(fit)]
    labels = np.repeat([row.label for row in fit], 60)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        svm = SVC(probability=True, random_state=0).fit(np.concatenate(medians), labels)
    scores = {
        row.sample: mine.score(svm, encodings[row.sample], n) for n, row in enumerate(judged, 500)
    }
    lines = [f"{sample},{score},{error}" for sample, (score, error) in scores.items()]
    (tmp_path / "mine.csv").write_text("\n".join(["sample,score,standard_error", *lines]) + "\n")
    model = {
        "cells": ["lymphocyte"],
        "preprocessing": "keras-caffe",
        "encoding": "l2" if normalised else "raw",
        "canvas_px": 112,
        "larger": "crop",
        "parity_cells": str(rows[0].path),
        "reference_scores": str(tmp_path / "mine.csv"),
        "cohort": str(shared_data / "lymphocytosis" / "cohort.csv"),
        "reading": {"cell_type": "lymphocyte"},
    }
    spec = {"name": "real", "version": "1", "positive": "tumoral", "models": {"lymphocyte": model}}
    to = tmp_path / "real.vxb"
    manifest = write_bundle(spec, encoder=mine.net, classifier=svm, to=to)
    measured = manifest.provenance["reference_scores"]["lymphocyte"]
    assert measured["patients"] == 40
    assert measured["mean_difference"] < 0.01
    assert measured["calls_apart"] == 0
    to.unlink()
    model["encoding"] = "raw" if normalised else "l2"
    with pytest.raises(ParityError, match="most likely the normalisation differs"):
        write_bundle(spec, encoder=mine.net, classifier=svm, to=to)
    assert not to.exists()
