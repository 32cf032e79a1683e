"""Finds and downloads the wheels that a target needs, by following each wheel's requirements.

`pip download --platform` evaluates environment markers for the PC that it runs on, so on Linux it
would leave out packages that only Windows needs. Here markers are evaluated for the target.
"""

import email
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from kit.targets import Target
from vexas_edge.errors import HostError, UsageError

Fetch = Callable[[str, Target], Path]


def needed_wheels(roots: Iterable[Requirement], target: Target, fetch: Fetch) -> set[Path]:
    """The wheels of the roots and of everything that they require on the target."""
    found: set[Path] = set()
    waiting = [(canonicalize_name(root.name), frozenset(root.extras)) for root in roots]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        wheel = fetch(name, target)
        found.add(wheel)
        for required in _requirements(wheel):
            if not _applies(required, target, extras):
                continue
            key = (canonicalize_name(required.name), frozenset(required.extras))
            if key not in seen:
                seen.add(key)
                waiting.append(key)
    return found


def _requirements(wheel: Path) -> list[Requirement]:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        message = email.message_from_bytes(archive.read(metadata))
    return [Requirement(text) for text in message.get_all("Requires-Dist", [])]


def _applies(required: Requirement, target: Target, extras: Iterable[str]) -> bool:
    if required.marker is None:
        return True
    environments = [{**target.environment, "extra": extra} for extra in ("", *extras)]
    return any(required.marker.evaluate(environment) for environment in environments)


def versions_from_constraints(path: Path) -> dict[str, str]:
    """Exact versions by canonical name, from lines such as "numpy==2.4.6"."""
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    pairs = [line.split("==") for line in lines if line]
    return {canonicalize_name(name): version for name, version in pairs}


def fetcher(versions: Mapping[str, str], ours: Path, folder: Path) -> Fetch:
    """A function that downloads a package's wheel into the folder, once, and returns it.

    Args:
        versions: the exact version of each package.
        ours: the wheel of vexas-edge itself, already in the folder.
    """
    fetched: dict[tuple[str, Target], Path] = {}

    def fetch(name: str, target: Target) -> Path:
        if name == canonicalize_name(parse_wheel_filename(ours.name)[0]):
            return ours
        if (name, target) not in fetched:
            fetched[name, target] = _download(name, versions, target, folder)
        return fetched[name, target]

    return fetch


def _download(name: str, versions: Mapping[str, str], target: Target, folder: Path) -> Path:
    if name not in versions:
        raise UsageError(
            f"the kit needs {name}, but constraints.txt names no exact version of it; add one"
        )
    wanted = f"{name}=={versions[name]}"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", scratch, wanted]
        ended = subprocess.run(
            [*command, *target.pip_options], capture_output=True, text=True, check=False
        )
        if ended.returncode:
            reason = " ".join(ended.stderr.strip().splitlines()[-1:])
            raise HostError(
                f"no wheel of {wanted} was found for {target.system}, Python {target.python}: "
                f"{reason}"
            )
        (wheel,) = Path(scratch).iterdir()
        return wheel.replace(folder / wheel.name)
