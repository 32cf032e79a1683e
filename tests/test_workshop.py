"""`vexas-workshop` runs the workshop beside the package, from any folder, or says where it is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vexas_edge import workshop
from vexas_edge.errors import HostError

ROOT = Path(__file__).parents[1]
THEIRS = "raise SystemExit('the user\\'s own module ran')\n"


def run(
    *arguments: str, folder: Path, root: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with the package of `root`, from another folder."""
    code = (
        f"import sys; sys.path[0] = {str(root)!r}\nfrom vexas_edge.workshop import run_workshop\n"
    )
    return subprocess.run(
        [sys.executable, "-I", "-c", f"{code}run_workshop()", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.fixture
def occupied(tmp_path: Path) -> Path:
    """A folder with modules of the user's own that have the names of our packages."""
    for name in ("export.py", "calibration.py", "training/__init__.py", "kit/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(THEIRS)
    return tmp_path


def console_script(*arguments: str, folder: Path, **environment: str) -> tuple[int, str, str]:
    """The installed command, as a user types it."""
    command = Path(sys.executable).with_name("vexas-workshop")
    ended = subprocess.run(
        [command, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_the_groups_are_listed_and_each_has_a_help(tmp_path: Path) -> None:
    status, out, _ = console_script("--help", folder=tmp_path)
    assert status == 0
    for group in workshop.GROUPS:
        assert f"\n  {group} " in out
        assert console_script(group, "--help", folder=tmp_path)[0] == 0


def test_it_runs_in_a_folder_with_modules_of_the_same_names(occupied: Path) -> None:
    status, _, err = console_script("export", "init", "-o", "spec.toml", folder=occupied)
    assert (status, err) == (0, "")
    assert (occupied / "spec.toml").read_text().startswith("# ")


@pytest.mark.parametrize("name", ["export", "calibration", "training", "kit"])
def test_pythonpath_that_puts_others_first_is_refused_in_one_line(
    occupied: Path, tmp_path: Path, name: str
) -> None:
    path = str(occupied)
    for other in ("export", "calibration", "training", "kit"):
        if other != name:
            shutil.rmtree(occupied / other, ignore_errors=True)
            (occupied / f"{other}.py").unlink(missing_ok=True)
    status, out, err = console_script("export", "--help", folder=tmp_path, PYTHONPATH=path)
    assert (status, out) == (HostError.exit_status, "")
    assert err.startswith(f"error: PYTHONPATH puts {path}")
    assert f"in the place of the workshop's package {name!r}" in err
    assert err.count("\n") == 1


def test_the_package_alone_says_where_the_workshop_is(tmp_path: Path) -> None:
    alone = tmp_path / "site"
    shutil.copytree(ROOT / "vexas_edge", alone / "vexas_edge")
    for arguments in (["--help"], ["export", "bundle", "spec.toml"]):
        ended = run(*arguments, folder=tmp_path, root=alone)
        assert (ended.returncode, ended.stdout) == (HostError.exit_status, "")
        assert ended.stderr.startswith(
            "error: the workshop (training, export, calibration) is not part of the installed "
        )
        assert ended.stderr.count("\n") == 1


def test_a_package_that_the_workshop_needs_and_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(workshop.GROUPS, "export", "a_library_that_is_not_there")
    with pytest.raises(HostError, match=r"needs the package 'a_library_that_is_not_there'; run"):
        workshop._imported("a_library_that_is_not_there")


def test_a_notebook_gets_our_exporter_beside_a_module_of_the_users_own(occupied: Path) -> None:
    code = (
        f"import sys; sys.path[:0] = ['', {str(ROOT)!r}]\n"
        "from vexas_edge.workshop import write_bundle\n"
        "try: write_bundle({}, to='x.vxb')\n"
        "except ValueError as error: print(type(error).__name__)\n"
        "print(sys.modules['export'].__file__)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=occupied, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["UsageError", str(ROOT / "export" / "__init__.py")]


def test_a_notebook_that_has_imported_its_own_module_is_told(occupied: Path) -> None:
    (occupied / "export.py").write_text("")
    code = (
        f"import sys; sys.path[:0] = ['', {str(ROOT)!r}]\n"
        "import export\n"
        "from vexas_edge.workshop import write_bundle\n"
        "write_bundle({}, to='x.vxb')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=occupied, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "HostError: an earlier import puts " in ended.stderr
