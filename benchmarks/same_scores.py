"""Does this tree give the same scores, encodings and bundles as the one before, bit for bit?

    python benchmarks/same_scores.py COMMIT

Both trees run on this PC, each in a process of its own, on the same inputs (`compared_cases.py`):
the demo's smear, real patients where DATA has any, and drawn cells with heads of four classes; with
bundles that each tree ships or exports itself; in calls of different sizes. Every file of a bundle
but its manifest and card, every encoding and every field of every score must be equal. What differs
is named and ends the command with status 1.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from compared_cases import DEMO, Plan, whole_plan
from numpy.typing import NDArray
from tree_probe import RESULTS, Job, Scored

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
DEMO_BUNDLE = "vexas_edge/demo/demo.vxb"
# What a bundle says about itself in words that may change; all else in it makes the scores.
WORDS = ("manifest.json", "card.md")
# Fields that differ, in one line.
MOST_TOLD = 5


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One thing that both trees made. difference: how it differs, or empty. skipped: why, or empty.

    what: what was compared, for people.
    """

    what: str
    difference: str = ""
    skipped: str = ""

    def __str__(self) -> str:
        """One line."""
        if self.difference:
            return f"DIFFERS  {self.what}: {self.difference}"
        return f"skipped  {self.what}: {self.skipped}" if self.skipped else f"same     {self.what}"


