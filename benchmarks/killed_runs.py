"""Whether anything is lost or doubled if a watcher is killed again and again while smears arrive.

    python benchmarks/killed_runs.py -o FILE

Smears are copied slowly, in pieces, some of them twice, some under a second name, some with a cell
more later on; meanwhile `vexas-edge watch` is killed at random moments. In the end each smear must
have one current result, equal to that of a quiet run, and no result may have been made twice.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from host import host_facts
from PIL import Image
from samples import write_module_bundle

from vexas_edge.ledger.checking import problems_of_folder
from vexas_edge.ledger.journal import score_from_json
from vexas_edge.ledger.reading import read_journal
from vexas_edge.ledger.sameness import known_from_lines

N_CELLS, CANVAS_PX, WIDTH = 8, 32, 16
ABSTAINED = 3
CELL_CLASS = "lymphocyte"
# Of all smears, which share is copied again, gets a second name, or gets a cell more.
SHARE = 0.1


def write_smear(folder: Path, seed: int, n_cells: int = N_CELLS) -> Path:
    """Cells of noise around a colour of their own."""
    rng = np.random.default_rng(seed)
    (folder / CELL_CLASS).mkdir(parents=True)
    for number in range(n_cells):
        noise = rng.normal(rng.integers(60, 200, 3), 40, (28, 28, 3))
        pixels = np.clip(noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / CELL_CLASS / f"{number}.png")
    return folder


def write_bundle(scratch: Path) -> Path:
    """A small network, for which scoring costs less than writing."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, WIDTH, 5, stride=4), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    cells = write_smear(scratch / "parity", 10**6) / CELL_CLASS
    return write_module_bundle(network, "small", WIDTH, CANVAS_PX, cells, scratch / "b.vxb")


class Analyzer(threading.Thread):
    """Copies smears into a folder, slowly and in pieces."""

    def __init__(self, smears: list[Path], to: Path, seconds: float) -> None:
        super().__init__(daemon=True)
        self._smears, self._to = smears, to
        self._pause = seconds / (len(smears) * N_CELLS)
        self._rng = random.Random(0)

    def run(self) -> None:
        for smear in self._smears:
            self._copy(smear, self._to / smear.name)
            chance = self._rng.random()
            if chance < SHARE:
                self._copy(smear, self._to / smear.name)
            elif chance < 2 * SHARE:
                self._copy(smear, self._to / f"{smear.name} renamed")
            elif chance < 3 * SHARE:
                more = write_smear(
                    smear.with_name(f"{smear.name} more"), 10**7 + int(smear.name[1:])
                )
                shutil.copy(
                    more / CELL_CLASS / "0.png", self._to / smear.name / CELL_CLASS / "more.png"
                )

    def _copy(self, smear: Path, to: Path) -> None:
        (to / CELL_CLASS).mkdir(parents=True, exist_ok=True)
        for file in sorted((smear / CELL_CLASS).iterdir()):
            content = file.read_bytes()
            with (to / CELL_CLASS / file.name).open("wb") as stream:
                stream.write(content[: len(content) // 2])
                stream.flush()
                time.sleep(self._pause)
                stream.write(content[len(content) // 2 :])


def watch(root: Path, bundle: Path, out: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "vexas_edge", "watch", str(root), "--bundle", str(bundle)]
    return subprocess.Popen(
        [*command, "-o", str(out), "--every", "0.1", "--settle", "0.5"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def answers(out: Path) -> dict[str, list[Any]]:
    """The current results of a folder, by the name of the smear."""
    known, found = known_from_lines(read_journal(out)), {}
    for line in known:
        if known.state(line) == "current":
            score = score_from_json(line.file, (out / line.file).read_bytes())
            found[line.entry.given] = [(m.model, m.status, m.score) for m in score.models]
    return found


def made_twice(out: Path) -> int:
    """How many results were made by an engine for the same cells more than once."""
    known = known_from_lines(read_journal(out))
    keys = Counter(line.entry.key for line in known if not line.entry.same_cells_as)
    return sum(n - 1 for key, n in keys.items() if key)


def killed_again_and_again(
    root: Path, bundle: Path, results: Path, n_kills: int, seconds: float
) -> None:
    """Watch, and kill the watcher at a random moment, so often in about this time."""
    rng = random.Random(1)
    for _ in range(n_kills):
        running = watch(root, bundle, results)
        time.sleep(rng.uniform(0.2, 2 * seconds / n_kills - 0.2))
        running.send_signal(signal.SIGKILL)
        running.communicate()


def quiet_answers(root: Path, bundle: Path, out: Path) -> dict[str, list[Any]]:
    """What a run that nobody disturbs answers."""
    command = [sys.executable, "-m", "vexas_edge", "score", str(root), "--recursive"]
    command += ["--bundle", str(bundle), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, ABSTAINED):
        raise click.ClickException(done.stderr)
    return answers(out)


def answers_at_last(
    root: Path, bundle: Path, results: Path, wanted: dict[str, list[Any]]
) -> dict[str, list[Any]]:
    """The answers of a watcher that may go on until they are those, or for two minutes."""
    last, ends = watch(root, bundle, results), time.monotonic() + 120
    while answers(results) != wanted and time.monotonic() < ends:
        time.sleep(0.5)
    last.terminate()
    last.communicate()
    return answers(results)


def measured(scratch: Path, n_smears: int, n_kills: int, seconds: float) -> dict[str, Any]:
    """What was lost or doubled."""
    bundle, root, results = write_bundle(scratch), scratch / "in", scratch / "results"
    smears = [write_smear(scratch / "smears" / f"S{n:03}", n) for n in range(n_smears)]
    root.mkdir()
    analyzer = Analyzer(smears, root, seconds)
    analyzer.start()
    killed_again_and_again(root, bundle, results, n_kills, seconds)
    analyzer.join()
    wanted = quiet_answers(root, bundle, scratch / "quiet")
    found = answers_at_last(root, bundle, results, wanted)
    return {
        "kills": n_kills,
        "smears": len(wanted),
        "lost": len(wanted.keys() - found.keys()),
        "other_answers": sum(found.get(name) != answer for name, answer in wanted.items()),
        "made_twice": made_twice(results),
        "problems": problems_of_folder(results),
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-o", "out", type=click.Path(path_type=Path), help="JSON lines file to append to.")
@click.option("--smears", "n_smears", default=200, show_default=True)
@click.option("--kills", "n_kills", default=50, show_default=True)
@click.option("--seconds", default=110.0, show_default=True, help="For how long smears arrive.")
def cli(out: Path | None, n_smears: int, n_kills: int, seconds: float) -> None:
    """Kill a watcher again and again while smears arrive, and count what was lost or doubled."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder).resolve()
        os.environ["VEXAS_EDGE_CACHE"] = str(scratch / "cache")
        found = measured(scratch, n_smears, n_kills, seconds)
    line = {
        "question": "results lost or doubled by a watcher that is killed",
        **found,
        "seconds": round(time.monotonic() - began),
        "date": time.strftime("%Y-%m-%d"),
        **host_facts(),
    }
    click.echo(json.dumps(line))
    if out:
        with out.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
    if any(found[name] for name in ("lost", "other_answers", "made_twice", "problems")):
        raise SystemExit(1)


if __name__ == "__main__":
    cli()
