"""`commission` describes a site, and opens the gate by known slides alone."""

import csv
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from site_slides import (
    MODEL,
    SITE,
    STATED,
    foreign_bundle,
    foreign_reference,
    stating,
    write_site,
    write_slide,
)
from tiny import Ended, kept, recorded, rewritten, there, write_case
from tiny_bag import BagKind, bag_bundle
from tiny_gate import small_reference

from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.bundle.site_file import site_of, site_path
from vexas_edge.commissioning import opening
from vexas_edge.commissioning.red_cells import middle_diameter, red_cell_diameters
from vexas_edge.commissioning.sources import along_main_axis, apart, clusters_apart
from vexas_edge.domain.gate import judge
from vexas_edge.domain.reference import Reference
from vexas_edge.errors import UsageError
from vexas_edge.ledger.checking import problems_of_folder
from vexas_edge.quality.statistics import MEASURED_CELLS, case_statistics, cell_statistics
from vexas_edge.results.values import ModelScore
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.answering import answered
from vexas_edge.scoring.encoded import Examined
from vexas_edge.scoring.images.examining import judged_cells
from vexas_edge.scoring.images.reading import read_cells
from vexas_edge.scoring.score import score_past_the_gate
from vexas_edge.smear.options import ReadOptions
from vexas_edge.talk import silent

Command = Callable[..., Ended]


