"""What a look at a large watched folder costs, and whether memory grows with the looks.

    python benchmarks/watched_folder.py -o FILE

The smears are empty files in the folders of a CellaVision export: nothing of them is opened.
"""

import json
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from host import host_facts

from vexas_edge.smear.options import ReadOptions
from vexas_edge.watching.arrivals import Arrivals
from vexas_edge.watching.tree import WatchedTree

CLASSES = ("Segmented neutrophils", "Monocytes", "Lymphocytes")
# As `vexas-edge watch` does by default: a look every 10 s, and every folder once an hour.
EVERY_SECONDS, SHARE = 10.0, 10 / 3600
# The first look lists all, and the second one all that the first has found.
FIRST_LOOKS = 2


def write_smears(root: Path, n_smears: int, n_files: int) -> None:
    for smear in range(n_smears):
        for place, name in enumerate(CLASSES):
            folder = root / f"P{smear:05}" / "Signed slides" / name
            folder.mkdir(parents=True)
            for number in range(place, n_files, len(CLASSES)):
                (folder / f"{number}.jpg").touch()


def memory_mib() -> float:
    """The resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def measured(root: Path, n_looks: int) -> dict[str, Any]:
    """The CPU time of looks, memory, and whether a late file is noticed at the next one."""
    tree, arrivals = WatchedTree(root, ReadOptions()), Arrivals(settle_seconds=60)
    seconds, memory = [], []
    for look in range(n_looks):
        began = time.process_time()
        arrivals.see(tree.poll(SHARE), look * EVERY_SECONDS)
        seconds.append(time.process_time() - began)
        memory.append(memory_mib())
    (root / "P00007" / "Signed slides" / CLASSES[0] / "late.jpg").touch()
    now = n_looks * EVERY_SECONDS
    arrivals.see(tree.poll(SHARE), now)
    noticed = [name for name, standing, _ in arrivals.standings(now) if standing == "arriving"]
    settled = seconds[FIRST_LOOKS:]
    return {
        "folders": tree.n_folders,
        "looks": n_looks,
        "first_cpu_s": [round(s, 2) for s in seconds[:FIRST_LOOKS]],
        "cpu_s": round(statistics.median(settled), 3),
        "worst_cpu_s": round(max(settled), 3),
        "memory_mib": [round(memory[FIRST_LOOKS]), round(memory[-1])],
        "late_file_noticed_at_next_look": noticed == ["P00007"],
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-o", "out", type=click.Path(path_type=Path), help="JSON lines file to append to.")
@click.option("--smears", "n_smears", default=10_000, show_default=True)
@click.option("--files", "n_files", default=96, show_default=True, help="Files a smear.")
@click.option("--looks", "n_looks", default=200, show_default=True)
def cli(out: Path | None, n_smears: int, n_files: int, n_looks: int) -> None:
    """Measure looks at a folder of many settled smears."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        write_smears(root, n_smears, n_files)
        line = {
            "question": "CPU seconds of a look at a watched folder of settled smears",
            "smears": n_smears,
            "files_per_smear": n_files,
            **measured(root, n_looks),
            "target": "cpu_s < 1, memory flat",
            "date": time.strftime("%Y-%m-%d"),
            **host_facts(),
        }
    click.echo(json.dumps(line))
    if out:
        with out.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    cli()
