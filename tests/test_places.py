"""No result tells how the PC is called, or where on it something lies, unless asked for."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import Ended, kept, recorded, write_case

from vexas_edge.errors import HostError
from vexas_edge.text import without_folders

Command = Callable[..., Ended]

HOST = "PC-OF-JANE"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two smears, of which one cannot be read, a class map and a worklist."""
    monkeypatch.setattr("platform.node", lambda: HOST)
    home = tmp_path / "Jane Doe" / "s 1"
    write_case(home / "in" / "P 1", neutrophil=12)
    (home / "in" / "P 2.zip").write_bytes(b"no zip")
    (home / "map.toml").write_text('extends = "cellavision"\n[classes]\nXY = "monocyte"\n')
    (home / "list.csv").write_text("path,case\nP 1,A\nP 2,B\n")
    return home


def score(vexas_edge: Command, home: Path, bundle: Path, *words: str) -> Ended:
    return vexas_edge(
        *("score", home / "in", "--recursive", "--bundle", bundle, "-o", home / "out"),
        *("--class-map", home / "map.toml", "--worklist", home / "list.csv", *words),
    )


def test_results_name_no_host_and_no_absolute_path(
    vexas_edge: Command, home: Path, tiny_bundle: Path
) -> None:
    ended = score(vexas_edge, home, tiny_bundle)
    assert ended.status == 7
    assert f"error: B: {home / 'in' / 'P 2.zip'} is not a readable zip" in ended.err
    written = [path for path in (home / "out").rglob("*") if path.is_file()]
    assert len(written) == 10
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert (HOST in text, "Jane Doe" in text, str(home) in text) == (False, False, False), path
    asked = recorded(home / "out", "started")["asked"]
    assert (asked["cases"], asked["out"], asked["bundle"]) == (["in"], "out", tiny_bundle.name)
    assert (asked["class_map"], asked["worklist"]) == ("map.toml", "list.csv")
    assert "host" not in asked
    assert kept(home / "out", "B")["error"].startswith("P 2.zip is not a readable zip")


def test_json_names_no_host_and_no_absolute_path(
    vexas_edge: Command, home: Path, tiny_bundle: Path
) -> None:
    ended = vexas_edge("score", home / "in" / "P 2.zip", "--bundle", tiny_bundle, "--json")
    assert ended.status == 5
    assert (HOST in ended.out, "Jane" in ended.out) == (False, False)
    assert '"error":"P 2.zip is not a readable zip' in ended.out


def test_the_host_is_in_the_runs_record_where_that_is_asked_for(
    vexas_edge: Command, home: Path, tiny_bundle: Path
) -> None:
    score(vexas_edge, home, tiny_bundle, "--record-host")
    assert recorded(home / "out", "started")["asked"]["host"] == HOST


def test_paths_stay_as_they_were_given_if_they_are_short(
    vexas_edge: Command, home: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    vexas_edge("score", "in/P 1", "--bundle", tiny_bundle, "-o", "new/out")
    asked = recorded(home / "new" / "out", "started")["asked"]
    assert (asked["cases"], asked["out"]) == (["in/P 1"], "new/out")


def test_what_ended_a_run_is_told_without_its_place(
    vexas_edge: Command, home: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise HostError(f"{home / 'out' / 'cases'} is full, and so is /var/lib/x/y")

    monkeypatch.setattr("vexas_edge.commands.smears.score.show", full)
    ended = score(vexas_edge, home, tiny_bundle)
    assert ended.status == 4
    assert f"error: {home / 'out' / 'cases'} is full" in ended.err
    assert recorded(home / "out", "ended")["ended_by"] == "out/cases is full, and so is y"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/jane/a.zip: no zip", "a.zip: no zip"),
        ("open '/home/jane/a.zip'", "open 'a.zip'"),
        (r"C:\Users\jane\a.zip: no zip", "a.zip: no zip"),
        (r"\\server\share\jane\a.zip is away", "a.zip is away"),
        ("a/b/c.png and either/or", "a/b/c.png and either/or"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("../a/b and ~/c/d", "../a/b and ~/c/d"),
        ("2026/01/02", "2026/01/02"),
    ],
)
def test_a_text_loses_the_folders_of_absolute_paths_alone(text: str, shown: str) -> None:
    assert without_folders(text) == shown
