"""The kit: the right wheels for each PC, pinned and hashed, and what installs and scores."""

import hashlib
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from kit import contents as writing
from kit.cli import cli as command
from kit.contents import requirements_from_wheels, scripts_for
from kit.targets import PYTHONS, Target, all_targets
from kit.wheels import fetcher, needed_wheels, versions_from_constraints
from vexas_edge.errors import HostError, UsageError

ROOT = Path(__file__).parents[1]
WINDOWS = Target(system="windows", python="3.12")
LINUX = Target(system="linux", python="3.11")


def write_wheel(folder: Path, name: str, *required: str, tag: str = "py3-none-any") -> Path:
    """A wheel of nothing but metadata."""
    path = folder / f"{name.replace('-', '_')}-1.0-{tag}.whl"
    metadata = f"Name: {name}\nVersion: 1.0\n" + "".join(f"Requires-Dist: {r}\n" for r in required)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name.replace('-', '_')}-1.0.dist-info/METADATA", metadata)
    return path


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[[str, Target], Path]:
    """Fetches from a made-up index."""
    made = {
        "edge": write_wheel(
            tmp_path, "edge", "click>=8", 'fast[more]; extra == "fast"', 'tests; extra == "test"'
        ),
        "click": write_wheel(tmp_path, "click", 'Colorama; platform_system == "Windows"'),
        "colorama": write_wheel(tmp_path, "colorama"),
        "fast": write_wheel(
            tmp_path, "fast", 'old; python_version < "3.12"', 'extra-of-fast; extra == "more"'
        ),
        "old": write_wheel(tmp_path, "old", "edge"),
        "extra-of-fast": write_wheel(tmp_path, "extra-of-fast"),
    }
    return lambda name, _: made[name]


def names(paths: set[Path]) -> set[str]:
    return {path.name.split("-")[0] for path in paths}


def test_markers_are_read_for_the_target_not_for_this_pc(
    fetch: Callable[[str, Target], Path],
) -> None:
    roots = [Requirement("edge[fast]")]
    assert names(needed_wheels(roots, WINDOWS, fetch)) == {
        "edge",
        "click",
        "colorama",
        "fast",
        "extra_of_fast",
    }
    assert names(needed_wheels(roots, LINUX, fetch)) == {
        "edge",
        "click",
        "fast",
        "old",
        "extra_of_fast",
    }


def test_what_only_one_system_needs_is_marked_and_every_wheel_is_hashed(tmp_path: Path) -> None:
    everywhere = [
        write_wheel(tmp_path, "numpy", tag=tag)
        for tag in ("cp311-cp311-win_amd64", "cp311-cp311-manylinux_2_28_x86_64")
    ]
    runtime = write_wheel(tmp_path, "msvc-runtime", tag="cp311-cp311-win_amd64")
    text = requirements_from_wheels(
        {everywhere[0]: {"windows"}, everywhere[1]: {"linux"}, runtime: {"windows"}}
    )
    assert 'msvc-runtime==1.0 ; sys_platform == "win32" \\\n' in text
    assert "numpy==1.0 \\\n" in text
    for wheel in (*everywhere, runtime):
        assert f"--hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}" in text


def test_a_kit_is_for_two_systems_and_three_pythons() -> None:
    assert {(t.system, t.python) for t in all_targets()} == {
        (system, python) for system in ("windows", "linux") for python in ("3.11", "3.12", "3.13")
    }
    assert "--only-binary=:all:" in WINDOWS.pip_options  # so nothing is ever compiled
    assert "win_amd64" in WINDOWS.pip_options


def test_everything_that_a_kit_holds_has_an_exact_version() -> None:
    versions = versions_from_constraints(ROOT / "constraints.txt")
    assert {"onnxruntime", "numpy", "openvino", "msvc-runtime"} <= versions.keys()


def test_a_package_without_an_exact_version_is_refused(tmp_path: Path) -> None:
    ours = write_wheel(tmp_path, "vexas-edge")
    fetch = fetcher({}, ours, tmp_path)
    assert fetch("vexas-edge", LINUX) == ours
    with pytest.raises(UsageError, match=r"needs numpy, but constraints\.txt names no exact"):
        fetch("numpy", LINUX)


