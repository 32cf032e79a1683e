"""Does anything leave the PC? Watches every command, in a network namespace that is empty.

    python tests/offline.py --wheels FOLDER

Each command of `vexas-edge` and of `vexas-workshop` runs under strace, with an empty home, its own
folder for temporary files and no `CI` in its environment, in which libraries keep quiet. So does a
process that scores and then lives on, since some libraries wait before they call. What fails: a
connection, the look-up of a name, and a file outside the folders for output and cache, or one that
is left in the folder for temporary files.

At the end, the same is done with `switch_off` taken out: it must be seen, or this is blind.

FOLDER has the wheels that a kit for this very Python holds, and that of setuptools; it may be named
several times. Linux alone has strace.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
from offline_plan import CHAINS, CONTROLS, LIVING, Step, write_inputs
from syscalls import Deed, deeds_of, strace_command

from vexas_edge.errors import HostError

LACKING = HostError.exit_status  # where this PC has not what a step needs

ROOT = Path(__file__).parents[1]
PROGRAMS = {"vexas-edge": "vexas_edge", "vexas-workshop": "vexas_edge.workshop"}
# Where nothing is kept; and memory that processes share, which has the form of files.
NOWHERE, SHARED = ("/dev/null", "/dev/tty", "/dev/pts/", "/proc/self/"), "/dev/shm/"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the commands run. work: the current folder, which takes all output.

    namespace: the command that runs another without network.
    """

    scratch: Path
    namespace: tuple[str, ...]
    wheels: tuple[Path, ...]

    @property
    def work(self) -> Path:
        return self.scratch / "work"

    @property
    def cache(self) -> Path:
        return self.scratch / "cache"


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What a command did.

    made: the number of files and folders in the folders for output and cache, those included that
        it moved or removed in the end.
    outside: what it made elsewhere, or left in its home or in the folder for temporary files.
    """

    name: str
    seconds: float
    made: int
    outside: list[str]
    connections: list[Deed]
    lookups: list[Deed]
    problem: str = ""
    remark: str = ""

    @property
    def is_silent(self) -> bool:
        return not (self.outside or self.connections or self.lookups or self.problem)

    def lines(self) -> Iterator[str]:
        yield f"{self.name}: {self.made} files and folders, {_figures(self)} ({self.seconds:.0f} s)"
        if self.remark:
            yield f"    {self.remark}"
        if self.problem:
            yield f"    {self.problem}"
        yield from (f"    made {path}" for path in self.outside)
        yield from (f"    {d.call}: {d.what}" for d in (*self.connections, *self.lookups))


def watch(step: Step, place: Place) -> Watched:
    """Run the step's command as its user would, but watched and without network."""
    scratch = Path(tempfile.mkdtemp(dir=place.scratch, prefix="step-"))
    home, temporary, traces = (scratch / name for name in ("home", "tmp", "traces"))
    for folder in (home, temporary, traces):
        folder.mkdir()
    program, *words = step.command
    python = [sys.executable, *(["-m", PROGRAMS[program]] if program in PROGRAMS else [program])]
    command = [*place.namespace, *strace_command(traces / "trace", [*python, *words])]
    started = time.monotonic()
    ended = subprocess.run(
        command,
        cwd=place.work,
        env=_environment(home, temporary, place) | dict(step.environment),
        capture_output=True,
        text=True,
    )
    seconds = time.monotonic() - started
    deeds = list(dict.fromkeys(deeds_of(traces / "trace", place.work)))
    paths = list(dict.fromkeys(deed.what for deed in deeds if deed.kind == "write"))
    meant = [path for path in paths if _is_below(path, place.work, place.cache)]
    outside = [path for path in paths if path not in meant and not _is_passing(path, temporary)]
    left = [str(path) for folder in (home, temporary) for path in folder.rglob("*")]
    last = (ended.stderr.strip().splitlines() or [""])[-1]
    ended_as_told = ended.returncode == step.status
    return Watched(
        name=step.name,
        seconds=seconds,
        made=len(meant),
        outside=list(dict.fromkeys((*outside, *left))),
        connections=[deed for deed in deeds if deed.kind == "connection"],
        lookups=[deed for deed in deeds if deed.kind == "lookup"],
        problem="" if ended_as_told else f"ended with status {ended.returncode}: {last}",
        remark=f"not on this PC: {last}" if ended_as_told and step.status == LACKING else "",
    )


