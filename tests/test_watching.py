"""Smears that are scored as they arrive: in pieces, late, damaged, twice; time is injected."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tiny import Ended, case_files, kept, recorded, write_case, write_cells

from vexas_edge import open_bundle
from vexas_edge.commands.smears import watch
from vexas_edge.commands.smears.asked import ScoringRun, asked_from_run, given_for_run
from vexas_edge.commands.smears.scorer import Scorer
from vexas_edge.commands.smears.steps import Answered, Looked
from vexas_edge.commands.smears.watch import ROUND_SECONDS, Watcher, Watching, run_watch
from vexas_edge.covariates.given import CovariateOptions
from vexas_edge.errors import HostError
from vexas_edge.host.stopping import Stop
from vexas_edge.ledger.checking import problems_of_folder
from vexas_edge.ledger.writing import Ledger
from vexas_edge.naming.case_ids import Naming, NamingOptions
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.whole import bundle_id
from vexas_edge.smear.options import ReadOptions
from vexas_edge.talk import Progress
from vexas_edge.watching.arrivals import RETRY_SECONDS, Arrivals
from vexas_edge.watching.status import write_status
from vexas_edge.watching.tree import WatchedTree

HOW = Watching(every_seconds=10, settle_seconds=60)


class Watched:
    """A watched folder, whose time passes when it is told to."""

    def __init__(
        self,
        root: Path,
        out: Path,
        bundle: Path,
        how: Watching,
        naming: NamingOptions | None = None,
        covariates: CovariateOptions | None = None,
    ) -> None:
        self.now, self.how, self.naming = 0.0, how, Naming(naming or NamingOptions())
        self.ledger = Ledger(out)
        self.sessions = Sessions(open_bundle(bundle))
        run = ScoringRun(
            cases=(root,), bundle=bundle, out=out, covariates=covariates or CovariateOptions()
        )
        self.given = given_for_run(run, self.sessions.bundle)
        who = bundle_id(self.sessions.bundle)
        self.ledger.start(asked_from_run(run, self.naming), who, datetime.now(UTC))
        self.root = root
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what was seen, as a process does that ends."""
        scorer = Scorer(
            sessions=self.sessions,
            reading=ReadOptions(),
            naming=self.naming,
            given=self.given,
            ledger=self.ledger,
            brief=True,
        )
        self.watcher = Watcher(self.root, scorer, self.how)

    def go_on(self, seconds: float) -> None:
        """Look and score as often as in this time."""
        for _ in range(round(seconds / self.how.every_seconds)):
            self.watcher.look(self.now)
            while self.watcher.score_next(self.now):
                pass
            self.now += self.how.every_seconds

    def standing(self, name: str) -> str:
        return {n: standing for n, standing, _ in self.watcher.arrivals.standings(self.now)}[name]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def watched(root: Path, out: Path, tiny_bundle: Path) -> Iterator[Watched]:
    watched = Watched(root, out, tiny_bundle, HOW)
    with watched.ledger, watched.sessions:
        yield watched
    assert problems_of_folder(out) == []


def test_a_smear_is_scored_when_nothing_of_it_has_changed_for_a_while(
    watched: Watched, root: Path, out: Path
) -> None:
    write_case(root / "P1", neutrophil=6)
    watched.go_on(50)
    write_cells(root / "P1" / "neutrophil", 12, seed=1)
    watched.go_on(60)
    assert case_files(out) == []
    watched.go_on(20)
    assert kept(out, "P1")["models"][0]["n_cells"] == 12
    watched.go_on(600)
    assert case_files(out) == ["P1"]


