"""Pages in a results folder: made with results, found where these stand, and known to `verify`."""

import hashlib
import html
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
from test_report_page import Tags
from tiny import Ended, case_files, kept, rewritten, write_case

from vexas_edge.errors import HostError
from vexas_edge.ledger.checking import problems_of_folder
from vexas_edge.ledger.derived.pages import Pages
from vexas_edge.ledger.lines import CaseLine
from vexas_edge.runtime.session import Sessions

Command = Callable[..., Ended]
Score = Callable[..., Ended]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def real(tiny_bundle: Path, tmp_path: Path) -> Path:
    """The tiny bundle as one of real cells, so that pages show what it answers."""
    return rewritten(tiny_bundle, tmp_path / "real.vxb", synthetic=False)


@pytest.fixture
def score(vexas_edge: Command, real: Path, out: Path) -> Score:
    """Scores smears into `out`, which must be sound after that."""

    def run(*arguments: str | Path) -> Ended:
        ended = vexas_edge("score", *arguments, "--bundle", real, "-o", out)
        assert problems_of_folder(out) == []
        return ended

    return run


def pages(out: Path) -> list[str]:
    """The pages in a results folder."""
    return sorted(p.relative_to(out).as_posix() for p in (out / "reports").rglob("*.html"))


def page(out: Path, name: str) -> Tags:
    return Tags((out / "reports" / name).read_text(encoding="utf-8"))


def files_of(tags: Tags) -> set[str | None]:
    """The hashes of the files whose pictures a page shows."""
    return {picture["data-file"] for picture in tags.of("img")}


def index(out: Path) -> str:
    return (out / "index.html").read_text(encoding="utf-8")


def index_rows(out: Path) -> list[tuple[str, str]]:
    """The class and the text of each row of the index."""
    rows = re.findall(r'<tr class="(\w+)">(.*?)</tr>', index(out))
    return [(group, html.unescape(re.sub(r"<[^>]+>", " ", text)).strip()) for group, text in rows]


def shared(tmp_path: Path) -> Path:
    """A smear that shares half of its cells with P1."""
    mixed = write_case(tmp_path / "P2", seed=5, neutrophil=6)
    for number in range(6):
        file = tmp_path / "P1" / "neutrophil" / f"{number}.png"
        shutil.copy(file, mixed / "neutrophil" / f"p1 {number}.png")
    return mixed


def test_each_result_gets_a_page_and_the_index_links_to_it(score: Score, tmp_path: Path) -> None:
    ward = tmp_path / "ward"
    write_case(ward / "P1 & co", seed=1)
    write_case(ward / "few", seed=2, neutrophil=2)
    (ward / "broken.zip").write_bytes(b"PK\x05\x06 no zip")
    ended = score(ward, "--recursive")
    out = tmp_path / "out"
    assert f"to read them, open {out / 'index.html'}" in ended.err
    assert pages(out) == [
        "reports/000002-P1 ~26 co.html",
        "reports/000003-broken.zip.html",
        "reports/000004-few.html",
    ]
    links = [unquote(link) for link in re.findall(r'href="([^"]+)"', index(out))]
    assert sorted(links) == pages(out)
    assert [group for group, _ in index_rows(out)] == ["none", "failed", "unsure"]


def test_without_report_there_is_the_index_alone(score: Score, tmp_path: Path, out: Path) -> None:
    score(write_case(tmp_path / "P1"), "--no-report")
    assert not (out / "reports").exists()
    assert "href" not in index(out)


def test_without_images_a_page_shows_none(score: Score, tmp_path: Path, out: Path) -> None:
    score(write_case(tmp_path / "P1"), "--no-images")
    assert not page(out, "000002-P1.html").of("img")


