"""Every case's bare slide is brought to that of the training cohort, everywhere in the same way."""

import random
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tiny import (
    CANVAS_PX,
    PREPROCESSING,
    WIDTH,
    TinyModel,
    mask_network,
    onnx_from_kernels,
    png,
    rewritten,
    there,
    tiny_model,
    write_cohort,
)
from training_command import Training
from training_command import training as training

from calibration.gate.samples import draw_samples
from calibration.gate.smears import canvas_of_smear, cells_of, open_smears, opened_canvas
from export import write_bundle
from export.fuse import encoding_graph
from export.golden import npz_from_arrays
from export.preprocessing import CanvasScaling
from training.encodings.encoder import Wanted, encode_cohort
from training.encodings.slide import background_of_cohort
from training.mask_network.isolated_cohort import CutOut, isolate_cohort
from training.pretraining.cell_stack import WantedCells, stack_cells
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.bundle.contract import encoding_contract
from vexas_edge.bundle.words import lines_from_bundle
from vexas_edge.cells.background import (
    apply_gains,
    background_of_cell,
    gain_table,
    is_alone_on_black,
    middle_background,
)
from vexas_edge.cells.canvas import Canvas, canvas_of_case, decoded_cells
from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.opening import open_engine
from vexas_edge.errors import BundleError, HostError, InputError, UsageError
from vexas_edge.results.values import ModelScore
from vexas_edge.runtime.selftest import golden_from_npz
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.images import reading, smears
from vexas_edge.scoring.images.canvases import canvas_of
from vexas_edge.scoring.verification import run_selftest
from vexas_edge.smear.case import Case
from vexas_edge.smear.cohort import read_cohort
from vexas_edge.smear.options import ReadOptions
from vexas_edge.talk import silent

SLIDE = (250, 230, 210)
PALE, CYTOPLASM, NUCLEUS = np.array([(245, 232, 236), (190, 130, 160), (110, 40, 120)])
RED_CELL = np.array((235, 198, 200))
LAMP = np.array((0.8, 0.7, 0.9))


def crop(seed: int, lamp: Any = 1.0) -> np.ndarray:
    """A cell among red cells on a slide that a lamp lights, uint8 (64, 64, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64] - 32
    pixels = np.full((64, 64, 3), PALE, float)
    for angle in rng.uniform(0, 2 * np.pi, 4):
        pixels[np.hypot(x - 24 * np.cos(angle), y - 24 * np.sin(angle)) < 8] = RED_CELL
    away = np.hypot(x, y)
    pixels[away < 7] = CYTOPLASM + rng.integers(-25, 26, 3)
    pixels[away < 3] = NUCLEUS
    return np.clip(rng.normal(pixels, 2) * lamp, 0, 255).astype(np.uint8)


def write_smear(folder: Path, cells: list[np.ndarray]) -> Path:
    (folder / "monocyte").mkdir(parents=True)
    for number, pixels in enumerate(cells):
        (folder / "monocyte" / f"{number}.png").write_bytes(png(pixels))
    return folder


def spec(folder: Path, **fields: Any) -> dict[str, Any]:
    model = {
        "cells": ["monocyte"],
        "encoder": str(folder / "encoder.onnx"),
        "preprocessing": {"mean": PREPROCESSING.mean, "scale": PREPROCESSING.scale},
        "canvas_px": CANVAS_PX,
        "minimum_cells": 2,
        "score_draws": 50,
        "encoding": "l2",
        "parity_cells": str(folder / "parity" / "monocyte"),
        "isolate": str(folder / "masks.onnx"),
        "normalise": "background",
        "background": SLIDE,
    }
    wanted = {name: value for name, value in (model | fields).items() if value is not None}
    return {
        "name": "normalising",
        "version": "1.0.0",
        "positive": "VEXAS",
        "models": {"monocyte": wanted},
    }


@pytest.fixture(scope="module")
def model() -> TinyModel:
    return tiny_model(3)


@pytest.fixture(scope="module")
def made(model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the bundle's sources, with bundles that normalise and that do not."""
    folder = tmp_path_factory.mktemp("normalising")
    onnx.save(onnx_from_kernels(model.kernels), folder / "encoder.onnx")
    onnx.save(mask_network(), folder / "masks.onnx")
    write_smear(folder / "parity", [crop(seed) for seed in range(4)])
    plain = spec(folder, normalise="none", background=None)
    write_bundle(plain, classifier=model.classifier, to=folder / "plain.vxb")
    write_bundle(spec(folder), classifier=model.classifier, to=folder / "b.vxb")
    return folder


