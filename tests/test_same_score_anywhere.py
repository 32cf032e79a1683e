"""One smear has one score, wherever and by whomever it is scored: nothing optional changes it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny import kept, write_case

from vexas_edge.host.cache import FOLDER_VARIABLE

# A user without a name, and without root's right to write everywhere.
NAMELESS = ("unshare", "--user", "--map-user=54321", "--map-group=54321")
HOMES = ("HOME", "USERPROFILE", "LOCALAPPDATA", "APPDATA", "XDG_CACHE_HOME", FOLDER_VARIABLE)


def scored(
    bundle: Path,
    case: Path,
    out: Path,
    environment: Mapping[str, str],
    *more: str,
    before: Sequence[str] = (),
) -> Any:
    """What a process of its own finds of each model, all but the times."""
    command = [*before, sys.executable, "-m", "vexas_edge", "score", str(case)]
    command += ["--bundle", str(bundle), "-o", str(out), *more]
    ended = subprocess.run(command, env=dict(environment), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return kept(out, "*")["models"]  # where only ASCII is known, the case is called otherwise


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_case(tmp_path_factory.mktemp("smears") / "Bär", neutrophil=12, monocyte=9)


@pytest.fixture(scope="module")
def expected(tiny_bundle: Path, case: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return scored(tiny_bundle, case, tmp_path_factory.mktemp("expected") / "out", os.environ)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


def nameless() -> Sequence[str]:
    if not shutil.which(NAMELESS[0]) or subprocess.run([*NAMELESS, "true"]).returncode:
        pytest.skip("this system lets nobody be a user without a name")
    return NAMELESS


def test_for_a_user_without_a_name_and_a_home(
    expected: Any, tiny_bundle: Path, case: Path, tmp_path: Path
) -> None:
    bare = {name: value for name, value in os.environ.items() if name not in HOMES}
    found = scored(tiny_bundle, case, tmp_path / "out", bare, before=nameless())
    assert found == expected


def test_with_a_cache_that_cannot_be_written(
    expected: Any, tiny_bundle: Path, case: Path, tmp_path: Path, cache: Path
) -> None:
    environment = {**os.environ, FOLDER_VARIABLE: str(cache)}
    prepared = subprocess.run(
        [sys.executable, "-m", "vexas_edge", "prepare", "--bundle", str(tiny_bundle)],
        env=environment,
        capture_output=True,
    )
    assert prepared.returncode == 0
    before = sorted(cache.iterdir())
    assert before
    cache.chmod(0o500)
    found = scored(
        tiny_bundle,
        case,
        tmp_path / "out",
        environment,
        *("--engine", "onnxruntime", "--precision", "fp32"),
        before=nameless(),
    )
    assert found == expected
    assert sorted(cache.iterdir()) == before


def test_with_a_cache_of_rubbish(
    expected: Any, tiny_bundle: Path, case: Path, tmp_path: Path, cache: Path
) -> None:
    environment = {**os.environ, FOLDER_VARIABLE: str(cache)}
    scored(tiny_bundle, case, tmp_path / "first", environment)
    for number, entry in enumerate([*cache.iterdir(), cache / "x.entry"]):
        entry.write_bytes(bytes(range(256)) * (number + 1))
    assert scored(tiny_bundle, case, tmp_path / "out", environment) == expected


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"},
    ],
)
def test_in_a_locale_that_knows_ascii_alone(
    expected: Any, tiny_bundle: Path, case: Path, tmp_path: Path, locale: Mapping[str, str]
) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}
    assert scored(tiny_bundle, case, tmp_path / "out", {**plain, **locale}) == expected


@pytest.mark.parametrize("threads", ["1", "2", "5"])
def test_with_any_number_of_threads(
    expected: Any, tiny_bundle: Path, case: Path, tmp_path: Path, threads: str
) -> None:
    found = scored(tiny_bundle, case, tmp_path / "out", os.environ, "--threads", threads)
    assert found == expected