def test_without_a_results_folder_nothing_is_written(
    vexas_edge: Command, real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_case(tmp_path / "in" / "P1")
    monkeypatch.chdir(tmp_path / "in")
    vexas_edge("score", "P1", "--bundle", real)
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["P1"]


def test_a_page_made_anew_is_the_same_bit_for_bit(
    score: Score, vexas_edge: Command, tmp_path: Path, out: Path
) -> None:
    """Also from a zip, and where its files were renamed."""
    smear = write_case(tmp_path / "P1", neutrophil=12, monocyte=8)
    (smear / "neutrophil" / "9.png").write_bytes(b"\xff\xd8\xff broken")
    score(smear)
    path = out / "reports" / "000002-P1.html"
    first = path.read_bytes()
    path.unlink()
    result = out / "cases" / "000002-P1.json"
    assert vexas_edge("report", result, "--input", smear).out == f"page: {path}\n"
    assert path.read_bytes() == first
    with zipfile.ZipFile(tmp_path / "renamed.zip", "w") as archive:
        for number, file in enumerate(sorted(smear.rglob("*.png"), reverse=True)):
            archive.write(file, f"x/{number}.png")
    made = tmp_path / "made.html"
    vexas_edge("report", result, "--input", tmp_path / "renamed.zip", "-o", made)
    assert made.read_bytes() == first
    assert problems_of_folder(out) == []


def test_another_smear_or_no_result_is_refused(
    score: Score, vexas_edge: Command, tmp_path: Path, out: Path
) -> None:
    smear = write_case(tmp_path / "P1")
    score(smear)
    result = out / "cases" / "000002-P1.json"
    other = vexas_edge("report", result, "--input", write_case(tmp_path / "P2", seed=7))
    assert other.status == 5
    assert "is not the smear of this result: of the" in other.err
    assert vexas_edge("report", result, "--input", tmp_path / "none").status == 5
    strange = tmp_path / "cases" / "000002-P1.json"
    assert vexas_edge("report", strange, "--input", smear).status == 5
    assert vexas_edge("report", out / "cases" / "000009-P1.json", "--input", smear).status == 5
    assert vexas_edge("report", result).status == 2
    assert vexas_edge("report", result, "--input", smear, "--no-images").status == 2
    assert pages(out) == ["reports/000002-P1.html"]


def test_a_page_to_hand_on_can_hash_ids(
    score: Score, vexas_edge: Command, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1"), write_case(tmp_path / "few", seed=3, neutrophil=1))
    (tmp_path / "key").write_text("a secret of many letters")
    result, made = out / "cases" / "000002-P1.json", tmp_path / "made.html"
    asked = ("report", result, "--input", tmp_path / "P1", "--hash-ids", tmp_path / "key")
    assert vexas_edge(*asked).status == 2
    assert vexas_edge(*asked, "-o", made).status == 0
    (title,) = re.findall(r"<h1>(.*)</h1>", made.read_text(encoding="utf-8"))
    assert re.fullmatch(r"case-[0-9a-f]{16}", title)
    assert "P1" not in made.read_text(encoding="utf-8").partition("<style>")[0]
    assert problems_of_folder(out) == []


def test_where_ids_are_hashed_pages_and_index_have_no_name(
    vexas_edge: Command, real: Path, tmp_path: Path, out: Path
) -> None:
    (tmp_path / "key").write_text("a secret of many letters")
    ward = tmp_path / "ward"
    write_case(ward / "Muster", seed=1)
    (ward / "Broken Muster.zip").write_bytes(b"no zip")
    options = ("--bundle", real, "-o", out, "--hash-ids", tmp_path / "key")
    vexas_edge("score", ward, "--recursive", *options)
    assert len(pages(out)) == 2
    for path in (out / "index.html", *(out / page for page in pages(out))):
        assert "Muster" not in path.name
        assert "Muster" not in path.read_text(encoding="utf-8")


def test_a_page_that_has_gone_is_made_again_without_an_engine(
    score: Score, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smear = write_case(tmp_path / "P1")
    score(smear)
    path = out / "reports" / "000002-P1.html"
    first = path.read_bytes()
    path.unlink()
    monkeypatch.setattr(Sessions, "fused", None)
    score(smear)
    assert (path.read_bytes(), case_files(out)) == (first, ["P1"])


def test_a_replaced_result_takes_its_page_along(score: Score, tmp_path: Path, out: Path) -> None:
    smear = write_case(tmp_path / "P1", neutrophil=12)
    score(smear)
    first = page(out, "000002-P1.html")
    write_case(smear, neutrophil=14)
    score(smear)
    assert pages(out) == ["reports/000005-P1.html", "reports/replaced/000002-P1.html"]
    replaced = page(out, "replaced/000002-P1.html")
    assert "Replaced: there is a newer result of this case." in replaced.text
    assert len(replaced.of("img")) == len(first.of("img"))
    assert [group for group, _ in index_rows(out)] == ["unsure", "replaced"]


def test_a_held_result_shows_no_number_until_it_is_confirmed(
    score: Score, vexas_edge: Command, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    first = page(out, "000002-P1.html").text
    assert score(shared(tmp_path)).status == 3
    (name,) = [name for name in pages(out) if "P2" in name]
    assert name == "reports/held/000005-P2.html"
    number = f"{kept(out, 'P2')['models'][0]['score']:.3f}"
    held = Tags((out / name).read_text(encoding="utf-8"))
    assert "P2 shares cells with P1: half or more" in held.text
    warned = page(out, "held/000002-P1.html")
    assert "P1 shares cells with P2: half or more" in warned.text
    assert "Not to be used: " in warned.text
    assert warned.of("img")
    for hidden in (number, "pull the score", "threshold"):
        assert hidden not in held.text
    assert held.of("img")
    ((group, text), (other, waits)) = index_rows(out)
    assert group == other == "held"
    assert number not in text
    assert "must wait: whose cells are these?" in waits
    assert not re.findall(r"0\.\d\d", waits)
    vexas_edge("results", "confirm", out, "P2")
    assert pages(out) == ["reports/000002-P1.html", "reports/000005-P2.html"]
    confirmed = page(out, "000005-P2.html")
    assert number in confirmed.text
    assert files_of(confirmed) == files_of(held)
    assert page(out, "000002-P1.html").text == first
    assert problems_of_folder(out) == []
    result = out / "cases" / "000005-P2.json"
    assert vexas_edge("report", result, "--input", tmp_path / "P2").err == ""
    assert files_of(page(out, "000005-P2.html")) > files_of(held)
    assert problems_of_folder(out) == []


def test_a_page_to_hand_on_of_a_held_result_shows_no_number_either(
    score: Score, vexas_edge: Command, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    score(shared(tmp_path))
    made = tmp_path / "made.html"
    result = out / "cases" / "000005-P2.json"
    vexas_edge("report", result, "--input", tmp_path / "P2", "-o", made)
    assert made.read_bytes() == (out / "reports" / "held" / "000005-P2.html").read_bytes()


def test_verify_names_pages_that_are_not_what_was_made(
    score: Score, vexas_edge: Command, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1"), write_case(tmp_path / "P2", seed=2))
    first, second = (out / "reports" / name for name in ("000002-P1.html", "000003-P2.html"))
    content = first.read_bytes()
    first.write_bytes(content.replace(b"threshold", b"Threshold"))
    assert problems_of_folder(out) == [
        "reports/000002-P1.html is not the page that would be made of cases/000002-P1.json today; "
        "make it anew with `vexas-edge report`"
    ]
    first.write_bytes(second.read_bytes())
    assert len(problems_of_folder(out)) == 1
    first.write_bytes(content)
    shutil.copy(second, out / "reports" / "000009-P9.html")
    (out / "reports" / "replaced").mkdir()
    second.rename(out / "reports" / "replaced" / second.name)
    assert problems_of_folder(out)[:2] == [
        "reports/000009-P9.html is the page of no result here",
        "reports/replaced/000003-P2.html should lie in reports",
    ]
    assert vexas_edge("results", "verify", out).status == 5
    assert vexas_edge("results", "rebuild", out).status == 0
    assert pages(out) == [
        "reports/000002-P1.html",
        "reports/000003-P2.html",
        "reports/removed/000009-P9.html",
    ]
    assert problems_of_folder(out) == []


def test_the_index_is_made_again_byte_for_byte(
    score: Score, vexas_edge: Command, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1"), write_case(tmp_path / "few", seed=2, neutrophil=1))
    first = (out / "index.html").read_bytes()
    (out / "index.html").unlink()
    assert "index.html is not what these results give" in problems_of_folder(out)
    vexas_edge("results", "rebuild", out)
    assert (out / "index.html").read_bytes() == first
    (out / "index.html").write_text("spoilt")
    score(tmp_path / "P1")
    assert (out / "index.html").read_bytes() == first


def test_filters_of_the_index_need_no_script(score: Score, tmp_path: Path, out: Path) -> None:
    score(write_case(tmp_path / "P1"))
    tags = Tags(index(out))
    names = [control["id"] for control in tags.of("input")]
    assert names == [label["for"] for label in tags.of("label")]
    style = index(out).partition("<style>")[2]
    assert all(f"#{name}:checked ~ table" in style for name in names)
    assert not tags.of("script")


def waits(out: Path, name: str) -> bool:
    held = out / "reports" / "held" / name
    assert held.exists() != (out / "reports" / name).exists()
    return held.exists() and "The number must wait" in page(out, f"held/{name}").text


def test_a_case_waits_whichever_of_its_results_another_one_is_held_for(
    score: Score, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    score(shared(tmp_path))
    score(tmp_path / "P1", "--again")
    assert waits(out, "000008-P1.html")
    write_case(tmp_path / "P1", neutrophil=13)
    score(tmp_path / "P1")
    assert waits(out, "000011-P1.html")


def test_what_was_held_and_never_confirmed_is_shown_nowhere_when_it_is_replaced(
    score: Score, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    score(shared(tmp_path))
    number = f"{kept(out, 'P2')['models'][0]['score']:.3f}"
    score(tmp_path / "P2", "--again")
    replaced = page(out, "replaced/000005-P2.html")
    assert number not in replaced.text
    assert "pull the score" not in replaced.text
    assert number not in index(out)
    assert number[:-1] not in (out / "cases.csv").read_text().partition("000005-P2")[2]
    rows = [row for row in (out / "cases.csv").read_text().splitlines() if "P2.json" in row]
    assert not [row for row in rows if number[:4] in row]


def test_a_case_no_longer_waits_for_a_result_that_was_removed(
    score: Score, vexas_edge: Command, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    score(shared(tmp_path))
    assert waits(out, "000002-P1.html")
    (out / "cases" / "000005-P2.json").unlink()
    assert vexas_edge("results", "rebuild", out).status == 0
    assert not waits(out, "000002-P1.html")
    assert problems_of_folder(out) == []
    assert pages(out) == ["reports/000002-P1.html", "reports/removed/000005-P2.html"]


@pytest.mark.parametrize("first", ["P1", "other bundle"])
def test_a_case_waits_under_another_bundle_and_until_it_is_confirmed(
    score: Score, vexas_edge: Command, real: Path, tmp_path: Path, out: Path, first: str
) -> None:
    """The page of a result that was made by another bundle, too."""
    newer = rewritten(real, tmp_path / "newer.vxb", version="2")
    write_case(tmp_path / "P1", neutrophil=12)
    bundles = (real, newer) if first == "P1" else (newer, real)
    for bundle in bundles:
        vexas_edge("score", tmp_path / "P1", "--bundle", bundle, "-o", out)
    ended = score(shared(tmp_path))
    assert ended.status == 3
    assert {name.partition("/")[2][:5] for name in pages(out)} == {"held/"}
    again = score(tmp_path / "P1")
    assert "warning: P1: must wait: it shares cells with P2, which is held" in again.err
    vexas_edge("results", "confirm", out, "P2")
    assert not [name for name in pages(out) if "held" in name]
    assert problems_of_folder(out) == []


def test_a_case_that_has_grown_waits_no_longer_once_the_other_is_confirmed(
    score: Score, vexas_edge: Command, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    score(shared(tmp_path))
    write_case(tmp_path / "P1", neutrophil=40)
    score(tmp_path / "P1")
    assert waits(out, "000008-P1.html")
    vexas_edge("results", "confirm", out, "P2")
    assert not waits(out, "000008-P1.html")
    assert problems_of_folder(out) == []


def test_the_very_same_cells_are_told_of_after_one_was_scored_again(
    score: Score, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    shutil.copytree(tmp_path / "P1", tmp_path / "P7")
    score(tmp_path / "P7")
    score(tmp_path / "P7", "--again")
    assert "and not of P1: " in page(out, "000008-P7.html").text
    assert "and not of P7: " in page(out, "000002-P1.html").text


def test_a_case_waits_for_one_that_is_held_even_if_the_result_it_was_held_for_has_gone(
    score: Score, vexas_edge: Command, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    score(shared(tmp_path))
    score(tmp_path / "P1", "--again")
    (out / "cases" / "000002-P1.json").unlink()
    vexas_edge("results", "rebuild", out)
    assert waits(out, "000008-P1.html")
    assert problems_of_folder(out) == []


def test_a_confirmation_that_is_taken_back_withholds_again(
    score: Score, vexas_edge: Command, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    score(shared(tmp_path))
    vexas_edge("results", "confirm", out, "P2")
    number = f"{kept(out, 'P2')['models'][0]['score']:.3f}"
    score(tmp_path / "P2", "--again")
    (confirmed,) = (out / "runs").glob("*-confirmed.json")
    confirmed.unlink()
    vexas_edge("results", "rebuild", out)
    assert number not in page(out, "replaced/000005-P2.html").text
    assert problems_of_folder(out) == []


def test_an_older_answer_says_that_a_newer_result_is_held(
    score: Score, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    score(write_case(tmp_path / "P3", seed=3, neutrophil=12))
    for number in range(8):
        file = tmp_path / "P3" / "neutrophil" / f"{number}.png"
        shutil.copy(file, tmp_path / "P1" / "neutrophil" / f"p3 {number}.png")
    score(tmp_path / "P1")
    told = [name for name in pages(out) if "P1" in name and "held" not in name]
    texts = [page(out, name.removeprefix("reports/")).text for name in told]
    assert [("A newer result of this case is held" in text) for text in texts] == [True] * len(told)
    assert told


@pytest.mark.parametrize("left", ["reports", "reports/replaced"])
def test_a_page_that_a_cut_off_run_left_in_two_places_keeps_its_right_one(
    score: Score, tmp_path: Path, out: Path, left: str
) -> None:
    """Above all not one with a number beside the one that bars it."""
    score(write_case(tmp_path / "P1", neutrophil=12))
    plain = (out / "reports" / "000002-P1.html").read_bytes()
    score(shared(tmp_path))
    (out / left).mkdir(exist_ok=True)
    (out / left / "000002-P1.html").write_bytes(plain)
    score(tmp_path / "P1")
    assert waits(out, "000002-P1.html")
    assert pages(out) == ["reports/held/000002-P1.html", "reports/held/000005-P2.html"]


def test_a_page_that_cannot_be_read_is_not_made_anew_without_its_pictures(
    score: Score, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    path = out / "reports" / "000002-P1.html"
    path.unlink()
    path.mkdir()  # as a disk that gives an error
    with pytest.raises(AssertionError):  # `verify` says so, too
        score(shared(tmp_path))
    assert path.is_dir()


def test_the_very_same_cells_under_two_names_are_told_of_on_both_pages(
    score: Score, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    shutil.copytree(tmp_path / "P1", tmp_path / "P7")
    score(tmp_path / "P7")
    for name, other in (("000002-P1.html", "P7"), ("000005-P7.html", "P1")):
        assert f"and not of {other}: " in page(out, name).text


def test_no_page_is_made_of_a_result_that_was_edited(
    score: Score, vexas_edge: Command, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1"))
    result = out / "cases" / "000002-P1.json"
    content = result.read_text()
    result.write_text(re.sub(r'"score": 0\.\d+', '"score": 0.987', content))
    for to in ((), ("-o", tmp_path / "made.html")):
        assert vexas_edge("report", result, "--no-images", *to).status in (4, 5)
    assert not (tmp_path / "made.html").exists()
    assert "0.987" not in page(out, "000002-P1.html").text


def test_an_edited_page_with_its_hash_put_right_is_found(
    score: Score, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1"))
    path = out / "reports" / "000002-P1.html"
    html_text = path.read_text(encoding="utf-8").rpartition("\n<!-- sha256")[0]
    edited = re.sub(r"<b>0\.\d+</b>", "<b>0.999</b>", html_text)
    digest = hashlib.sha256(edited.encode()).hexdigest()
    path.write_text(f"{edited}\n<!-- sha256 of the above {digest} -->\n", encoding="utf-8")
    assert len(problems_of_folder(out)) == 1


def test_a_page_to_hand_on_is_not_written_over_results(
    score: Score, vexas_edge: Command, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1"))
    result = out / "cases" / "000002-P1.json"
    content = result.read_bytes()
    cell = tmp_path / "P1" / "neutrophil" / "0.png"
    for to in (result, out / "index.html", out / "new" / "page.html", cell):
        assert vexas_edge("report", result, "--no-images", "-o", to).status == 2
    assert result.read_bytes() == content


def test_a_page_that_cannot_be_written_does_not_end_the_batch(
    score: Score, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smears = [write_case(tmp_path / name, seed=n) for n, name in enumerate(("P1", "P2", "P3"))]
    add = Pages.add

    def refused(self: Pages, line: CaseLine, page: bytes) -> None:
        if line.case == "P2":
            raise HostError("the disk is odd")
        add(self, line, page)

    with monkeypatch.context() as patched:
        patched.setattr(Pages, "add", refused)
        ended = score(*smears)
    assert (ended.status, case_files(out)) == (4, ["P1", "P2", "P3"])
    assert "warning: P2: its page could not be written: the disk is odd" in ended.err
    assert len(pages(out)) == 2
    assert score(*smears).status == 0
    assert len(pages(out)) == 3


def test_a_page_that_cannot_be_moved_is_moved_by_the_next_run(
    score: Score, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smear = write_case(tmp_path / "P1", neutrophil=12)
    score(smear)
    write_case(smear, neutrophil=14)

    def open_elsewhere(*_: object, **__: object) -> None:
        raise HostError("it is open in another program")

    with monkeypatch.context() as patched:
        patched.setattr(Pages, "_settle", open_elsewhere)
        with pytest.raises(AssertionError, match="should lie in reports/replaced"):
            score(smear)
    score(smear)
    assert pages(out) == ["reports/000005-P1.html", "reports/replaced/000002-P1.html"]
