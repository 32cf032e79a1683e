"""A site file that was edited, cut, forged, or is of something else opens nothing."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from site_slides import MODEL, SITE, foreign_bundle
from site_slides import write_site as write_slides
from tiny import Ended, rewritten

from vexas_edge import open_bundle
from vexas_edge.bundle.site import SITE_SCHEMA, Site
from vexas_edge.bundle.site_file import json_from_site, site_from_json, site_path
from vexas_edge.commissioning.writing import write_site
from vexas_edge.errors import HostError

Command = Callable[..., Ended]
Document = dict[str, Any]


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_slides(tmp_path_factory.mktemp("site"))


@pytest.fixture
def bundle(
    vexas_edge: Command, tiny_bundle: Path, slides: tuple[Path, Path], tmp_path: Path
) -> Path:
    """A bundle that was commissioned at a site."""
    path = foreign_bundle(tiny_bundle, tmp_path / "site.vxb")
    known = ("--known", slides[1])
    ended = vexas_edge("commission", slides[0], "--recursive", "--bundle", path, *SITE, *known)
    assert ended.status == 0
    return path


@pytest.fixture
def score(vexas_edge: Command, slides: tuple[Path, Path]) -> Callable[[Path], Ended]:
    """Scores a slide of the site."""

    def run(bundle: Path) -> Ended:
        ended = vexas_edge("score", slides[0] / "S3", "--bundle", bundle)
        assert "Traceback" not in ended.err
        return ended

    return run


def written(bundle: Path) -> Document:
    return json.loads(site_path(bundle).read_text())


def sealed(document: Document) -> bytes:
    """The document as if vexas-edge had written it."""
    return json_from_site(msgspec.convert(document, Site))


def test_what_is_written_reads_back_and_is_sealed(
    bundle: Path, score: Callable[[Path], Ended]
) -> None:
    content = site_path(bundle).read_bytes()
    site = site_from_json(content)
    assert json_from_site(site) == content == sealed(written(bundle))
    assert (site.schema_version, len(site.seal)) == (SITE_SCHEMA, 64)
    assert score(bundle).status == 0


EDITS: dict[str, Callable[[bytes], bytes]] = {
    "edited": lambda text: text.replace(b'"DM96"', b'"DM97"'),
    "closed by hand": lambda text: text.replace(b'"opened": true', b'"opened": false'),
    "cut short": lambda text: text[: len(text) // 2],
    "empty": lambda _: b"",
    "no JSON": lambda _: b"Dear all,",
    "not UTF-8": lambda text: text.replace(b"DM96", b"DM\xff6"),
    "a list": lambda _: b"[]",
    "deeply nested": lambda _: b'{"schema_version": 1, "models": ' + b"[" * 200_000,
    "deeply nested and closed": lambda _: b'{"x": %b%b}' % (b"[" * 90_000, b"]" * 90_000),
    "another schema": lambda text: text.replace(b'"schema_version": 1', b'"schema_version": 99'),
    "an unknown field": lambda text: text.replace(b'"n_cases"', b'"colour": 1, "n_cases"'),
    "a number too large": lambda text: text.replace(b'"centre": [', b'"centre": [1e999,'),
    "no number": lambda text: text.replace(b'"centre": [', b'"centre": [NaN,'),
    "too large": lambda text: text + b" " * (9 << 20),
}


@pytest.mark.parametrize("how", EDITS)
def test_a_file_that_was_changed_is_refused_by_name(
    vexas_edge: Command, bundle: Path, score: Callable[[Path], Ended], how: str
) -> None:
    path = site_path(bundle)
    before = path.read_bytes()
    path.write_bytes(EDITS[how](before))
    assert path.read_bytes() != before
    for ended in (score(bundle), vexas_edge("inspect", bundle), vexas_edge("verify", bundle)):
        assert ended.status == 6
        assert ended.err.count("\n") == 1
        assert str(path) in ended.err
        remedy = "; make it anew with `vexas-edge commission`, or remove it\n"
        assert (remedy in ended.err) == (how != "too large")


def test_a_file_too_large_to_be_kept_ends_commissioning_before_the_long_work(
    vexas_edge: Command, bundle: Path, slides: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site_path(bundle)
    path.write_bytes(EDITS["too large"](path.read_bytes()))

    def never(*_: object) -> None:
        raise AssertionError("a slide was looked at")

    monkeypatch.setattr("vexas_edge.commands.site.see_cases", never)
    ended = vexas_edge("commission", slides[0] / "S3", "--bundle", bundle, *SITE)
    assert (ended.status, ended.out) == (4, "")
    assert f"{path} is larger than the 8388608 bytes of one; remove it, and commission" in ended.err


def test_a_version_of_any_length_is_written_and_read(
    vexas_edge: Command, bundle: Path, slides: tuple[Path, Path], tmp_path: Path
) -> None:
    long = rewritten(bundle, tmp_path / "long.vxb", version="1." * 500)
    ended = vexas_edge("commission", slides[0] / "S3", "--bundle", long, *SITE)
    assert ended.status == 0
    assert vexas_edge("inspect", long).status == 0
    assert written(long)["bundle"]["version"] == "1." * 500


def test_what_would_not_be_read_again_is_never_written(bundle: Path) -> None:
    before = site_path(bundle).read_bytes()
    site = site_from_json(before)
    (model,) = site.models.values()
    wrong = {
        "centre of 1": replace(site, models={MODEL: replace(model, centre=(0.5,))}),
        "not a valid site file": replace(site, images=replace(site.images, clipped_share=2.0)),
        "larger than": replace(site, bundle=replace(site.bundle, version="1" * (9 << 20))),
    }
    for why, one in wrong.items():
        with pytest.raises(HostError, match=why):
            write_site(open_bundle(bundle), one)
    assert site_path(bundle).read_bytes() == before
    assert len(list(bundle.parent.glob("site.vxb.site*"))) == 1


def forged(model: Callable[[Document], object]) -> Callable[[Document], object]:
    return lambda site: model(site["models"][MODEL])


FORGERIES: dict[str, tuple[Callable[[Document], object], str]] = {
    "too few slides": (forged(lambda m: m["known"].update(negatives=19)), "too few known slides"),
    "no slides": (forged(lambda m: m.update(known=None)), "too few known slides"),
    "more called than there are": (
        forged(lambda m: m["known"].update(positives_called=99)),
        "too few known slides",
    ),
    "all called positive": (
        forged(lambda m: m["known"].update(positives_called=12, negatives_called=22)),
        "of the known negatives 22 of 22",
    ),
    "reasons against it": (forged(lambda m: m.update(why_not=["x"])), "reasons against it"),
    "a short centre": (forged(lambda m: m.update(centre=[0.5])), "has a centre of 1 numbers"),
    "a centre of nothing": (forged(lambda m: m.update(opened=False)), "has a centre of 8 numbers"),
    "another model": (lambda s: s["models"].update(more=s["models"][MODEL]), "it is of the models"),
    "no date": (lambda s: s.update(commissioned="soon"), "its date 'soon' is none"),
    "no time zone": (lambda s: s.update(commissioned="2026-01-01"), "has no time zone"),
    "more failed than there are": (
        lambda s: s.update(n_failed=35),
        "35 of its 34 cases could not be read",
    ),
    "more results than cases": (
        forged(lambda m: m.update(n_abstained=1)),
        "has results of 35 of 34 cases",
    ),
    "a name with a break": (lambda s: s.update(instrument="a\nb"), "that cannot be shown"),
}


@pytest.mark.parametrize("how", FORGERIES)
def test_a_forged_file_opens_nothing_that_the_bundle_does_not_allow(
    bundle: Path, score: Callable[[Path], Ended], how: str
) -> None:
    change, said = FORGERIES[how]
    document = written(bundle)
    change(document)
    site_path(bundle).write_bytes(sealed(document))
    ended = score(bundle)
    assert (ended.status, ended.out) == (6, "")
    assert said in ended.err


def test_a_site_that_is_only_described_is_not_opened_by_hand(
    vexas_edge: Command, tiny_bundle: Path, slides: tuple[Path, Path], tmp_path: Path
) -> None:
    closed = foreign_bundle(tiny_bundle, tmp_path / "closed.vxb")
    vexas_edge("commission", slides[0] / "S3", "--bundle", closed, *SITE)
    path = site_path(closed)
    text = path.read_bytes()
    assert text.count(b'"opened": false') == 1
    path.write_bytes(text.replace(b'"opened": false', b'"opened": true'))
    ended = vexas_edge("score", slides[0] / "S3", "--bundle", closed)
    assert (ended.status, ended.out) == (6, "")
    assert "was changed since" in ended.err


def test_shares_are_those_of_the_counts_and_are_not_in_the_file(
    vexas_edge: Command, bundle: Path
) -> None:
    document = written(bundle)
    assert "rates" not in document["models"][MODEL]
    document["models"][MODEL]["known"].update(positives=20, positives_called=19)
    site_path(bundle).write_bytes(sealed(document))
    said = "known positives found: 19 of 20 (95 %; 95 % bounds 75 to 100 %)"
    assert said in vexas_edge("inspect", bundle).out


def test_a_line_of_a_site_file_upsets_no_terminal(vexas_edge: Command, bundle: Path) -> None:
    document = written(bundle)
    document["images"]["formats"] = {"\x1b[31mPNG\nmodel x": 1}
    site_path(bundle).write_bytes(sealed(document))
    ended = vexas_edge("inspect", bundle)
    assert ended.status == 0
    assert "\n  images: \\x1b[31mPNG model x 1; " in ended.out
    assert "\x1b" not in ended.out


def test_a_bundle_that_states_nothing_is_not_opened_by_a_forged_file(
    tiny_bundle: Path, bundle: Path, score: Callable[[Path], Ended], tmp_path: Path
) -> None:
    silent = foreign_bundle(tiny_bundle, tmp_path / "silent.vxb", stated=None)
    document = written(bundle)
    document["bundle"]["sha256"] = open_bundle(silent).sha256
    site_path(silent).write_bytes(sealed(document))
    assert "the bundle does not state how it performs" in score(silent).err


def test_with_another_bundle_it_has_ended(
    vexas_edge: Command, bundle: Path, score: Callable[[Path], Ended], tmp_path: Path
) -> None:
    other = rewritten(bundle, tmp_path / "other.vxb", version="9")
    shutil.copy(site_path(bundle), site_path(other))
    ended = score(other)
    assert ended.err.count("commissioning has ended") == 1
    assert ended.status == 3
    assert ended.err.startswith("note: other.vxb.site.json is of tiny 1.0.0, of hash ")
    assert "(foreign_cells)" in ended.out
    assert "site: DM96" not in vexas_edge("inspect", other).out


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("Windows has no such pipes")
    os.mkfifo(path)


def a_device(path: Path) -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("Windows has no such devices")
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [a_folder, a_pipe, a_device])
def test_what_is_no_regular_file_is_refused_at_once_and_never_opened(
    vexas_edge: Command,
    bundle: Path,
    score: Callable[[Path], Ended],
    slides: tuple[Path, Path],
    make: Callable[[Path], None],
) -> None:
    path = site_path(bundle)
    path.unlink()
    make(path)
    ended = score(bundle)
    assert (ended.status, ended.err) == (
        6,
        f"error: site file {path} is no regular file; remove it\n",
    )
    ended = vexas_edge("commission", slides[0] / "S3", "--bundle", bundle, *SITE)
    assert (ended.status, ended.out) == (4, "")
    assert "is no regular file; remove it" in ended.err


def test_a_link_to_nothing_is_no_site_file(
    vexas_edge: Command, bundle: Path, score: Callable[[Path], Ended], slides: tuple[Path, Path]
) -> None:
    path = site_path(bundle)
    path.unlink()
    path.symlink_to(path.with_name("gone"))
    assert (score(bundle).status, "foreign_cells" in score(bundle).out) == (3, True)
    ended = vexas_edge("commission", slides[0] / "S3", "--bundle", bundle, *SITE)
    assert (ended.status, path.is_symlink()) == (0, False)
