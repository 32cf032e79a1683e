"""What the tests share."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny import (
    Ended,
    TinyModel,
    export_tiny,
    tiny_model,
    write_case,
)

from vexas_edge.commands.cli import main
from vexas_edge.commands.smears import net, watch
from vexas_edge.host.cache import FOLDER_VARIABLE
from vexas_edge.workshop import run_workshop


def pytest_configure() -> None:
    """Let the commands under test be interrupted, even if a background shell started us deaf."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of each test's own: nothing that another has prepared decides what it runs."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def no_net(monkeypatch: pytest.MonkeyPatch) -> None:
    """No net under smears: a bug that it would catch ends the test."""
    monkeypatch.setattr(net, "ESCAPED", ())


@pytest.fixture(autouse=True)
def own_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watching in this process does not slow down all tests after it."""
    monkeypatch.setattr(watch, "lower_priority", lambda: None)


@pytest.fixture(scope="session", autouse=True)
def tests_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The same for what several tests share: nothing that was prepared on this PC decides it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data beside the checkout; skips where they are absent, as in a public checkout."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data are not at ../shared/data")
    return folder


@pytest.fixture(scope="session")
def tiny_models() -> dict[str, TinyModel]:
    """Three seeded models by name."""
    return {
        name: tiny_model(seed)
        for seed, name in enumerate(("neutrophil", "monocyte", "lymphocyte"), start=1)
    }


@pytest.fixture(scope="session")
def tiny_bundle(
    tiny_models: dict[str, TinyModel], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A bundle of `tiny_models`, as `export_tiny` makes it."""
    classifiers = {name: model.classifier for name, model in tiny_models.items()}
    return export_tiny(tiny_models, classifiers, tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smear of 12 neutrophils, 9 monocytes and 3 lymphocytes: too few of these. Do not change."""
    folder = tmp_path_factory.mktemp("cases") / "P1"
    return write_case(folder, neutrophil=12, monocyte=9, lymphocyte=3)


@pytest.fixture
def vexas_edge(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Runs `vexas-edge` with the given arguments, in this process, through its entry point."""
    return _runner("vexas-edge", main, monkeypatch, capsys)


@pytest.fixture
def vexas_workshop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """The same for `vexas-workshop`."""
    return _runner("vexas-workshop", run_workshop, monkeypatch, capsys)


def _runner(
    name: str,
    command: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Ended]:
    monkeypatch.delenv("VEXAS_EDGE_BUNDLE", raising=False)

    def run(*arguments: str | os.PathLike[str]) -> Ended:
        monkeypatch.setattr(sys, "argv", [name, *(os.fspath(argument) for argument in arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            command()
        captured = capsys.readouterr()
        status = ended.value.code or 0
        assert isinstance(status, int)
        return Ended(status=status, out=captured.out, err=captured.err)

    return run


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Networks so small are slower on several threads of torch."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
