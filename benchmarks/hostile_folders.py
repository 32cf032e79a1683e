"""Does any folder end a batch, or change what another smear scores?

    python benchmarks/hostile_folders.py -o benchmarks/results/hostile_folders.jsonl

Folders and zips are made hostile from a seed: with cut, empty and claimed images, links that lead
out or nowhere, pipes, deep and long and odd names, files in place of folders. Some at a time are
scored in one command, with an untouched smear among them. Counted are tracebacks, and untouched
smears that score anything else than alone. It needs a file system with links and pipes.
"""

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import click
import numpy as np
from fuzzed_readers import image_seeds, small_bundle
from host import host_facts
from samples import write_drawn_cells

from vexas_edge.host.cache import FOLDER_VARIABLE

AT_ONCE = 25
_NAMES = (
    *("LY_1.png", "lymphocyte/1.png", "LY/LY_2.jpg", "a/b/c/d/e/f/LY_3.png", "Thumbs.db"),
    *("__MACOSX/._LY_1.png", ".hidden.png", "LY_\u202egnp.4", "=1+1;LY_5.png", "LY 6 %PATH%.png"),
    *(
        "LY_" + "x" * 200 + ".png",
        "ly_1.PNG",
        "LY_7.tif",
        "LY_8.zip",
        "LY_9\n.png",
        "'; rm -r; '.png",
    ),
)


def make_hostile(path: Path, rng: np.random.Generator) -> None:
    """A smear in a folder or a zip, with a few things in it that nobody expects."""
    path.mkdir(parents=True)
    seeds = image_seeds()
    for number in range(int(rng.integers(1, 12))):
        name = _NAMES[int(rng.integers(len(_NAMES)))]
        file = path / f"{number}" / name if rng.integers(2) else path / name
        if os.path.lexists(file):  # writing to a pipe would wait, and to a link change its target
            continue
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            _put(file, seeds[int(rng.integers(len(seeds)))], rng)
        except OSError:  # a file lies where a folder should, or the other way round
            continue
    if rng.integers(4) == 0:
        _pack(path)


def _put(file: Path, image: bytes, rng: np.random.Generator) -> None:
    match int(rng.integers(9)):
        case 0:
            file.write_bytes(b"")
        case 1:
            file.write_bytes(image[: int(rng.integers(len(image)))])
        case 2:
            file.symlink_to("/etc/hostname" if rng.integers(2) else file)
        case 3:
            os.mkfifo(file)
        case 4:
            file.mkdir()
        case 5:
            place = int(rng.integers(len(image)))
            file.write_bytes(image[:place] + rng.bytes(4) + image[place + 4 :])
        case 6:
            file.write_bytes(rng.bytes(int(rng.integers(5000))))
        case _:
            file.write_bytes(image)


def _pack(path: Path) -> None:
    """A zip beside the folder, of the same name, with what can be read of it and an odd name."""
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        for file in path.rglob("*"):
            if file.is_file() and not file.is_symlink():
                archive.write(file, str(file.relative_to(path)))
        archive.writestr("x" * 300, b"")


def scored(
    cases: list[Path], bundle: Path, out: Path
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """What the command says, and the result of each case by the name of its file."""
    command: list[str | Path] = [sys.executable, "-m", "vexas_edge", "score", *cases]
    command += ["--bundle", bundle, "--cell-type", "lymphocyte", "-o", out, "--no-report"]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=300)
    results = (json.loads(file.read_text()) for file in (out / "cases").glob("*.json"))
    return ended, {result["case"]: result for result in results}


@click.command()
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="Add a line here."
)
@click.option("--folders", default=500, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(out: Path, folders: int, seed: int) -> None:
    """Score hostile folders, and an untouched smear among each few of them; add a line."""
    rng = np.random.default_rng(seed)
    statuses: Counter[str] = Counter()
    tracebacks, changed, missing = [], 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ[FOLDER_VARIABLE] = str(folder / "own-cache")
        bundle = small_bundle(folder)
        untouched = write_drawn_cells(20, 60, folder / "untouched")
        _, alone = scored([untouched], bundle, folder / "alone")
        for first in range(0, folders, AT_ONCE):
            hostile = [folder / f"batch-{first}" / f"P{n}" for n in range(first, first + AT_ONCE)]
            for path in hostile:
                make_hostile(path, rng)
            cases = sorted(folder.glob(f"batch-{first}/P*"))
            cases.insert(len(cases) // 2, untouched)
            ended, found = scored(cases, bundle, folder / f"results-{first}")
            statuses.update(result["status"] for result in found.values())
            if "Traceback" in ended.stderr or ended.returncode not in (0, 3, 5, 7):
                tracebacks.append((first, ended.returncode, ended.stderr[-2000:]))
            missing += len({case.stem for case in cases} - found.keys())
            changed += _models(found.get("untouched")) != _models(alone["untouched"])
    line = {
        "question": "hostile folders with a traceback, or that change what another smear scores",
        "ratio": len(tracebacks) + changed,
        "target": "0",
        "folders": folders,
        "seed": seed,
        "statuses": dict(statuses),
        "cases_without_a_result": missing,
        "untouched_that_changed": changed,
        "tracebacks": tracebacks[:3],
    }
    with out.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({**line, **host_facts()}) + "\n")
    click.echo(json.dumps(line, indent=1))


def _models(result: dict[str, Any] | None) -> Any:
    return result and [(model["status"], model["score"]) for model in result["models"]]


if __name__ == "__main__":
    main()