@pytest.fixture(scope="module")
def bundle_once(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return foreign_bundle(tiny_bundle, tmp_path_factory.mktemp("foreign") / "site.vxb")


@pytest.fixture
def bundle(bundle_once: Path, tmp_path: Path) -> Path:
    """A bundle that finds every tiny slide foreign."""
    return Path(shutil.copy(bundle_once, tmp_path / "site.vxb"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """22 negatives and 12 positives, and the table that says so. Do not change."""
    return write_site(tmp_path_factory.mktemp("site"))


@pytest.fixture
def commission(vexas_edge: Command) -> Command:
    def run(slides: Path, bundle: Path, known: Path | None = None) -> Ended:
        table = ("--known", known) if known else ()
        before = bundle.read_bytes()
        ended = vexas_edge("commission", slides, "--recursive", "--bundle", bundle, *SITE, *table)
        assert "Traceback" not in ended.err
        assert bundle.read_bytes() == before
        return ended

    return run


@pytest.fixture
def slides(site: tuple[Path, Path], tmp_path: Path) -> Path:
    """The site's slides, to be changed."""
    return Path(shutil.copytree(site[0], tmp_path / "slides"))


def refused(ended: Ended, bundle: Path) -> str:
    """Why nothing was opened; nothing was written either."""
    assert ended.status == 5
    assert ended.err.endswith(
        "error: no domain gate is opened by these slides; nothing was written\n"
    )
    assert not site_path(bundle).exists()
    start = "    domain gate not opened: "
    return "\n".join(
        line.removeprefix(start) for line in ended.out.splitlines() if line.startswith(start)
    )


def other_table(known: Path, to: Path, change: Callable[[list[str]], list[str]]) -> Path:
    """The table with other rows below its header."""
    header, *rows = known.read_text().splitlines()
    to.write_text("\n".join([header, *change(rows)]) + "\n")
    return to


def test_known_slides_open_the_gate_and_every_result_says_so(
    vexas_edge: Command,
    commission: Command,
    bundle: Path,
    site: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    slides, known = site
    out = tmp_path / "out"
    scoring = ("score", slides / "S3", "--bundle", bundle, "-o", out)
    assert vexas_edge(*scoring).status == 3
    done = commission(slides, bundle, known)
    assert done.status == 0, done.out
    assert "    domain gate: centred on this site\n" in done.out
    assert "known negatives called positive: 0 of 22 (0 %; 95 % bounds 0 to 15 %)" in done.out
    assert done.err.startswith(f"note: centred on this site: {MODEL}; ")
    ended = vexas_edge(*scoring)
    assert ended.status == 0
    assert ended.out.startswith("S3: scored: neutrophil ")
    result, file = kept(out, "S3"), site_path(bundle)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert result["site"] == recorded(out, "started")["site"]
    assert result["site"]["sha256"] == sha256
    assert result["site"]["opens"] == [MODEL]
    assert (result["site"]["instrument"], result["site"]["software"]) == ("DM96", "7.0")
    assert (out / "cases.csv").read_text().count(sha256) == 1
    assert problems_of_folder(out) == []
    assert "shown again" in vexas_edge(*scoring).err
    inspected = vexas_edge("inspect", bundle)
    assert "domain gate: centred on this site" in inspected.out
    assert f"{file.name}: is as it was written" in vexas_edge("verify", bundle).out
    failed = vexas_edge("score", tmp_path / "nowhere", "--bundle", bundle, "-o", out)
    assert failed.status == 5
    assert kept(out, "nowhere")["site"]["sha256"] == sha256


def test_a_watcher_scores_with_the_site_too(
    vexas_edge: Command,
    commission: Command,
    bundle: Path,
    site: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    out, arriving = tmp_path / "out", tmp_path / "arriving"
    shutil.copytree(site[0] / "S3", arriving / "S3")
    watching = ("watch", arriving, "--bundle", bundle, "-o", out, "--once", "--settle", "0")
    assert vexas_edge(*watching).status == 3
    commission(site[0], bundle, site[1])
    assert vexas_edge(*watching).status == 0
    assert kept(out, "S3")["status"] == "scored"
    assert recorded(out, "started")["site"]["opens"] == [MODEL]
    assert problems_of_folder(out) == []
    started = out / "runs" / "000004-started.json"
    started.write_text(started.read_text().replace('"software": "7.0"', '"software": "7.1"'))
    assert problems_of_folder(out) != []


def test_results_with_a_site_file_and_without_stay_side_by_side(
    vexas_edge: Command,
    commission: Command,
    bundle: Path,
    site: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    scoring = ("score", site[0] / "S3", "--bundle", bundle, "-o", out)
    vexas_edge(*scoring)
    commission(site[0], bundle, site[1])
    vexas_edge(*scoring)
    site_path(bundle).unlink()
    assert "shown again" in vexas_edge(*scoring).err
    rows = list(csv.DictReader((out / "cases.csv").read_text().splitlines()))
    assert {(row["status"], row["state"]) for row in rows} == {
        ("abstained", "current"),
        ("scored", "current"),
    }


def test_a_bundle_is_measured_with_its_own_gate(
    commission: Command, bundle: Path, site: tuple[Path, Path]
) -> None:
    slides, known = site
    commission(slides, bundle, known)
    opened = open_bundle(bundle)
    with read_case(slides / "S3") as case:
        here, measured = score_case(case, opened), score_past_the_gate(case, opened)
    (answered,), (past,) = here.models, measured.models
    assert (here.status, answered.score) == ("scored", past.score)
    assert (here.site is None, measured.site) == (False, None)
    assert there(past.domain).margin > 0 > there(answered.domain).margin


def test_a_replay_wants_the_site_file_of_its_time(
    vexas_edge: Command,
    commission: Command,
    bundle: Path,
    site: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    slides, known = site
    out, closed, opened = tmp_path / "out", "000002-S3.json", "000005-S3.json"
    scoring = ("score", slides / "S3", "--bundle", bundle, "-o", out)
    vexas_edge(*scoring)
    commission(slides, bundle, known)
    vexas_edge(*scoring)

    def replay(name: str) -> Ended:
        smear = ("--input", slides / "S3", "--bundle", bundle)
        return vexas_edge("replay", out / "cases" / name, *smear)

    assert replay(opened).status == 0
    ended = replay(closed)
    assert ended.status == 2
    assert "lies that of DM96, commissioned " in ended.err
    assert "the result was made with no site file of this bundle" in ended.err
    site_path(bundle).unlink()
    assert replay(closed).status == 0
    assert replay(opened).status == 2


def test_without_known_slides_a_site_is_only_described(
    vexas_edge: Command, commission: Command, bundle: Path, site: tuple[Path, Path]
) -> None:
    slides, known = site
    done = commission(slides, bundle)
    assert done.status == 0
    assert "answers for 0 of 34 cases; abstains: foreign_cells 34\n" in done.out
    assert "domain gate not opened: no known slides were given (--known)\n" in done.out
    assert "images: PNG 408; " in done.out
    first = site_path(bundle).read_bytes()
    ended = vexas_edge("score", slides / "S3", "--bundle", bundle)
    assert ended.status == 3
    again = commission(slides, bundle, known)
    assert again.status == 0
    mark = hashlib.sha256(first).hexdigest()[:8]
    assert (bundle.parent / f"site.vxb.site-{mark}.json").read_bytes() == first
    assert f"it is kept as {bundle.parent / f'site.vxb.site-{mark}.json'}\n" in again.err


def test_what_was_there_stays_where_known_slides_open_nothing(
    commission: Command, bundle: Path, site: tuple[Path, Path], tmp_path: Path
) -> None:
    slides, known = site
    commission(slides, bundle, known)
    before = site_path(bundle).read_bytes()
    wrong = other_table(
        known, tmp_path / "wrong.csv", lambda rows: [row.replace("VEXAS", "MDS") for row in rows]
    )
    ended = commission(slides, bundle, wrong)
    assert ended.status == 5
    assert ended.err.endswith(f"nothing was written, and {site_path(bundle)} is as it was\n")
    assert site_path(bundle).read_bytes() == before
    assert len(list(bundle.parent.glob("site.vxb.site*"))) == 1


def test_a_description_takes_no_opened_sites_place(
    vexas_edge: Command, commission: Command, bundle: Path, site: tuple[Path, Path]
) -> None:
    slides, known = site
    commission(slides, bundle, known)
    file = site_path(bundle)
    before = file.read_bytes()
    ended = commission(slides / "S3", bundle)
    assert ended.status == 0
    assert "domain gate not opened: no known slides were given (--known)\n" in ended.out
    assert ended.err == (
        "note: nothing was written, since a description takes no opened site's place: "
        f"{file} opens {MODEL} and stays; to end that, remove the file, and start a watcher anew\n"
    )
    assert (file.read_bytes(), list(file.parent.glob("site.vxb.*"))) == (before, [file])
    assert vexas_edge("score", slides / "S3", "--bundle", bundle).status == 0
    file.unlink()
    assert commission(slides / "S3", bundle).status == 0
    assert file.exists()


def test_a_description_takes_the_place_of_a_file_that_opens_nothing_here(
    commission: Command, bundle: Path, site: tuple[Path, Path], tmp_path: Path
) -> None:
    slides, known = site
    commission(slides, bundle, known)
    other = rewritten(bundle, tmp_path / "other.vxb", version="9")
    shutil.copy(site_path(bundle), site_path(other))
    assert commission(slides / "S3", other).err.startswith("note: the site file that was there")
    site_path(bundle).write_bytes(b"damaged")
    assert commission(slides / "S3", bundle).err.startswith("note: the site file that was there")


def test_sessions_take_no_site_of_another_bundle(
    commission: Command, bundle: Path, site: tuple[Path, Path], tmp_path: Path
) -> None:
    commission(site[0], bundle, site[1])
    found = site_of(open_bundle(bundle))
    other = open_bundle(rewritten(bundle, tmp_path / "other.vxb", version="9"))
    with pytest.raises(UsageError, match="the site file is of another bundle, of hash "):
        Sessions(other, site=found)


@pytest.mark.parametrize(
    ("negatives", "positives", "opens"), [(20, 10, True), (19, 10, False), (20, 9, False)]
)
def test_twenty_negatives_and_ten_positives_are_enough_and_one_fewer_of_either_is_not(
    commission: Command,
    bundle: Path,
    tmp_path: Path,
    negatives: int,
    positives: int,
    opens: bool,
) -> None:
    slides, known = write_site(tmp_path / "site", negatives, positives, cells=30)
    ended = commission(slides, bundle, known)
    if opens:
        assert (ended.status, site_path(bundle).exists()) == (0, True), ended.out
        return
    assert refused(ended, bundle) == (
        f"there are {negatives} known negatives and {positives} known positives; at least 20 and "
        "10 are needed"
    )


def test_positives_only(commission: Command, bundle: Path, tmp_path: Path) -> None:
    slides, known = write_site(tmp_path / "site", negatives=0, positives=31)
    assert refused(commission(slides, bundle, known), bundle) == (
        "there are 0 known negatives and 31 known positives; at least 20 and 10 are needed"
    )


def test_slides_that_no_model_answers_for_do_not_count(
    commission: Command, bundle: Path, site: tuple[Path, Path], slides: Path
) -> None:
    for number in range(4):
        shutil.rmtree(slides / f"S{number}")
        write_slide(slides / f"S{number}", seed=number, tint=0, cells=3)
    assert refused(commission(slides, bundle, site[1]), bundle) == (
        "with its gate centred on this site, it answers for 18 known negatives and 12 known "
        "positives; at least 20 and 10 are needed"
    )  # and those that it answers for are called well enough


@pytest.mark.parametrize(("n_unanswered", "opens"), [(5, True), (6, False)])
def test_a_model_must_answer_for_four_fifths_of_each_kind(
    commission: Command,
    bundle: Path,
    tmp_path: Path,
    n_unanswered: int,
    opens: bool,
) -> None:
    """Those that it answers for are enough, and may be the easy ones."""
    slides, known = write_site(tmp_path / "site", negatives=26, positives=12)
    for number in range(n_unanswered):
        shutil.rmtree(slides / f"S{number}")
        write_slide(slides / f"S{number}", seed=number, tint=0, cells=3)
    ended = commission(slides, bundle, known)
    if opens:
        assert ended.status == 0
        return
    assert refused(ended, bundle) == (
        "with its gate centred on this site, it answers for 20 of 26 known negatives; at least "
        "80 % are needed"
    )
    assert "    with its own gate: answers for 0 of 38 cases; abstains: " in ended.out


def test_figures_say_with_which_gate_they_are(
    commission: Command, tiny_bundle: Path, site: tuple[Path, Path], tmp_path: Path
) -> None:
    """A refused model has figures of its own gate, and those that it was refused for."""
    near = replace(foreign_reference(), limit=foreign_reference().limit + 1e9)
    bundle = foreign_bundle(tiny_bundle, tmp_path / "site.vxb", near)
    wrong = write_site(tmp_path / "wrong", swapped=True, negatives=12, positives=22)
    ended = commission(wrong[0], bundle, wrong[1])
    why = refused(ended, bundle).splitlines()
    assert "    with its own gate: answers for 34 of 34 cases\n" in ended.out
    assert "    with its own gate: known positives found: 0 of 12 (0 %; " in ended.out
    assert "    with its own gate: known negatives called positive: 18 of 22 (" in ended.out
    assert why
    assert all(line.startswith("with its gate centred on this site, ") for line in why)
    opened = commission(site[0], bundle, site[1])
    said = "    with its gate centred on this site: known positives found: "
    assert said in opened.out


def test_only_a_call_is_counted_as_one(
    commission: Command,
    bundle: Path,
    site: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def without_call(examined: Examined, sessions: Sessions) -> ModelScore:
        return replace(answered(examined, sessions), call=None)

    monkeypatch.setattr(opening, "answered", without_call)
    why = refused(commission(site[0], bundle, site[1]), bundle)
    assert "of the known positives 0 of 12 " in why


def test_a_model_is_judged_although_the_one_before_it_was_refused(
    commission: Command, tiny_bundle: Path, site: tuple[Path, Path], tmp_path: Path
) -> None:
    bundle = foreign_bundle(tiny_bundle, tmp_path / "site.vxb", models=("monocyte", MODEL))
    done = commission(site[0], bundle, site[1])
    assert done.status == 0
    assert list(open_bundle(bundle).manifest.models) == ["monocyte", MODEL]
    found = there(site_of(open_bundle(bundle)))
    assert found.id.opens == (MODEL,)


def test_scores_that_are_consistent_and_wrong(
    commission: Command, bundle: Path, tmp_path: Path
) -> None:
    """Another disease, all of whose slides are called positive."""
    slides, known = tmp_path / "slides", tmp_path / "known.csv"
    for seed in range(32):
        write_slide(slides / f"S{seed}", seed, tint=1, cells=40)
    labels = ["negative"] * 21 + ["VEXAS"] * 11
    rows = [f"S{n},{one},P{n}\n" for n, one in enumerate(labels)]
    known.write_text("case,label,patient\n" + "".join(rows))
    why = refused(commission(slides, bundle, known), bundle)
    assert "of the known negatives " in why
    assert "were called positive; the bundle states 6 of 60 " in why
    assert "known positives and known negatives are called too much alike" in why


def test_labels_the_wrong_way_round(commission: Command, bundle: Path, tmp_path: Path) -> None:
    slides, known = write_site(tmp_path / "site", swapped=True, negatives=12, positives=22)
    why = refused(commission(slides, bundle, known), bundle)
    assert "of the known positives 0 of 12 " in why


@pytest.mark.parametrize(
    "how", ["as they are", "saved again", "mirrored", "turned", "one patient under many names"]
)
def test_copies_are_named(
    commission: Command, bundle: Path, site: tuple[Path, Path], how: str, slides: Path
) -> None:
    for number in (3, 4):
        shutil.rmtree(slides / f"S{number}")
        shutil.copytree(slides / "S5", slides / f"S{number}")
    if how == "saved again":
        for file in (slides / "S3" / MODEL).iterdir():
            pixels = np.asarray(Image.open(file)).astype(int)
            noise = np.random.default_rng(0).integers(-3, 4, pixels.shape)
            Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(file)
    if how in ("mirrored", "turned"):
        for file in (slides / "S3" / MODEL).iterdir():
            pixels = np.asarray(Image.open(file))
            Image.fromarray(pixels[:, ::-1] if how == "mirrored" else np.rot90(pixels)).save(file)
    if how == "one patient under many names":  # and half of the cells are another patient's
        for file in sorted((slides / "S3" / MODEL).iterdir())[:6]:
            shutil.copy(slides / "S7" / MODEL / file.name, file)
    why = refused(commission(slides, bundle, site[1]), bundle)
    assert why.startswith("slides show the same cells: ")
    assert "S3 and S" in why
    assert why.endswith("; give each slide once")


def test_files_of_several_formats(
    commission: Command, bundle: Path, site: tuple[Path, Path], slides: Path
) -> None:
    for file in (slides / "S4" / MODEL).iterdir():
        Image.open(file).save(file, "BMP")  # whatever its name says
    assert refused(commission(slides, bundle, site[1]), bundle) == (
        "the images are of several formats (PNG on 33 slides, BMP on 1 slides), so not of one "
        "source"
    )


def test_slides_of_two_scanners(
    commission: Command, tiny_bundle: Path, site: tuple[Path, Path], tmp_path: Path, slides: Path
) -> None:
    narrow = foreign_reference()
    ones = np.ones_like(narrow.spread)
    narrow = replace(narrow, spread=ones, low=0 * ones, high=ones)
    bundle = foreign_bundle(tiny_bundle, tmp_path / "site.vxb", narrow)
    for number in range(10, 26):  # of both kinds
        for file in (slides / f"S{number}" / MODEL).iterdir():
            image = Image.open(file)
            image.resize((3 * image.width, 3 * image.height)).crop((0, 0, 16, 16)).save(file)
    why = refused(commission(slides, bundle, site[1]), bundle)
    assert "the slides fall into two clusters of " in why
    assert why.endswith("so they are not of one source")


def test_slides_of_two_sizes_are_refused_with_the_figures(
    commission: Command, bundle: Path, site: tuple[Path, Path], slides: Path
) -> None:
    for number in range(34):
        side = 12 if number in (3, 8, 13, 30) else 10
        for file in (slides / f"S{number}" / MODEL).iterdir():
            image = Image.open(file)
            image.resize((side, 10)).save(file)
    why = refused(commission(slides, bundle, site[1]), bundle)
    assert (
        "the images are of several sizes (10 x 10 px on 30 slides, 12 x 10 px on 4 slides), so "
        "not of one source"
    ) in why.splitlines()
    assert "several sizes" in commission(slides, bundle).out  # told without known slides, too


def test_a_bundle_without_a_gate(
    commission: Command, tiny_bundle: Path, site: tuple[Path, Path], tmp_path: Path
) -> None:
    models = {MODEL: open_bundle(tiny_bundle).manifest.models[MODEL]}
    assert len(models) == 1
    bundle = stating(tiny_bundle, tmp_path / "none.vxb", None)
    assert refused(commission(site[0], bundle, site[1]), bundle) == (
        "there is no gate to open: no domain gate (the bundle has no reference)"
    )
    few = foreign_bundle(tiny_bundle, tmp_path / "few.vxb", small_reference())
    assert refused(commission(site[0], few, site[1]), few) == (
        "there is no gate to open: no domain gate (12 patients; 40 needed)"
    )
    assert commission(site[0], bundle).status == 0  # described


def test_a_bundle_that_states_nothing_or_too_little(
    commission: Command, tiny_bundle: Path, site: tuple[Path, Path], tmp_path: Path
) -> None:
    silent = foreign_bundle(tiny_bundle, tmp_path / "silent.vxb", stated=None)
    assert refused(commission(site[0], silent, site[1]), silent).startswith(
        "the bundle does not state how it performs; have its reference made anew"
    )
    little = type(STATED)(positives=41, positives_called=38, negatives=19, negatives_called=8)
    vague = foreign_bundle(tiny_bundle, tmp_path / "vague.vxb", stated=little)
    assert refused(commission(site[0], vague, site[1]), vague).startswith(
        "the bundle states too little"
    )
    untrue = stating(silent, tmp_path / "untrue.vxb", {"positives": 1, "negatives": 2})
    assert commission(site[0], untrue, site[1]).status == 6


def test_harm_stays_as_it_was(
    commission: Command, tiny_bundle: Path, site: tuple[Path, Path], tmp_path: Path
) -> None:
    harmed = foreign_bundle(tiny_bundle, tmp_path / "site.vxb", foreign_reference(harm=50.0))
    assert refused(commission(site[0], harmed, site[1]), harmed).startswith(
        "with its gate centred on this site, it answers for 0 known negatives"
    )


def test_no_slide_vouches_for_itself(
    commission: Command,
    bundle: Path,
    site: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    means, centres = [], []

    def judged(counted: Examined, reference: Reference, centre: np.ndarray) -> Examined:
        means.append(there(counted.encoded).encodings.mean(axis=0, dtype=np.float64))
        centres.append(centre)
        return judged_cells(counted, reference, centre)

    monkeypatch.setattr(opening, "judged_cells", judged)
    commission(site[0], bundle, site[1])
    assert len(means) == 34
    for place, centre in enumerate(centres):
        others = np.mean([*means[:place], *means[place + 1 :]], axis=0)
        np.testing.assert_allclose(centre, others, rtol=1e-5)
    found = there(site_of(open_bundle(bundle)))
    np.testing.assert_allclose(found.site.models[MODEL].centre, np.mean(means, axis=0), rtol=1e-5)


def test_one_model_may_be_opened_and_another_not(
    commission: Command, tiny_bundle: Path, tmp_path: Path
) -> None:
    models = (MODEL, "monocyte")
    bundle = foreign_bundle(tiny_bundle, tmp_path / "site.vxb", models=models)
    slides, known = write_site(tmp_path / "site")
    done = commission(slides, bundle, known)
    assert done.status == 0
    assert "domain gate: centred on this site" in done.out
    assert "answers for 0 of 34 cases; abstains: too_few_cells 34\n" in done.out
    assert "it answers for 0 known negatives and 0 known positives" in done.out
    found = there(site_of(open_bundle(bundle)))
    assert found.id.opens == (MODEL,)
    assert found.site.models["monocyte"].centre == ()


TABLES = {
    "an unknown label": (
        lambda rows: [*rows[:-1], "S33,leukaemia,P33"],
        "label 'leukaemia' is unknown",
    ),
    "a case that is not there": (lambda rows: [*rows, "S99,VEXAS,P99"], "not found: 'S99'"),
    "a case that is missing": (lambda rows: rows[:-2], "2 cases are not in "),
    "a case twice": (lambda rows: [*rows, rows[0]], "case 'S0' is named twice"),
    "no label": (lambda rows: [*rows, "S99,,P99"], "a case, a label and a patient are needed"),
    "no patient": (lambda rows: [*rows, "S99,VEXAS, "], "line 36: a case, a label and a patient"),
    "a value too few": (lambda rows: [*rows, "S99,VEXAS"], "and a patient are needed"),
    "a value too many": (lambda rows: [*rows, "S99,VEXAS,P99,1"], "and nothing else"),
    "nothing": (lambda _: [], "has no row below its header"),
}


@pytest.mark.parametrize("what", TABLES)
def test_a_table_that_does_not_fit_is_refused_before_anything_is_scored(
    commission: Command,
    bundle: Path,
    site: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    change, said = TABLES[what]

    def never(*_: object) -> None:
        raise AssertionError("a slide was looked at")

    monkeypatch.setattr("vexas_edge.commands.site.see_cases", never)
    table = other_table(site[1], tmp_path / "other.csv", change)
    ended = commission(site[0], bundle, table)
    assert (ended.status, ended.out, ended.err.count("\n")) == (5, "", 1)
    assert said in ended.err


@pytest.mark.parametrize("other", ["P5", " P5 ", "p5"])
def test_a_patient_counts_once_however_the_name_is_written(
    commission: Command, bundle: Path, site: tuple[Path, Path], tmp_path: Path, other: str
) -> None:
    table = other_table(
        site[1], tmp_path / "other.csv", lambda rows: [*rows[:31], f"S31,VEXAS,{other}", *rows[32:]]
    )
    ended = commission(site[0], bundle, table)
    assert ended.status == 5
    assert f"line 33: patient {other.strip()!r} is in line 7, too; keep one slide" in ended.err


@pytest.mark.parametrize("label", ["", " ", "a\nb", "x" * 201, "\x1b[31m"])
def test_an_instrument_without_a_name(
    vexas_edge: Command, bundle: Path, site: tuple[Path, Path], label: str
) -> None:
    ended = vexas_edge(
        *("commission", site[0], "--recursive", "--bundle", bundle, "--software", "1"),
        *("--instrument", label),
    )
    assert ended.status == 2
    assert "expected a name of 1 to 200 characters on one line" in ended.err


def test_a_folder_that_cannot_be_written(
    commission: Command, bundle: Path, site: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def refused(path: Any, flags: int, *more: Any, **others: Any) -> int:
        if str(path).endswith(".partial"):
            raise OSError(errno.EROFS, "Read-only file system")
        return opened(path, flags, *more, **others)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refused)
        ended = commission(site[0], bundle)
    assert (ended.status, ended.out) == (4, "")
    assert "cannot be written: Read-only file system" in ended.err
    site_path(bundle).mkdir()
    assert commission(site[0], bundle).status == 4


def test_a_slide_that_cannot_be_read_is_named_and_not_counted(
    commission: Command, bundle: Path, tmp_path: Path, slides: Path
) -> None:
    (slides / "S40.zip").write_bytes(b"no zip")
    ended = commission(slides, bundle)
    assert ended.status == 0
    assert "error: S40.zip: " in ended.err
    assert "  35 cases, of which 1 could not be read\n" in ended.out
    (tmp_path / "empty").mkdir()
    assert commission(tmp_path / "empty", bundle).status == 5
    shutil.rmtree(slides)
    slides.mkdir()
    (slides / "S40.zip").write_bytes(b"no zip")
    assert commission(slides, bundle).status == 5


def test_the_site_of_a_bundle_in_a_folder_lies_beside_it(tmp_path: Path) -> None:
    assert site_path(tmp_path / "bundle/") == tmp_path / "bundle.site.json"
    assert site_path(Path("x.vxb")) == Path.cwd() / "x.vxb.site.json"


def test_with_the_references_own_centre_nothing_changes_and_no_other_gate_ever_moves() -> None:
    reference = foreign_reference(harm=0.3)
    rng = np.random.default_rng(0)
    for seed in range(20):
        encodings = rng.normal(0.3, 0.1 + seed / 50, (12, len(reference.mean))).astype(np.float32)
        statistics = rng.normal(100, 50, len(reference.centre))
        plain = judge(reference, statistics, encodings)
        assert judge(reference, statistics, encodings, reference.mean.copy()) == plain
        moved = judge(reference, statistics, encodings, rng.normal(0, 9, len(reference.mean)))
        differing = {
            name
            for name, height in moved.finding.gates.items()
            if height != plain.finding.gates[name]
        }
        assert differing == {"foreign case", "foreign cells"}
        assert moved.finding.statistics == plain.finding.statistics
    small = small_reference()
    plain = judge(small, statistics, encodings)
    assert judge(small, statistics, encodings, rng.normal(0, 9, len(small.mean))) == plain


def test_one_cluster_is_not_taken_for_two() -> None:
    rng = np.random.default_rng(0)
    for n in (30, 60, 200):
        assert max(apart(rng.normal(size=n), 0)[0] for _ in range(200)) < 6
    two = np.concatenate([rng.normal(size=27), rng.normal(15, 1, 4)])
    assert apart(two, 0)[0] > 9
    assert apart(two, 0)[1] == 4
    assert apart(two, 3)[0] < 9  # it spreads so far in training already
    assert apart(np.array([1.0, 1, 1, 5]), 0)[0] == 1  # one alone is no cluster
    assert apart(np.array([1.0, 1, 5]), 0) == (0.0, 0)
    assert apart(np.array([1.0, 1, 5, 5]), 0) == (np.inf, 2)
    assert apart(np.ones(30), 0)[0] == 0


def test_the_main_axis_is_that_in_which_cases_differ() -> None:
    rng = np.random.default_rng(0)
    means = rng.normal(0, 0.01, (40, 8)) + np.eye(8)[3] * np.repeat([0, 1], 20)[:, None]
    distance, n_smaller = apart(along_main_axis(means), 0)
    assert distance > 50
    assert n_smaller == 20


def test_whole_red_cells_are_measured_and_others_not() -> None:
    pixels = np.full((240, 240, 3), 240, np.uint8)
    rows, columns = np.mgrid[:240, :240]

    def disc(row: int, column: int, radius: int, colour: tuple[int, int, int]) -> None:
        pixels[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = colour

    red = (225, 150, 140)
    disc(50, 50, 20, red)
    disc(190, 60, 20, red)
    disc(5, 120, 20, red)  # at the border
    disc(200, 160, 20, red)
    disc(200, 190, 20, red)  # touching
    disc(60, 150, 4, red)  # too small
    disc(120, 120, 35, (90, 40, 120))  # the leukocyte's nucleus
    found = red_cell_diameters(pixels, (240, 240, 240))
    assert found == [pytest.approx(40, abs=0.6)] * 2
    assert middle_diameter([10.0] * 5 + [40.0, 41.0, 42.0]) == 41
    assert red_cell_diameters(np.full((20, 20, 3), 240, np.uint8), (240, 240, 240)) == []


def test_a_site_file_is_json_that_names_no_case(
    commission: Command, bundle: Path, site: tuple[Path, Path], tmp_path: Path
) -> None:
    commission(site[0], bundle, site[1])
    text = site_path(bundle).read_text()
    assert json.loads(text)["schema_version"] == 1
    assert "S3" not in text
    assert str(site[0]) not in text
    alone = write_case(tmp_path / "P1", neutrophil=12)
    assert commission(alone, bundle).status == 0


def statistics_of_slide(folder: Path, cell_type: str | None) -> np.ndarray:
    """The statistics of a real slide's lymphocytes."""
    options = ReadOptions(cell_type=cell_type)
    with read_case(folder, options) as case:
        read = read_cells(case, "", ["lymphocyte"], silent, threads=2)
    cells = sorted(read.distinct, key=lambda cell: cell.record.identity)[:MEASURED_CELLS]
    return case_statistics(
        [cell_statistics(read.pixels(cell), cell.background, 112) for cell in cells]
    )


def test_real_slides_of_one_scanner_pass_and_those_of_two_are_found(shared_data: Path) -> None:
    """40 patients of one hospital, and four of another one's."""
    one, other = shared_data / "lymphocytosis", shared_data / "jhu_discovery"
    patients = sorted(path for path in one.iterdir() if path.is_dir())[:40]
    own = np.stack([statistics_of_slide(path, "lymphocyte") for path in patients])
    spread = 1.4826 * np.median(np.abs(own - np.median(own, axis=0)), axis=0)
    reference = replace(
        small_reference(),
        spread=np.maximum(np.maximum(spread, own.std(axis=0) / 4), 1e-3),
        low=own.min(axis=0),
        high=own.max(axis=0),
    )
    rng = np.random.default_rng(0)
    means = rng.normal(size=(len(own), 8))
    assert clusters_apart(own, means[: len(own)], reference) == ""
    assert clusters_apart(own[:30], means[:30], reference) == ""
    foreign = np.stack([statistics_of_slide(other / f"Patient_0{n}", None) for n in range(4)])
    said = clusters_apart(np.concatenate([own[:36], foreign]), means[:40], reference)
    assert said.startswith("the slides fall into two clusters of 36 and 4 that lie ")


def test_a_site_is_described_to_a_bag_without_anybodys_covariates(
    commission: Command, site: tuple[Path, Path], tmp_path: Path
) -> None:
    bundle = bag_bundle(tmp_path / "bag", BagKind(classes=("MDS", "VEXAS")))
    done = commission(site[0], bundle)
    assert done.status == 0
    assert "answers for 34 of 34 cases" in done.out
    assert "missing_covariate" not in done.out