def test_a_wheel_that_is_not_to_be_had_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = subprocess.CompletedProcess([], 1, "", "ERROR: one\nERROR: No matching distribution\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    fetch = fetcher({"numpy": "2.4.6"}, write_wheel(tmp_path, "vexas-edge"), tmp_path)
    with pytest.raises(
        HostError, match=r"numpy==2\.4\.6 was found for windows, Python 3\.12: ERROR: No mat"
    ):
        fetch("numpy", WINDOWS)


def test_a_kit_for_one_system_has_its_scripts_alone() -> None:
    assert [file.name for file in scripts_for({"windows"})] == [
        "README.md",
        "install.cmd",
        "score.cmd",
        "watch.cmd",
        "watch.xml",
    ]
    assert [file.name for file in scripts_for({"linux"})] == [
        *("README.md", "install.sh", "score.sh", "watch.service", "watch.sh")
    ]


def test_results_lie_beside_the_smear_whatever_dots_its_name_has() -> None:
    assert '"%~dpnx1-vexas-edge"' in (writing._FILES / "score.cmd").read_text()


def test_nothing_but_an_environment_of_the_kits_own_is_ever_cleared() -> None:
    shell = (writing._FILES / "install.sh").read_text()
    assert [line[-12:] for line in shell.splitlines() if line.startswith("environment=")] == [
        "/environment"
    ]
    assert '--clear "$environment"' in shell
    windows = (writing._FILES / "install.cmd").read_text()
    assert windows.count('\\environment"') == windows.count('set "environment=') == 2
    assert '--clear "%environment%"' in windows


def test_scripts_look_for_the_pythons_that_the_kit_has_wheels_for(tmp_path: Path) -> None:
    for name, line in (("install.sh", 'versions="3.12 3.11"'), ("install.cmd", "=3.12 3.11")):
        writing._copy_text(writing._FILES / name, tmp_path, ["3.11", "3.12", "3.11"])
        assert line in (tmp_path / name).read_text()


def test_scripts_have_the_line_ends_of_their_system_and_parse(tmp_path: Path) -> None:
    for file in writing._FILES.iterdir():
        writing._copy_text(file, tmp_path, PYTHONS)
    for file in tmp_path.glob("*.cmd"):
        content = file.read_bytes()
        assert content.count(b"\n") == content.count(b"\r\n") > 5
    for file in tmp_path.glob("*.sh"):
        assert b"\r" not in file.read_bytes()
        subprocess.run(["sh", "-n", file], check=True)


def test_the_drawn_smear_is_scored_with_the_demos_bundle_or_not_at_all(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kit with a site's bundle held the drawn smear, as if that bundle could judge it."""
    monkeypatch.setattr(writing, "_gather", lambda *_: {})
    writing.write_kit(tiny_bundle, tmp_path / "kit", [WINDOWS, LINUX], lambda _: None)
    files = [path for path in (tmp_path / "kit").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {
        *("install.cmd", "install.sh", "score.cmd", "score.sh", "README.md", "LICENSE.txt"),
        *("watch.cmd", "watch.sh", "watch.xml", "watch.service"),
        *("requirements.txt", "SHA256SUMS", "bundle.vxb"),
    }
    texts = {path.name: path.read_text() for path in files if path.suffix != ".vxb"}
    assert [name for name, text in texts.items() if "smear.zip" in text] == []
    assert "`vexas-edge demo -o FOLDER`" in texts["README.md"]


def test_a_folder_that_is_there_is_not_overwritten(tmp_path: Path, tiny_bundle: Path) -> None:
    with pytest.raises(UsageError, match="already exists"):
        command.main(["--bundle", str(tiny_bundle), "-o", str(tmp_path)], standalone_mode=False)


def test_a_bundle_that_is_a_folder_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    asked = ["--bundle", str(tmp_path / "bundle"), "-o", str(tmp_path / "kit")]
    with pytest.raises(UsageError, match=r"is not a file; a kit needs"):
        command.main(asked, standalone_mode=False)
