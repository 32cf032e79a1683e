"""Writes the kit's folder: wheels with hashes, scripts, the bundle and the README."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from kit.targets import PYTHONS, Target
from kit.wheels import fetcher, needed_wheels, versions_from_constraints
from vexas_edge import open_bundle
from vexas_edge.errors import HostError, UsageError

# The engines of every kit, by the names of our extras.
ENGINES = ("openvino",)
# onnxruntime's DLLs need Microsoft's runtime, which a bare PC does not have.
ROOTS_ON_WINDOWS = ("msvc-runtime",)

_REPOSITORY = Path(__file__).parents[1]
_FILES = Path(__file__).with_name("files")


def write_kit(
    bundle: Path,
    to: Path,
    targets: Sequence[Target],
    report: Callable[[str], None],
    engines: Sequence[str] = (),
) -> None:
    """Write the whole kit into a new folder.

    Args:
        report: called with a line of text per target.
        engines: those of `EXTRA_ENGINES` that it holds, too.

    Raises:
        UsageError: the folder exists already, its parent does not, or the bundle is not a file.
        BundleError: a file of the bundle does not match its hash.
        HostError: a wheel cannot be built or downloaded.
    """
    if to.exists():
        raise UsageError(f"{to} already exists; name a new folder, or remove it")
    if not to.absolute().parent.is_dir():
        raise UsageError(f"{to.absolute().parent} does not exist; create it first")
    if not bundle.is_file():
        raise UsageError(f"{bundle} is not a file; a kit needs a bundle as a .vxb file")
    open_bundle(bundle).check_all_files()
    with tempfile.TemporaryDirectory(dir=to.absolute().parent, prefix=".kit-") as scratch:
        kit = Path(scratch) / "kit"
        (kit / "wheels").mkdir(parents=True)
        wheels = _gather(kit / "wheels", targets, report, engines)
        (kit / "requirements.txt").write_text(requirements_from_wheels(wheels))
        for file in scripts_for({target.system for target in targets}):
            _copy_text(file, kit, [target.python for target in targets])
        shutil.copyfile(bundle, kit / "bundle.vxb")
        shutil.copyfile(_REPOSITORY / "LICENSE", kit / "LICENSE.txt")
        (kit / "SHA256SUMS").write_text(_hashes(kit))
        kit.replace(to)


def _gather(
    folder: Path,
    targets: Sequence[Target],
    report: Callable[[str], None],
    engines: Sequence[str],
) -> dict[Path, set[str]]:
    """Put all wheels into the folder; returns the systems that need each."""
    ours = _build_wheel(folder)
    fetch = fetcher(versions_from_constraints(_REPOSITORY / "constraints.txt"), ours, folder)
    found: dict[Path, set[str]] = {}
    for target in targets:
        report(f"wheels for {target.system}, Python {target.python}")
        extras = ",".join((*ENGINES, *engines))
        roots = [f"vexas-edge[{extras}]", *(ROOTS_ON_WINDOWS if target.system == "windows" else ())]
        for wheel in needed_wheels(map(Requirement, roots), target, fetch):
            found.setdefault(wheel, set()).add(target.system)
    return found


def _build_wheel(folder: Path) -> Path:
    """Build the wheel of vexas-edge into the folder, from a copy: building leaves files behind."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        source = Path(scratch)
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(_REPOSITORY / "vexas_edge", source / "vexas_edge", ignore=unwanted)
        for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
            shutil.copyfile(_REPOSITORY / name, source / name)
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-cache-dir"]
        command += ["-w", str(folder), str(source)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise HostError(f"the wheel of vexas-edge cannot be built: {ended.stderr.strip()}")
    (ours,) = folder.iterdir()
    return ours


def requirements_from_wheels(wheels: dict[Path, set[str]]) -> str:
    """Lines for `pip install --require-hashes`: each package, its exact version, all its hashes.

    Args:
        wheels: the systems that need each wheel.
    """
    lines: dict[str, set[str]] = {}
    systems: dict[str, set[str]] = {}
    for wheel, needed_by in wheels.items():
        name, version, _, _ = parse_wheel_filename(wheel.name)
        pinned = f"{canonicalize_name(name)}=={version}"
        lines.setdefault(pinned, set()).add(_sha256(wheel))
        systems.setdefault(pinned, set()).update(needed_by)
    text = "# Made by `make kit`; nothing else is installed.\n"
    for pinned in sorted(lines):
        only = {"windows": "win32", "linux": "linux"}.get("".join(systems[pinned]), "")
        marker = f' ; sys_platform == "{only}"' if only else ""
        text += pinned + marker
        text += "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(lines[pinned]))
        text += "\n"
    return text


def scripts_for(systems: Iterable[str]) -> list[Path]:
    """The scripts that install and score on these systems, and the README that explains them."""
    suffixes = {"windows": (".cmd", ".xml"), "linux": (".sh", ".service")}
    wanted = {".md", *(suffix for system in systems for suffix in suffixes[system])}
    return [file for file in sorted(_FILES.iterdir()) if file.suffix in wanted]


def _copy_text(file: Path, kit: Path, pythons: Iterable[str]) -> None:
    text = file.read_text(encoding="ascii")
    newest_first = sorted(set(pythons), key=PYTHONS.index, reverse=True)
    text = text.replace(" ".join(reversed(PYTHONS)), " ".join(newest_first))
    ending = "\r\n" if file.suffix in (".cmd", ".xml") else "\n"
    (kit / file.name).write_text(text, encoding="ascii", newline=ending)
    (kit / file.name).chmod(0o755)


def _hashes(kit: Path) -> str:
    files = sorted(path for path in kit.rglob("*") if path.is_file())
    return "".join(f"{_sha256(path)}  {path.relative_to(kit).as_posix()}\n" for path in files)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
