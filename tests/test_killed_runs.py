"""Runs that are killed at any moment, as when the power fails, and gone on with."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import case_files, kept, write_case

from vexas_edge.ledger.checking import problems_of_folder
from vexas_edge.ledger.reading import numbered_files

N_CASES, N_KILLS = 60, 10

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")


def command(smears: Path, bundle: Path, out: Path) -> list[str | Path]:
    options: list[str | Path] = ["--bundle", bundle, "-o", out, "--threads", "1"]
    return [sys.executable, "-m", "vexas_edge", "score", smears, "--recursive", *options]


def test_every_case_of_runs_that_are_killed_has_one_result_equal_to_a_quiet_runs(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    rng = random.Random(0)
    smears, out, quiet = tmp_path / "smears", tmp_path / "out", tmp_path / "quiet"
    for seed in range(N_CASES):
        write_case(smears / f"P{seed:02}", seed=seed, neutrophil=12, monocyte=8)
    subprocess.run(command(smears, tiny_bundle, quiet), check=True, capture_output=True)
    done: dict[str, bytes] = {}
    killed_at: set[int] = set()
    for _ in range(N_KILLS):
        running = subprocess.Popen(
            command(smears, tiny_bundle, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        n_cases = len(list(out.glob("cases/*.json")))
        wanted, deadline = n_cases + rng.randrange(1, 4), time.monotonic() + 60
        while len(list(out.glob("cases/*.json"))) < wanted and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.02))
        running.send_signal(signal.SIGKILL)
        running.communicate()
        now = {file: (out / file).read_bytes() for file in numbered_files(out)}
        assert all(now[file] == content for file, content in done.items())
        done = now
        killed_at.add(len(now))
    assert len(killed_at) > N_KILLS / 2
    assert len(case_files(out)) < N_CASES
    last = subprocess.run(command(smears, tiny_bundle, out), check=True, capture_output=True)
    assert b"was cut off; its finished results are there" in last.stderr
    names = [f"P{seed:02}" for seed in range(N_CASES)]
    assert sorted(case_files(out)) == names  # none lost, none scored twice
    for name in names:
        assert kept(out, name)["models"] == kept(quiet, name)["models"]
    with (out / "cases.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["state"] for row in rows} == {"current"}
    assert len(rows) == 3 * N_CASES
    assert problems_of_folder(out) == []