def _environment(home: Path, temporary: Path, place: Place) -> dict[str, str]:
    """A user's, with nothing that would silence a library. pip finds its wheels, and no index."""
    folders = {"HOME": home, "TMPDIR": temporary, "VEXAS_EDGE_CACHE": place.cache}
    return {
        **{name: str(folder) for name, folder in folders.items()},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",  # else Python keeps compiled code beside its sources
        "LANG": "C.UTF-8",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": " ".join(map(str, place.wheels)),
    }


def _is_below(path: str, *folders: Path) -> bool:
    return any(Path(path).is_relative_to(folder) for folder in folders)


def _is_passing(path: str, temporary: Path) -> bool:
    """Whether it is nothing, or gone again."""
    if path.startswith(SHARED):
        return not Path(path).exists()
    return path.startswith(NOWHERE) or _is_below(path, temporary)


def namespace() -> tuple[str, ...]:
    """The command that runs another without network, where it can be watched.

    Raises:
        ClickException: this PC has none, or cannot watch.
    """
    if not shutil.which("strace") or not shutil.which("unshare"):
        raise click.ClickException("strace and unshare are needed; install strace and util-linux")
    reasons = []
    with tempfile.TemporaryDirectory() as scratch:
        for candidate in (("unshare", "-n"), ("unshare", "-rn")):
            command = [*candidate, *strace_command(Path(scratch) / "trace", ["true"])]
            ended = subprocess.run(command, capture_output=True, text=True)
            if ended.returncode == 0:
                return candidate
            reasons.append(ended.stderr.strip())
    raise click.ClickException(f"no process can be watched without network: {'; '.join(reasons)}")


def run_chain(steps: Sequence[Step], place: Place) -> list[Watched]:
    """Watch one step after the other; each may need what those before it made."""
    found = []
    for step in steps:
        found.append(watch(step, place))
        click.echo("\n".join(found[-1].lines()))
    return found


def verdict(watched: Sequence[Watched], controls: Sequence[Watched]) -> list[str]:
    """What is wrong, in a line each."""
    loud = [f"{one.name} is not silent" for one in watched if not one.is_silent]
    unseen = [
        f"blind: {one.name} was not seen to write and to look up a name"
        for one in controls
        if not (one.outside and one.lookups)
    ]
    return [*loud, *unseen]


def summary(watched: Sequence[Watched], controls: Sequence[Watched]) -> Iterator[str]:
    """The figures that the README has."""
    n_commands = len({step.name for chain in CHAINS for step in chain})
    yield (
        f"{n_commands} commands, in {len(watched) - 1} runs, and {LIVING.name}: "
        f"{sum(one.made for one in watched)} files and folders for output and cache, "
        f"{_figures(*watched)}"
    )
    for control in controls:
        yield f"with the switch out, {control.name}: {_figures(control)}"


def _figures(*watched: Watched) -> str:
    n_outside = sum(len(one.outside) for one in watched)
    n_connections = sum(len(one.connections) for one in watched)
    n_lookups = sum(len(one.lookups) for one in watched)
    return (
        f"{n_outside} elsewhere, {n_connections} connections, {n_lookups} calls to look up a name"
    )


@click.command()
@click.option(
    "--wheels",
    type=click.Path(path_type=Path, exists=True, resolve_path=True),
    multiple=True,
    required=True,
    help="A folder of wheels: those of a kit, and setuptools.",
)
def main(wheels: tuple[Path, ...]) -> None:
    """Fail if a command leaves something outside its folders, or asks for something outside."""
    with tempfile.TemporaryDirectory(prefix="offline-", ignore_cleanup_errors=True) as scratch:
        place = Place(scratch=Path(scratch).resolve(), namespace=namespace(), wheels=wheels)
        place.cache.mkdir()
        write_inputs(place.work)
        tasks = [*CHAINS, *((step,) for step in (LIVING, *CONTROLS))]
        with ThreadPoolExecutor(len(tasks)) as pool:
            found = list(pool.map(lambda steps: run_chain(steps, place), tasks))
    watched = [one for chain in found[: len(CHAINS) + 1] for one in chain]
    controls = [one for chain in found[len(CHAINS) + 1 :] for one in chain]
    click.echo("\n".join(summary(watched, controls)))
    wrong = verdict(watched, controls)
    if wrong:
        raise click.ClickException("; ".join(wrong))


if __name__ == "__main__":
    main()
