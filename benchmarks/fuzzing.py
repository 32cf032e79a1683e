"""Does any input end in anything but a result or one clear line?

    python benchmarks/fuzzing.py -o benchmarks/results/fuzzing.jsonl

Sound inputs of twelve readers are changed at random (bits, lengths, numbers, nesting, parts of each
other) and read, in processes of their own. Counted are inputs that are read, those that are refused
by an error of ours, and what must not be: any other exception, a process that dies, and one that
takes longer than the limit. The time and the memory of the worst input are measured, too. Each line
says from which seed it was made, so that an input can be made again.
"""

import json
import multiprocessing
import tempfile
import time
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
import numpy as np
from fuzzed_readers import Reader, packed, readers
from host import host_facts

from vexas_edge.errors import VexasEdgeError

LIMIT_SECONDS = 5.0
_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_PNG = b"\x89PNG\r\n\x1a\n"
_TOKENS = (
    *(b"0", b"-1", b"1e999", b"NaN", b"null", b"true", b"99999999999999999999", b"\xff\xfe", b"%s"),
    *(b"[" * 3000, b"{" * 3000, b'"a":' * 500, b"\0" * 64, b"\xff" * 64, b"../" * 20, b"\n" * 40),
    *(b"9" * 5000, b"a" * 70_000, "\u202e".encode(), b"PK\x01\x02", b"IHDR", b"iCCP", b"=1+1"),
)


def changed(reader: Reader, rng: np.random.Generator) -> bytes:
    """One of the seeds, changed in a few places; half of those with parts, inside a part."""
    seed = reader.seeds[int(rng.integers(len(reader.seeds)))]
    if rng.integers(2):
        if seed.startswith(b"PK"):
            return _zip_with_changed_member(seed, reader, rng)
        if seed.startswith(_PNG):
            return _png_with_sums(_with_changes(seed, reader, rng))
    return _with_changes(seed, reader, rng)


def _with_changes(seed: bytes, reader: Reader, rng: np.random.Generator) -> bytes:
    data = bytearray(seed)
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        _change(data, reader, rng)
    return bytes(data)


