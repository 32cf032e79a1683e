"""What do the worst inputs cost that anyone has thought of?

    python benchmarks/worst_inputs.py -o benchmarks/results/worst_inputs.jsonl

Changing inputs at random (`fuzzing.py`) finds what breaks a reader; what is dear has to be built:
files as large as they may be, that unpack to much, of very many parts, or nested deep. Each is read
in a process of its own, images by two threads at once, as a smear is scored with two. Told are the
seconds that this took, the memory over what the process had before, and what came of it. The
targets are 5 s and 512 MiB.
"""

import json
import multiprocessing
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import click
from fuzzed_readers import Reader, readers
from fuzzing import forgotten_peak_mib, peak_mib
from host import host_facts
from worst_files import worst_inputs

from vexas_edge.errors import VexasEdgeError

MOST_SECONDS, MOST_MIB = 5.0, 512.0
_THREADS = {"image": 2}  # all others are read by one
_HANGS_AFTER_S, _INPUT = 120.0, "input"


def _work(reader_name: str, kept: Path, to: Connection) -> None:
    reader = readers(kept)[reader_name]
    with (
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as other,
        ThreadPoolExecutor() as pool,
    ):
        base = forgotten_peak_mib()
        began = time.perf_counter()
        places = [Path(one), Path(other)][: _THREADS.get(reader_name, 1)]
        outcomes = set(pool.map(lambda place: _outcome(reader, kept / _INPUT, place), places))
        to.send((time.perf_counter() - began, peak_mib() - base, sorted(outcomes)))


def _seeds(reader: Reader) -> dict[str, bytes]:
    """The seeds by name, as far as they begin with one."""
    parts = [seed.partition(b"\0") for seed in reader.seeds]
    return {name.decode(): rest for name, _, rest in parts if name.isascii() and len(name) < 99}


def _outcome(reader: Reader, file: Path, folder: Path) -> str:
    try:
        reader.read(file.read_bytes(), folder)
    except VexasEdgeError as error:
        return f"refused: {error}"[:200].replace(str(folder), "FOLDER")
    return "read"


def measured(reader: str, data: bytes, kept: Path) -> tuple[float, float, list[str]]:
    """Seconds, MiB over the start's, and outcomes of an input."""
    (kept / _INPUT).write_bytes(data)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    work = context.Process(target=_work, args=(reader, kept, theirs))
    work.start()
    theirs.close()
    try:
        if not ours.poll(_HANGS_AFTER_S):
            return _HANGS_AFTER_S, 0.0, ["hang"]
        found: tuple[float, float, list[str]] = ours.recv()
        return found
    except EOFError:
        return 0.0, 0.0, ["crash, or an exception that is not ours"]
    finally:
        work.kill()
        work.join()


@click.command()
@click.option("-o", "out", type=click.Path(path_type=Path), help="Add lines here.")
@click.option("--reader", "names", multiple=True, help="Try this one only; may be repeated.")
def main(out: Path | None, names: tuple[str, ...]) -> None:
    """Read the worst inputs of every reader; add a line for each of them."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder)
        for name, reader in readers(kept).items():
            if names and name not in names:
                continue
            for what, data in worst_inputs(name, _seeds(reader)):
                seconds, mib, outcomes = measured(name, data, kept)
                line = {
                    "question": f"the seconds that reading {what} takes",
                    "ratio": round(seconds / MOST_SECONDS, 3),
                    "target": f"under 1 ({MOST_SECONDS:.0f} s), and under {MOST_MIB:.0f} MiB",
                    "reader": name,
                    "seconds": round(seconds, 3),
                    "mib_over_base": round(mib, 1),
                    "outcomes": outcomes,
                }
                if out:
                    with out.open("a", encoding="utf-8") as stream:
                        stream.write(json.dumps({**line, **host_facts()}) + "\n")
                click.echo(f"{seconds:7.2f} s {mib:7.1f} MiB  {name}: {what}: {outcomes}")


if __name__ == "__main__":
    main()