def scored(case: Path | Case, bundle: Path, **options: Any) -> ModelScore:
    with case if isinstance(case, Case) else read_case(case) as opened:
        (found,) = score_case(opened, open_bundle(bundle), **options).models
    return found


def numbers(score: ModelScore) -> tuple[Any, ...]:
    return score.score, score.standard_error, score.interval_low, score.interval_high, score.n_cells


def by_hand(images: list[np.ndarray]) -> list[np.ndarray]:
    """The same images normalised as one case, in exact fractions."""
    slides = []
    for image in images:
        n = max(1, image.shape[0] * image.shape[1] // 5)
        brightest = np.sort(image.reshape(-1, 3), axis=0)[-n:]
        slides.append(brightest[(n - 1) // 2])
    found = np.sort(slides, axis=0)[(len(slides) - 1) // 2]
    tables = [
        [min(255, int(Fraction(v * wanted, int(f)) + Fraction(1, 2))) for v in range(256)]
        for f, wanted in zip(found, SLIDE, strict=True)
    ]
    return [
        np.stack([np.array(t, np.uint8)[image[..., c]] for c, t in enumerate(tables)], axis=-1)
        for image in images
    ]


CROPS = [crop(seed, LAMP) for seed in range(9)]


def test_the_bare_slide_is_the_middle_of_the_brightest_fifth() -> None:
    rng = np.random.default_rng(0)
    for shape in ((1, 1, 3), (2, 2, 3), (7, 9, 3), (40, 33, 3)):
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        n = max(1, shape[0] * shape[1] // 5)
        brightest = np.sort(pixels.reshape(-1, 3), axis=0)[-n:]
        assert background_of_cell(pixels) == tuple(brightest[(n - 1) // 2])


def test_of_an_even_number_of_slides_the_lower_of_both_middle_ones_counts() -> None:
    assert middle_background([(4, 40, 7)]) == (4, 40, 7)
    assert middle_background([(4, 40, 7), (5, 30, 9)]) == (4, 30, 7)
    assert middle_background([(4, 40, 7), (5, 30, 9), (9, 1, 8)]) == (5, 30, 8)


def test_gains_are_whole_levels_rounded_half_up() -> None:
    for found, wanted in (((1, 128, 255), (255, 64, 254)), ((0, 3, 200), (9, 2, 250))):
        table = gain_table(found, wanted)
        for channel in range(3):
            gain = Fraction(wanted[channel], max(found[channel], 1))
            expected = [min(255, int(level * gain + Fraction(1, 2))) for level in range(256)]
            assert table[channel].tolist() == expected
    assert (apply_gains(CROPS[0], gain_table(SLIDE, SLIDE)) == CROPS[0]).all()


def test_a_case_scores_as_its_images_normalised_by_hand(made: Path, tmp_path: Path) -> None:
    """The gains come before the mask network, which would take this dark slide for a cell."""
    raw = scored(write_smear(tmp_path / "raw", CROPS), made / "b.vxb")
    hand = scored(write_smear(tmp_path / "hand", by_hand(CROPS)), made / "plain.vxb")
    assert raw.n_cells == 9
    # Identities, and so draws, are those of the images as they are; encodings are compared below.
    assert raw.score == pytest.approx(hand.score, abs=0.1)
    assert not scored(tmp_path / "raw", made / "plain.vxb").n_cells
    with Sessions(open_bundle(made / "b.vxb")) as sessions, read_case(tmp_path / "raw") as case:
        own = canvas_of_case(case, ["monocyte"], canvas_of(sessions, "monocyte"), threads=2)
        with Sessions(open_bundle(made / "plain.vxb")) as others:
            plain = canvas_of(others, "monocyte")
            for image, normalised in zip(CROPS, by_hand(CROPS), strict=True):
                assert np.array_equal(own.place(image), plain.place(normalised))


def test_another_lamp_gives_other_cells_without_it_and_hardly_with_it(tmp_path: Path) -> None:
    bright = write_smear(tmp_path / "bright", [crop(seed) for seed in range(9)])
    dim = write_smear(tmp_path / "dim", CROPS)
    differences = []
    for slide in (None, SLIDE):
        shown = []
        for folder in (bright, dim):
            with read_case(folder) as case:
                uncut = Canvas(canvas_px=None, background=slide)
                own = canvas_of_case(case, ["monocyte"], uncut, threads=1)
                cells = decoded_cells(case, ["monocyte"], own, threads=1)
                shown.append(np.stack([c.pixels for c in cells if c.pixels is not None]))
        differences.append(np.abs(shown[0].astype(float) - shown[1]).mean())
    assert differences[0] > 30
    assert differences[1] < 3


def test_names_order_chunks_copies_and_memory_do_not_matter(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = made / "b.vxb"
    expected = numbers(scored(write_smear(tmp_path / "a", CROPS), bundle))
    turned = random.Random(0).sample(CROPS, len(CROPS))
    other = write_smear(tmp_path / "b", [*turned, CROPS[3]])
    for chunk_cells in (None, 1, 4, 100):
        assert numbers(scored(other, bundle, chunk_cells=chunk_cells)) == expected
    monkeypatch.setattr(smears, "KEPT_BYTES", 3 * CROPS[0].nbytes)
    assert numbers(scored(other, bundle)) == expected
    with Sessions(open_bundle(bundle), EngineOptions(threads=1)) as sessions:
        write_smear(tmp_path / "between", [crop(50), crop(51), crop(52)])
        for case in (other, tmp_path / "between", other):
            found = scored(case, bundle, sessions=sessions)
        assert numbers(found) == expected


def test_a_cell_without_its_slide_is_a_bug(made: Path) -> None:
    with (
        Sessions(open_bundle(made / "b.vxb")) as sessions,
        pytest.raises(ValueError, match="need the background of their case"),
    ):
        canvas_of(sessions, "monocyte").place(CROPS[0])


def test_training_sees_the_cells_that_scoring_sees(
    made: Path, model: TinyModel, tmp_path: Path
) -> None:
    """Encoding, pretraining and isolating all place a case's cells as the edge does."""
    write_smear(tmp_path / "P1", CROPS)
    (tmp_path / "cohort.csv").write_text("patient,sample,path,label,split\nP1,P1,P1,VEXAS,fit\n")
    rows = read_cohort(tmp_path / "cohort.csv")
    shown = dict(zip((f"monocyte/{n}.png" for n in range(9)), by_hand(CROPS), strict=True))
    common: dict[str, Any] = {"background": SLIDE, "reading": ReadOptions()}

    stack, _ = stack_cells(rows, WantedCells(classes=("monocyte",), **common))
    assert np.array_equal(stack.pixels.numpy(), np.stack(list(shown.values())))
    other, _ = stack_cells(rows, WantedCells(classes=("monocyte",), reading=ReadOptions()))
    assert stack.sha256() != other.sha256()

    with opened_canvas(open_bundle(made / "plain.vxb"), "monocyte") as plain:
        alone = replace(plain, canvas_px=None)
        asked = CutOut(isolate=alone.place, cells=("monocyte",), **common)
        assert isolate_cohort(rows, asked, tmp_path / "isolated") == ()
        written = sorted((tmp_path / "isolated").rglob("*.png"))
        for path, pixels in zip(written, shown.values(), strict=True):
            assert np.array_equal(rgb_from_bytes(path.read_bytes()), alone.place(pixels))

    scaling = CanvasScaling(preprocessing=PREPROCESSING, canvas_px=CANVAS_PX)
    graph = encoding_graph(onnx_from_kernels(model.kernels), scaling)
    contract = encoding_contract(scaling.cells, WIDTH)
    wanted = Wanted(cells=("monocyte",), canvas_px=CANVAS_PX, larger="crop", **common)
    options = EngineOptions(calls_at_once=2, rows=contract.rows(4))
    with open_engine(graph.SerializeToString(), options) as engine:
        found = encode_cohort(rows, wanted, engine, 4).found
    middle = np.stack([pixels[24:40, 24:40] for pixels in shown.values()])
    assert np.abs(found.encodings - model.encodings(middle)).max() < 1e-5


def test_the_cohorts_slide_is_the_middle_one_of_its_cases(tmp_path: Path) -> None:
    lines = ["patient,sample,path,label,split"]
    for number, light in enumerate((0.5, 0.9, 0.8)):
        write_smear(tmp_path / f"S{number}", [crop(number, light)])
        lines.append(f"P{number},S{number},S{number},VEXAS,fit")
    (tmp_path / "cohort.csv").write_text("\n".join(lines))
    rows = read_cohort(tmp_path / "cohort.csv")
    found = background_of_cohort(rows, ["monocyte"], ReadOptions())
    assert found == background_of_cell(crop(2, 0.8))
    with pytest.raises(InputError, match="none of the 3 cases has a readable cell of neutrophil"):
        background_of_cohort(rows, ["neutrophil"], ReadOptions())


def test_calibration_and_its_gate_see_normalised_cells(made: Path, tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", n_patients=6)
    bundle = open_bundle(made / "b.vxb")
    entry = bundle.manifest.models["monocyte"]
    uncut = Canvas(canvas_px=CANVAS_PX, background=entry.images.background)
    with ExitStack() as stack:
        smears = open_smears(read_cohort(cohort), "fit", ReadOptions(), stack)
        sample, _ = draw_samples(smears, entry, uncut, 8, 0)
        expected: set[bytes] = set()
        for smear in smears:
            own = canvas_of_case(smear.case, entry.cells, uncut, threads=1)
            decoded = decoded_cells(smear.case, entry.cells, own, threads=1)
            expected |= {there(c.pixels).tobytes() for c in decoded}
            placed = canvas_of_smear(smear, entry, uncut)
            assert isinstance(own.gains, np.ndarray)
            assert own.gains.tolist() == np.asarray(placed.gains).tolist()
        assert {cell.tobytes() for batch in sample.batches() for cell in batch} <= expected


def test_the_self_test_normalises_with_gains_other_than_one(made: Path, tmp_path: Path) -> None:
    bundle = open_bundle(made / "b.vxb")
    golden = golden_from_npz(bundle.model_file("monocyte", "golden.npz"))
    slide = middle_background([background_of_cell(image) for image in golden["images"]])
    gains = [wanted / found for found, wanted in zip(slide, SLIDE, strict=True)]
    assert all(gain > 1.05 for gain in gains)
    assert len(set(gains)) == 3
    checks = list(run_selftest(bundle, EngineOptions(threads=1)))
    assert [check.file for check in checks][:2] == ["golden.npz", "isolate.onnx"]
    assert checks[0].difference == 0

    path = "models/monocyte/golden.npz"
    brighter = golden | {"cells": golden["cells"] + (golden["cells"] > 0) * np.uint8(1)}
    for arrays, problem, text in (
        (brighter, HostError, "normalised cells differ by up to"),
        ({k: v for k, v in golden.items() if k != "images"}, BundleError, "lacks images"),
    ):
        changed = rewritten(made / "b.vxb", tmp_path / "b.vxb", {path: npz_from_arrays(arrays)})
        with pytest.raises(problem, match=text):
            list(run_selftest(open_bundle(changed), EngineOptions(threads=1)))


def test_cells_alone_on_black_are_not_normalised(
    made: Path, model: TinyModel, tmp_path: Path
) -> None:
    with opened_canvas(open_bundle(made / "plain.vxb"), "monocyte") as plain:
        alone = [replace(plain, canvas_px=None).place(crop(seed)) for seed in range(4)]
    assert all(map(is_alone_on_black, alone))
    assert not any(map(is_alone_on_black, CROPS))
    write_smear(tmp_path / "alone", alone)
    wanted = spec(made, isolate=None, parity_cells=str(tmp_path / "alone"))
    with pytest.raises(InputError, match="4 of the 4 cells in .* come alone on black"):
        write_bundle(wanted, classifier=model.classifier, to=tmp_path / "b.vxb")


def test_card_and_inspect_name_the_slide(made: Path) -> None:
    bundle = open_bundle(made / "b.vxb")
    words = "the bare slide of each case is brought to 250, 230, 210 (red, green, blue)"
    assert words in bundle.card()
    assert words in "\n".join(lines_from_bundle(bundle))
    plain = open_bundle(made / "plain.vxb")
    assert "bare slide" not in plain.card() + "\n".join(lines_from_bundle(plain))


def test_spec_and_manifest_must_say_both_or_neither(made: Path, tmp_path: Path) -> None:
    for fields in ({"background": None}, {"normalise": "none"}):
        with pytest.raises(UsageError, match=r'normalise = "background" and background = \[red'):
            write_bundle(spec(made, **fields), to=tmp_path / "b.vxb")
    with pytest.raises(UsageError, match=r"Expected `int` >= 1"):
        write_bundle(spec(made, background=(0, 1, 2)), to=tmp_path / "b.vxb")


def test_the_commands_measure_a_slide_and_use_it(tmp_path: Path, training: Training) -> None:
    write_smear(tmp_path / "S", CROPS)
    cohort = tmp_path / "cohort.csv"
    cohort.write_text("patient,sample,path,label,split\nP,S,S,VEXAS,fit\n")
    ended = training("background", cohort, "--cells", "monocyte")
    assert ended.status == 0, ended.err
    measured = middle_background([background_of_cell(pixels) for pixels in CROPS])
    assert ended.out == ",".join(map(str, measured)) + "\n"
    wrong = training("encode", cohort, "--background", "1,2")
    assert wrong.status == 2
    assert "is not three levels such as 254,230,204" in wrong.err
    assert "a level is 1 to 255" in training("encode", cohort, "--background", "0,2,3").err


def test_a_lamp_that_is_too_far_off_abstains_and_few_odd_cells_tell_nothing_of_it(
    made: Path, tmp_path: Path
) -> None:
    dark = write_smear(tmp_path / "dark", [crop(seed, 0.4) for seed in range(12)])
    with read_case(dark) as case:
        (model,) = score_case(case, open_bundle(made / "b.vxb")).models
    assert (model.status, model.reasons, model.score) == ("abstained", ("lamp",), None)
    assert "check lamp, exposure and white balance" in model.explanations[0]
    few = write_smear(tmp_path / "few", [crop(0, 0.4)])
    with read_case(few) as case:
        (model,) = score_case(case, open_bundle(made / "b.vxb")).models
    assert model.reasons == ("too_few_cells",)


def test_cells_that_come_cut_out_abstain(made: Path, model: TinyModel, tmp_path: Path) -> None:
    def cut_out(seed: int) -> np.ndarray:
        y, x = np.mgrid[:64, :64] - 32
        return np.where((np.hypot(x, y) < 9)[..., None], crop(seed), 0).astype(np.uint8)

    smear = write_smear(tmp_path / "smear", [cut_out(seed) for seed in range(12)])
    reasons = {}
    for normalise, background in (("background", SLIDE), ("none", None)):
        uncut = spec(made, isolate=None, larger="crop", normalise=normalise, background=background)
        write_bundle(uncut, classifier=model.classifier, to=tmp_path / "b.vxb")
        with read_case(smear) as case:
            (found,) = score_case(case, open_bundle(tmp_path / "b.vxb")).models
        reasons[normalise] = found.reasons
    assert reasons == {"background": ("cut_out_cells",), "none": ()}


def test_calibration_takes_the_cells_that_scoring_takes(made: Path, tmp_path: Path) -> None:
    cells = [crop(seed) for seed in range(8)]
    again = [np.clip(pixels.astype(int) + 2, 0, 255).astype(np.uint8) for pixels in cells[:3]]
    rng = np.random.default_rng(0)
    blanks = [np.clip(rng.normal(PALE, 3, (64, 64, 3)), 0, 255).astype(np.uint8) for _ in range(2)]
    write_smear(tmp_path / "S0", [*cells, *again, *blanks])
    (tmp_path / "cohort.csv").write_text("patient,sample,path,label,split\nP0,S0,S0,VEXAS,fit\n")
    bundle = open_bundle(made / "b.vxb")
    with ExitStack() as stack:
        rows = read_cohort(tmp_path / "cohort.csv")
        (smear,) = open_smears(rows, "fit", ReadOptions(), stack)
        own = cells_of(smear, bundle.manifest.models["monocyte"])
        taken = {smear.identities[cell.path].hex() for cell in own}
    with read_case(tmp_path / "S0") as case:
        (model,) = score_case(case, bundle).models
    assert taken == {cell.identity for cell in model.cells if cell.status == "used"}
    assert len(taken) == 8
    assert {record.reason for record in smear.lost} == {"empty"}


def test_cells_pull_as_removing_them_shows_while_the_gain_stays(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lamps = np.linspace(0.7, 0.95, 14)[:, None] * np.ones(3)
    smear = write_smear(tmp_path / "s", [crop(50 + n, lamp) for n, lamp in enumerate(lamps)])
    before = scored(smear, made / "b.vxb")
    with read_case(smear) as case:
        whole = reading.read_cells(case, "monocyte", ["monocyte"], silent, threads=1).background
    monkeypatch.setattr(reading.ReadCells, "background", property(lambda _: whole))
    paths = {cell.identity: cell.path for cell in before.cells}
    pulls = (*there(before.pulls).up, *there(before.pulls).down)
    for pull in pulls:
        path = smear / paths[pull.identity]
        content = path.read_bytes()
        path.unlink()
        after = scored(smear, made / "b.vxb")
        path.write_bytes(content)
        assert there(before.score) - there(after.score) == pytest.approx(pull.change, abs=1e-6)
    assert {pull.change > 0 for pull in pulls} == {True, False}