def test_what_was_there_before_is_not_scored_again(
    watched: Watched, root: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_case(root / "P1")
    watched.go_on(100)
    monkeypatch.setattr("vexas_edge.commands.smears.scorer.open_case", None)
    watched.begin_anew()
    watched.go_on(100)
    assert case_files(out) == ["P1"]
    assert watched.standing("P1") == "done"


def test_a_late_file_is_noticed_at_the_next_look(watched: Watched, root: Path, out: Path) -> None:
    write_case(root / "P1", neutrophil=12)
    watched.go_on(100)
    shutil.copy(root / "P1" / "neutrophil" / "0.png", root / "P1" / "neutrophil" / "late.png")
    write_cells(root / "P1" / "neutrophil", 14, seed=1)
    watched.go_on(10)
    assert watched.standing("P1") == "arriving"
    watched.go_on(70)
    assert case_files(out) == ["P1", "P1"]


def test_a_file_that_is_written_anew_in_its_place_is_noticed_within_the_hour(
    watched: Watched, root: Path, out: Path
) -> None:
    for seed in range(3):
        write_case(root / f"P{seed}", seed=seed)
    watched.go_on(100)
    folder = root / "P1" / "neutrophil"
    before = folder.stat().st_mtime_ns
    content = (folder / "3.png").read_bytes()
    with (folder / "3.png").open("r+b") as stream:
        stream.write((folder / "4.png").read_bytes())
        stream.truncate()
    assert folder.stat().st_mtime_ns == before
    assert content != (folder / "3.png").read_bytes()
    watched.go_on(ROUND_SECONDS + 90)
    assert case_files(out) == ["P0", "P1", "P2", "P1"]


def test_smears_arrive_in_folders_of_days_and_as_zips(
    watched: Watched, root: Path, out: Path
) -> None:
    write_case(root / "2026" / "monday" / "P1", seed=1)
    watched.go_on(100)
    write_case(root / "2026" / "tuesday" / "P1", seed=2)
    shutil.make_archive(str(root / "P3"), "zip", write_case(root.parent / "P3", seed=3))
    watched.go_on(100)
    assert case_files(out) == ["2026~2Fmonday~2FP1", "2026~2Ftuesday~2FP1", "P3.zip"]


def test_a_smear_that_cannot_be_read_is_tried_again_and_then_given_up(
    watched: Watched, root: Path, out: Path
) -> None:
    (root / "P1.zip").write_bytes(b"PK half a zip")
    watched.go_on(80)
    assert case_files(out) == []
    assert watched.standing("P1.zip") == "waiting for another try"
    watched.go_on(sum(RETRY_SECONDS) + 60)
    assert watched.standing("P1.zip") == "given up"
    assert kept(out, "P1.zip")["error"].startswith("P1.zip is not a readable zip")
    watched.go_on(ROUND_SECONDS)
    assert case_files(out) == ["P1.zip"]
    shutil.make_archive(str(root / "P1"), "zip", write_case(root.parent / "P1"))
    watched.go_on(80)
    assert kept(out, "P1.zip")["status"] == "scored"


def test_a_smear_waits_for_its_line_of_the_worklist(
    root: Path, out: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worklist = root.parent / "work.csv"
    worklist.write_text("path,case\nslide 1,B12\n")
    write_case(root / "slide 1", seed=1)
    write_case(root / "slide 2", seed=2)
    watched = Watched(root, out, tiny_bundle, HOW, NamingOptions(worklist=worklist))
    with watched.ledger, watched.sessions:
        watched.go_on(ROUND_SECONDS)
        assert case_files(out) == ["B12"]
        assert watched.standing("slide 2") == "waiting for another try"
        assert capsys.readouterr().err.count("slide 2 is not on the worklist") == 1
        status = watched.watcher.status(watched.now)
        assert list(status.problems) == ["slide 2"]
        worklist.write_text("path,case\nslide 1,B12\nslide 2,B")
        watched.go_on(20)
        worklist.unlink()  # as while it is written anew
        watched.go_on(20)
        assert "cannot be read" in watched.watcher.trouble
        worklist.write_text("path,case\nslide 1,B12\nslide 2,B13\n")
        watched.go_on(100)
        assert not watched.watcher.trouble
    assert case_files(out) == ["B12", "B13"]
    assert problems_of_folder(out) == []


def test_a_watcher_that_hashes_ids_leaves_none_in_the_results_folder(
    root: Path, out: Path, tiny_bundle: Path
) -> None:
    key, worklist = root.parent / "key", root.parent / "work.csv"
    key.write_text("a secret of the laboratory")
    worklist.write_text("path,case\nMiller_77,Smith\nMiller_78,Jones\n")
    write_case(root / "Miller_77", seed=1)
    (root / "Miller_78.zip").write_bytes(b"half a zip")
    write_case(root / "Miller_79", seed=2)
    naming = NamingOptions(hash_ids=key, worklist=worklist)
    watched = Watched(root, out, tiny_bundle, HOW, naming)
    with watched.ledger, watched.sessions:
        watched.go_on(sum(RETRY_SECONDS) + 120)
        worklist.write_text("path,case\nMiller_77,Smith\nMiller_77,Jones\n")
        watched.go_on(20)
        assert "is already the case 'Smith'" in watched.watcher.trouble
        write_status(out, watched.watcher.status(watched.now))
    assert len(case_files(out)) == 2
    for path in (path for path in out.rglob("*") if path.is_file()):
        for name in ("iller", "mith", "ones"):
            assert name.encode() not in path.read_bytes(), path
            assert name not in path.name


def test_a_smear_that_no_pattern_can_name_fails_at_once_and_has_no_result(
    root: Path, out: Path, tiny_bundle: Path, vexas_edge: Callable[..., Ended]
) -> None:
    write_case(root / "odd")
    watched = Watched(root, out, tiny_bundle, HOW, NamingOptions(case_id="{id}_*"))
    with watched.ledger, watched.sessions:
        watched.go_on(100)
        assert watched.standing("odd") == "given up"
        assert watched.watcher.batch.statuses == {"failed": 1}
    assert case_files(out) == []
    words = ("--settle", "0", "--once", "--case-id", "{id}_*")
    ended = vexas_edge("watch", root, "--bundle", tiny_bundle, "-o", out, *words)
    assert (ended.status, "odd does not match the case id pattern" in ended.err) == (5, True)


def test_a_folder_that_goes_away_for_a_while_loses_nothing(
    watched: Watched, root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_case(root / "P1", seed=1)
    watched.go_on(100)
    root.rename(root.with_name("away"))
    watched.go_on(100)
    root.with_name("away").rename(root)
    write_case(root / "P2", seed=2)
    watched.go_on(100)
    assert case_files(out) == ["P1", "P2"]
    said = capsys.readouterr().err
    assert said.count("cannot be listed: No such file or directory; trying again") == 1
    assert "note: that is over" in said


def test_a_disk_that_is_full_for_a_while_loses_nothing(
    watched: Watched, root: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    write_case(root / "P1", seed=1)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(HostError, match="No space left on device"):
            watched.go_on(100)
    watched.go_on(100)
    assert case_files(out) == ["P1"]


def test_a_marker_says_that_a_smear_is_whole(root: Path, out: Path, tiny_bundle: Path) -> None:
    watched = Watched(root, out, tiny_bundle, Watching(every_seconds=10, done_marker=".done"))
    with watched.ledger, watched.sessions:
        write_case(root / "P1", seed=1)
        shutil.make_archive(str(root / "P2"), "zip", write_case(root.parent / "P2", seed=2))
        watched.go_on(200)
        assert case_files(out) == []
        (root / "P1" / ".done").touch()
        watched.go_on(20)
        assert case_files(out) == ["P1"]
        (root / "P2.zip.done").touch()
        watched.go_on(20)
        assert case_files(out) == ["P1", "P2.zip"]


def test_nothing_is_written_to_the_watched_folder(watched: Watched, root: Path) -> None:
    write_case(root / "P1")
    before = {path: path.stat().st_mtime_ns for path in (root, *root.rglob("*"))}
    watched.go_on(200)
    assert {path: path.stat().st_mtime_ns for path in (root, *root.rglob("*"))} == before


def test_smears_are_scored_in_the_order_of_their_arrival() -> None:
    arrivals = Arrivals(settle_seconds=10)
    arrivals.see({"b": "1"}, 0)
    arrivals.see({"a": "1", "b": "1"}, 5)
    assert arrivals.ready(9) == []
    assert arrivals.ready(20) == ["b", "a"]
    arrivals.see({"a": "1", "b": "2"}, 20)
    assert arrivals.ready(20) == ["a"]


def test_a_look_lists_few_folders(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        write_case(root / f"P{number}", neutrophil=1)
    tree = WatchedTree(root, ReadOptions())
    for _ in range(3):
        tree.poll(0)
    listed: list[str] = []

    def listing(path: str) -> set[str]:
        listed.append(path)
        return set()

    monkeypatch.setattr(tree, "_list", listing)
    tree.poll(0.05)
    assert len(listed) == 5  # of 81
    for _ in range(19):
        tree.poll(0.05)
    assert len(set(listed)) == 81


def passing(waits: list[float], is_over: Callable[[], bool]) -> type[Stop]:
    """Time that passes at once, until there is a result and nothing to do; then it is stopped."""

    class Passing(Stop):
        def wait(self, seconds: float) -> None:
            waits.append(seconds)
            time.sleep(0.02)
            if len(waits) > 200 or (seconds == EVERY and is_over()):
                self._asked.set()

    return Passing


EVERY = 0.125


def test_the_loop_waits_longer_and_longer_for_a_full_disk_and_then_goes_on(
    root: Path, out: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_case(root / "P1")
    write = Path.write_bytes
    failures = 3

    def full(self: Path, content: bytes) -> int:
        nonlocal failures
        if "started" in self.name and failures:
            failures -= 1
            raise OSError(28, "No space left on device")
        return write(self, content)

    lowered: list[bool] = []
    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(watch, "_PAUSE_SECONDS", (0.5, 1.5))
    monkeypatch.setattr(watch, "lower_priority", lambda: lowered.append(True))
    monkeypatch.setattr("vexas_edge.watching.arrivals.RETRY_SECONDS", (0.01,) * 5)
    waits: list[float] = []
    monkeypatch.setattr(watch, "Stop", passing(waits, lambda: bool(case_files(out))))
    run = ScoringRun(cases=(root,), bundle=tiny_bundle, out=out)
    how = Watching(every_seconds=EVERY, settle_seconds=0)
    assert run_watch(run, how) == 0
    assert [seconds for seconds in waits if seconds != EVERY] == [0.5, 1.0, 1.5]
    assert (case_files(out), lowered) == (["P1"], [True])
    assert problems_of_folder(out) == []


def test_a_smear_whose_old_result_is_damaged_does_not_keep_others_from_theirs(
    watched: Watched, root: Path, out: Path
) -> None:
    write_case(root / "P1", seed=1)
    watched.go_on(100)
    file = out / "cases" / "000002-P1.json"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"P1", b"P7"))
    watched.begin_anew()
    write_case(root / "P2", seed=2)
    watched.go_on(100)
    assert case_files(out) == ["P1", "P2"]
    file.write_bytes(content)


def test_a_failure_that_could_not_be_recorded_is_recorded_later(
    watched: Watched, root: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "P1.zip").write_bytes(b"PK half a zip")
    watched.go_on(sum(RETRY_SECONDS) + 50)
    with monkeypatch.context() as patch:
        patch.setattr(watched.ledger, "add", full_disk)
        with pytest.raises(HostError, match="full"):
            watched.go_on(600)
    watched.go_on(600)
    assert kept(out, "P1.zip")["status"] == "failed"


def full_disk(*_: object) -> None:
    raise HostError("the disk is full")


def test_a_smear_that_changes_while_another_one_is_scored_is_left_to_settle(
    root: Path, out: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate(("P1", "P2")):
        write_case(root / name, seed=seed, neutrophil=12)
    waits: list[float] = []
    answered, waited = Scorer.answer, dict[str, int]()

    def slow(self: Scorer, looked: Looked, progress: Progress) -> Answered:
        name = looked.named.name
        waited[name] = len(waits)
        answer = answered(self, looked, progress)
        if name == "P1":
            for number in range(6):
                (root / "P2" / "neutrophil" / f"{number}.png").unlink()
            time.sleep(2 * EVERY)
        return answer

    monkeypatch.setattr(Scorer, "answer", slow)
    monkeypatch.setattr(watch, "Stop", passing(waits, lambda: len(case_files(out)) == 2))
    run = ScoringRun(cases=(root,), bundle=tiny_bundle, out=out)
    run_watch(run, Watching(every_seconds=EVERY, settle_seconds=0.2))
    assert kept(out, "P2")["models"][0]["n_cells"] == 6
    assert waited["P2"] > waited["P1"]
    assert case_files(out) == ["P1", "P2"]


def started(root: Path, out: Path, bundle: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "vexas_edge", "watch", str(root), "--bundle", str(bundle)]
    return subprocess.Popen(
        [*command, "-o", str(out), "--every", "0.1", "--settle", "0.3", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(os.name == "nt", reason="a process cannot be sent a signal alone on Windows")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_in_order(
    root: Path, out: Path, tiny_bundle: Path, number: signal.Signals
) -> None:
    write_case(root / "P1")
    running = started(root, out, tiny_bundle)
    deadline = time.monotonic() + 60
    while not list(out.glob("cases/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(number)
    printed, said = running.communicate(timeout=60)
    assert running.returncode == 0
    assert "P1: scored" in printed
    assert said.splitlines()[-1].endswith(": 1 scored, 0 abstained, 0 failed")
    assert recorded(out, "ended")["ended_by"] == number.name
    assert problems_of_folder(out) == []


def test_once_scores_what_has_settled_and_ends(
    root: Path, out: Path, tiny_bundle: Path, vexas_edge: Callable[..., Ended]
) -> None:
    write_case(root / "P1")
    (root / "P2.zip").write_bytes(b"PK")
    running = started(root, out, tiny_bundle, "--once")
    running.communicate(timeout=60)
    assert running.returncode == 7
    assert case_files(out) == ["P1", "P2.zip"]
    again = started(root, out, tiny_bundle, "--once")
    again.communicate(timeout=60)
    assert (again.returncode, case_files(out)) == (7, ["P1", "P2.zip"])
    assert problems_of_folder(out) == []
    status = vexas_edge("watch", "--status", out)
    assert "is not watched now" in status.out
    assert "smears: 1 done, 1 given up" in status.out or "waiting" in status.out


def test_the_status_is_said_in_words(
    root: Path, out: Path, tiny_bundle: Path, vexas_edge: Callable[..., Ended]
) -> None:
    write_case(root / "P1")
    (root / "P2.zip").write_bytes(b"PK")
    running = started(root, out, tiny_bundle)
    deadline = time.monotonic() + 60
    said: list[str] = []
    while len(said) < 4 and time.monotonic() < deadline:
        time.sleep(0.2)
        said = vexas_edge("watch", "--status", out).out.splitlines()
    running.terminate()
    running.communicate(timeout=60)
    assert said[0].startswith("in is watched; it was last looked at ")
    assert str(root.parent) not in (out / "watch.json").read_text()
    assert said[1] == "smears: 1 done, 1 waiting for another try"
    assert said[2] == "results: 1 scored"
    assert said[3].startswith("P2.zip: ")
    now = vexas_edge("watch", "--status", out).out
    assert now.startswith("in is not watched now: its watcher was stopped; the last look was ")


def test_the_status_says_what_somebody_must_do(
    watched: Watched, root: Path, out: Path, vexas_edge: Callable[..., Ended]
) -> None:
    write_case(root / "P1", neutrophil=12)
    watched.go_on(100)
    for name in ("P2", "P3"):
        shutil.copytree(root / "P1", root / name)
    (root / "P3" / "neutrophil" / "0.png").unlink()
    watched.go_on(100)
    write_status(out, watched.watcher.status(watched.now))
    said = vexas_edge("watch", "--status", out).out.splitlines()
    assert said[2] == "results: 1 held, 2 scored"
    assert said[3].endswith(f"(`vexas-edge results confirm {out} CASE`): P3")
    assert said[4].startswith("to look into: P1 (same_cells_as P2, shares_cells_with P3), P2 (same")
    watched.begin_anew()
    watched.go_on(100)
    assert watched.watcher.batch.summary().endswith(
        "3 of them known before: 2 scored, 1 abstained (held 1), 0 failed"
    )


def test_a_folder_that_nobody_has_watched_is_told_from_one_that_is_not_there(
    out: Path, tmp_path: Path, vexas_edge: Callable[..., Ended]
) -> None:
    ended = vexas_edge("watch", "--status", out)
    assert (ended.status, "no watcher has ever written to" in ended.err) == (5, True)
    ended = vexas_edge("results", "verify", tmp_path / "away")
    assert "is no results folder" in ended.err


def test_two_watchers_do_not_write_to_one_folder(
    root: Path, out: Path, tiny_bundle: Path, vexas_edge: Callable[..., Ended]
) -> None:
    write_case(root / "P1")
    first = started(root, out, tiny_bundle)
    deadline = time.monotonic() + 60
    while not list(out.glob("cases/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    for command in ("watch", "score"):
        second = vexas_edge(command, root, "--bundle", tiny_bundle, "-o", out)
        assert (second.status, second.out) == (4, "")
        assert f"is being written by process {first.pid} on" in second.err
    first.terminate()
    first.communicate(timeout=60)
    assert problems_of_folder(out) == []
