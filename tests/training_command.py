"""Runs `vexas-workshop train` in the test's own process."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import Ended

from training.commands.cli import cli
from vexas_edge.commands.console import run_command_line

Training = Callable[..., Ended]


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Training:
    """`training(*arguments)` gives status, stdout and stderr."""

    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["training", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_command_line(cli)
        captured = capsys.readouterr()
        status = ended.value.code or 0
        assert isinstance(status, int)
        return Ended(status=status, out=captured.out, err=captured.err)

    return run