@dataclass(frozen=True, kw_only=True)
class Made:
    """What one tree made. bundles: path by name. out: the folder of its encodings and results."""

    bundles: Mapping[str, Path]
    out: Path

    def scored(self) -> list[Scored]:
        """One result for each scoring of the plan."""
        return msgspec.json.decode((self.out / RESULTS).read_bytes(), type=list[Scored])

    def encodings(self, index: int) -> dict[str, NDArray[Any]]:
        """The encodings of one scoring, by model."""
        return arrays_from_npz((self.out / f"{index}.npz").read_bytes())


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("before")
@click.option("--data", type=click.Path(path_type=Path), default=DATA, help="Real patients' cells.")
def cli(before: str, data: Path) -> None:
    """Compare this tree with the commit BEFORE; one line a comparison, status 1 at a difference."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder).resolve()
        plan = whole_plan(ROOT, data, scratch)
        with work_tree(before, scratch / "tree") as tree:
            old = run_tree(tree, plan, scratch / "before")
            new = run_tree(ROOT, plan, scratch / "now")
            found = list(comparisons(plan, old, new))
    for comparison in found:
        click.echo(comparison)
    n_differ = sum(bool(comparison.difference) for comparison in found)
    n_same = sum(not (c.difference or c.skipped) for c in found)
    click.echo(f"{n_same} comparisons with {before} are the same byte for byte, {n_differ} differ")
    if n_differ or not n_same:
        raise SystemExit(1)


@contextmanager
def work_tree(commit: str, folder: Path) -> Iterator[Path]:
    """The commit checked out in a folder of its own, for as long as it is needed."""
    _git("worktree", "add", "--detach", str(folder), commit)
    try:
        yield folder
    finally:
        _git("worktree", "remove", "--force", str(folder))


def run_tree(tree: Path, plan: Plan, out: Path) -> Made:
    """The plan done by one tree, in a process that finds no other.

    Raises:
        ClickException: it failed.
    """
    cache = out / "cache"
    cache.mkdir(parents=True)
    bundles = {DEMO: tree / DEMO_BUNDLE, **{name: out / f"{name}.vxb" for name in plan.specs}}
    job = Job(
        tree=str(tree),
        out=str(out),
        specs={str(bundles[name]): spec for name, spec in plan.specs.items()},
        scorings=[replace(s, bundle=str(bundles[s.bundle])) for s in plan.scorings],
    )
    (out / "job.json").write_bytes(msgspec.json.encode(job))
    probe = Path(__file__).with_name("tree_probe.py")
    command = [sys.executable, "-P", str(probe), str(out / "job.json")]
    alone = {**os.environ, "PYTHONPATH": str(tree), "VEXAS_EDGE_CACHE": str(cache)}
    done = subprocess.run(command, cwd=out, env=alone, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"the tree at {tree} failed:\n{done.stderr}")
    return Made(bundles=bundles, out=out)


def comparisons(plan: Plan, before: Made, now: Made) -> Iterator[Comparison]:
    """Everything that the two trees made, and what was left out."""
    for line in plan.left_out:
        what, _, reason = line.partition(": ")
        yield Comparison(what=what, skipped=reason)
    for name, path in before.bundles.items():
        yield from bundle_comparisons(name, path, now.bundles[name])
    pairs = zip(plan.scorings, before.scored(), now.scored(), strict=True)
    for index, (scoring, old, new) in enumerate(pairs):
        if old.skipped and new.skipped:
            yield Comparison(what=scoring.name, skipped=new.skipped)
            continue
        arrays = before.encodings(index), now.encodings(index)
        yield from array_comparisons(f"{scoring.name}, encodings of", *arrays)
        what = f"{scoring.name}, {score_words(new)}"
        yield Comparison(what=what, difference=value_difference(old, new))


def bundle_comparisons(name: str, before: Path, now: Path) -> Iterator[Comparison]:
    """Every file of two bundles but manifest and card: graphs by bytes, self-tests by arrays."""
    old, new = _files(before), _files(now)
    for file in sorted(old.keys() | new.keys()):
        what = f"{name}, {file}"
        if file not in old or file not in new:
            missing = "only before" if file in old else "only now"
            yield Comparison(what=what, difference=f"it is there {missing}")
        elif file.endswith(".npz"):
            arrays = arrays_from_npz(old[file]), arrays_from_npz(new[file])
            yield from array_comparisons(f"{what},", *arrays)
        else:
            difference = "" if old[file] == new[file] else "other bytes"
            yield Comparison(what=f"{what}, {len(new[file])} bytes", difference=difference)


def array_comparisons(
    what: str, before: Mapping[str, NDArray[Any]], now: Mapping[str, NDArray[Any]]
) -> Iterator[Comparison]:
    """Arrays of the same names, dtypes, shapes and bytes."""
    for name in sorted(before.keys() | now.keys()):
        if name not in before or name not in now:
            missing = "only before" if name in before else "only now"
            yield Comparison(what=f"{what} {name}", difference=f"it is there {missing}")
            continue
        shape = " x ".join(map(str, now[name].shape))
        difference = array_difference(before[name], now[name])
        yield Comparison(what=f"{what} {name}, {shape}", difference=difference)


def array_difference(before: NDArray[Any], now: NDArray[Any]) -> str:
    """How two arrays differ; empty where they are equal to the last bit."""
    if (before.dtype, before.shape) != (now.dtype, now.shape):
        return f"{before.dtype} {before.shape} became {now.dtype} {now.shape}"
    if before.tobytes() == now.tobytes():
        return ""
    width = before.dtype.itemsize
    bytes_of = (np.frombuffer(a.tobytes(), np.uint8).reshape(-1, width) for a in (before, now))
    n_other = int(np.not_equal(*bytes_of).any(axis=1).sum())
    most = np.abs(before.astype(np.float64) - now.astype(np.float64)).max()
    return f"{n_other} of {now.size} values, by at most {most:.3g}"


def value_difference(before: Scored, now: Scored) -> str:
    """The fields of two results that differ, the first few with both values; empty for none."""
    old, new = (dict(leaves(msgspec.to_builtins(scored))) for scored in (before, now))
    names = [n for n in {**old, **new} if n not in old or n not in new or old[n] != new[n]]
    told = [
        f"{name} was {old.get(name, 'absent')}, is {new.get(name, 'absent')}"
        for name in names[:MOST_TOLD]
    ]
    if len(names) > MOST_TOLD:
        told.append(f"{len(names) - MOST_TOLD} more fields")
    return "; ".join(told)


def score_words(scored: Scored) -> str:
    """How many fields a result has, and each model's score to a few digits, for people."""
    n_fields = sum(1 for _ in leaves(msgspec.to_builtins(scored)))
    scores = (model["score"] for model in scored.models.values())
    said = ", ".join(f"{float.fromhex(score):.6f}" if score else "none" for score in scores)
    return f"{n_fields} fields, scores {said}"


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every value inside lists and dicts, an empty one too, by its path."""
    if value and isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from leaves(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def arrays_from_npz(content: bytes) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz file by name."""
    with np.load(BytesIO(content), allow_pickle=False) as file:
        return dict(file)


def _files(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name not in WORDS}


def _git(*arguments: str) -> None:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"git {arguments[0]} failed: {done.stderr.strip()}")


if __name__ == "__main__":
    cli()
