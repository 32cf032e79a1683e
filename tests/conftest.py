"""What the tests share."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny import (
    CANVAS_PX,
    PREPROCESSING,
    Ended,
    TinyModel,
    onnx_from_kernels,
    tiny_model,
    write_case,
)

from export import write_bundle
from vexas_edge.commands.cli import main
from vexas_edge.host.cache import FOLDER_VARIABLE


def pytest_configure() -> None:
    """Let the commands under test be interrupted, even if a background shell started us deaf."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of each test's own: nothing that another has prepared decides what it runs."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path_factory.mktemp("cache")))


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
    """A bundle of `tiny_models` from the real exporter: canvas 16 px, 200 draws, 5 cells a model.

    The neutrophil model rejects larger cells, the monocyte model crops them.
    """
    folder = tmp_path_factory.mktemp("tiny")
    cells = write_case(folder / "parity", neutrophil=40)
    for name, model in tiny_models.items():
        (folder / f"{name}.onnx").write_bytes(onnx_from_kernels(model.kernels).SerializeToString())
    spec = {
        "name": "tiny",
        "version": "1.0.0",
        "positive": "VEXAS",
        "models": {
            name: {
                "cells": ["neutrophil_segmented", name] if name == "neutrophil" else [name],
                "encoder": str(folder / f"{name}.onnx"),
                "preprocessing": {"mean": PREPROCESSING.mean, "scale": PREPROCESSING.scale},
                "encoding": "l2",
                "parity_cells": str(cells),
                "canvas_px": CANVAS_PX,
                "larger": "crop" if name == "monocyte" else "reject",
                "score_draws": 200,
                "minimum_cells": 5,
            }
            for name in tiny_models
        },
    }
    classifiers = {name: model.classifier for name, model in tiny_models.items()}
    write_bundle(spec, classifier=classifiers, to=folder / "tiny.vxb")
    return folder / "tiny.vxb"


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
    monkeypatch.delenv("VEXAS_EDGE_BUNDLE", raising=False)

    def run(*arguments: str | os.PathLike[str]) -> Ended:
        monkeypatch.setattr(
            sys, "argv", ["vexas-edge", *(os.fspath(argument) for argument in arguments)]
        )
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        status = ended.value.code or 0
        assert isinstance(status, int)
        return Ended(status=status, out=captured.out, err=captured.err)

    return run