def _change(data: bytearray, reader: Reader, rng: np.random.Generator) -> None:
    """Change one place."""
    at = int(rng.integers(len(data) + 1))
    n = min(int(rng.choice([1, 1, 2, 4, 8, 64, 1000])), 1 + len(data) // 8)
    match int(rng.integers(8)):
        case 0:
            for place in rng.integers(0, max(1, len(data)), n) if data else ():
                data[place] ^= 1 << int(rng.integers(8))
        case 1:
            data[at : at + n] = rng.integers(0, 256, n, dtype=np.uint8).tobytes()
        case 2:
            del data[at : at + n]
        case 3:
            data[at:at] = data[at : at + n] * int(rng.choice([1, 2, 50]))
        case 4:
            del data[at:]
        case 5:
            data[at:at] = _TOKENS[int(rng.integers(len(_TOKENS)))]
        case 6:
            other = reader.seeds[int(rng.integers(len(reader.seeds)))]
            of = int(rng.integers(len(other) + 1))
            data[at : at + n] = other[of : of + n]
        case _:
            value = int(rng.choice([0, 1, 255, 65535, 2**31 - 1, 2**32 - 1]))
            data[at : at + 4] = value.to_bytes(4, "little" if rng.integers(2) else "big")


def _zip_with_changed_member(seed: bytes, reader: Reader, rng: np.random.Generator) -> bytes:
    """The zip with one of its members changed, whose sums are right."""
    with zipfile.ZipFile(BytesIO(seed)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    chosen = list(members)[int(rng.integers(len(members)))]
    members[chosen] = _with_changes(members[chosen], reader, rng)
    return packed(members)


def _png_with_sums(data: bytes) -> bytes:
    """The PNG with the right sum at the end of each chunk, as far as its chunks go."""
    found, at = bytearray(data), len(_PNG)
    while at + 12 <= len(found):
        end = at + 8 + int.from_bytes(found[at : at + 4], "big")
        if end + 4 > len(found):
            break
        found[end : end + 4] = zlib.crc32(found[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(found)


def _work(name: str, seed: int, first: int, n_inputs: int, kept: Path, to: Connection) -> None:
    """Read inputs one after the other; tell the number of each before and what came of it after."""
    with tempfile.TemporaryDirectory() as folder:
        reader = readers(kept)[name]
        base = forgotten_peak_mib()
        for number in range(first, n_inputs):
            data = changed(reader, np.random.default_rng([seed, number]))
            to.send(("begins", number))
            began = time.perf_counter()
            try:
                reader.read(data, Path(folder))
                outcome = "read"
            except VexasEdgeError as error:
                outcome = f"refused: {getattr(error, 'reason', type(error).__name__)}"
            except Exception as error:  # noqa: BLE001 - that is what is looked for
                where = traceback.extract_tb(error.__traceback__)[-1]
                outcome = f"foreign: {type(error).__name__} in {Path(where.filename).name}"
            to.send(("ends", outcome, time.perf_counter() - began, peak_mib() - base))
    to.send(("over",))


def forgotten_peak_mib() -> float:
    """The memory that is in use now, from which the peak begins anew; Linux alone can do that."""
    _CLEAR.write_text("5")
    return peak_mib()


def peak_mib() -> float:
    (line,) = (one for one in _STATUS.read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def outcomes(
    name: str, seed: int, n_inputs: int, kept: Path
) -> Iterator[tuple[int, str, float, float]]:
    """Number, outcome, seconds and peak memory in MiB over the start's of each input."""
    context, first = multiprocessing.get_context("spawn"), 0
    while first < n_inputs:
        ours, theirs = context.Pipe(duplex=False)
        work = context.Process(target=_work, args=(name, seed, first, n_inputs, kept, theirs))
        work.start()
        theirs.close()
        number, waits = first, 300.0  # for the readers to be made
        try:
            while True:
                if not ours.poll(waits):
                    yield number, "hang", waits, 0.0
                    break
                told = ours.recv()
                if told[0] == "over":
                    return
                if told[0] == "begins":
                    number, waits = told[1], LIMIT_SECONDS
                else:
                    yield (number, *told[1:])
        except EOFError:
            yield number, "crash", 0.0, 0.0
        finally:
            work.kill()
            work.join()
        first = number + 1


def line_of(name: str, seed: int, n_inputs: int, kept: Path) -> dict[str, Any]:
    """What came of all inputs of a reader."""
    counts: Counter[str] = Counter()
    bad: dict[str, int] = {}
    slowest, most_mib = (0.0, -1), 0.0
    for number, outcome, seconds, mib in outcomes(name, seed, n_inputs, kept):
        counts[outcome] += 1
        slowest, most_mib = max(slowest, (seconds, number)), max(most_mib, mib)
        if not outcome.startswith(("read", "refused")):
            bad.setdefault(outcome, number)
    return {
        "question": f"inputs of the reader {name!r} that end in anything but a result or a refusal",
        "ratio": sum(n for o, n in counts.items() if not o.startswith(("read", "refused"))),
        "target": "0",
        "reader": name,
        "seed": seed,
        "n_inputs": n_inputs,
        "outcomes": dict(counts.most_common()),
        "first_of": bad,
        "slowest_s": round(slowest[0], 3),
        "slowest_input": slowest[1],
        "most_mib_over_base": round(most_mib, 1),
    }


@click.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Add lines here.")
@click.option("--reader", "names", multiple=True, help="Try this one only; may be repeated.")
@click.option("--inputs", default=12_500, show_default=True, help="Of each reader and seed.")
@click.option("--seed", "seeds", multiple=True, type=int, default=(0, 1), show_default=True)
def main(out: Path, names: Sequence[str], inputs: int, seeds: Sequence[int]) -> None:
    """Try changed inputs on every reader; add a line for each of them and seed."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder)
        for name in names or readers(kept):
            for seed in seeds:
                line = line_of(name, seed, inputs, kept)
                with out.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps({**line, **host_facts()}) + "\n")
                click.echo(json.dumps(line))


if __name__ == "__main__":
    main()
