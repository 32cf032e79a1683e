"""What all command lines share: statuses, one-line errors, consoles of any encoding."""

import io
import json
import sys

import click
import pytest

from vexas_edge.commands.console import ProgressLine, echo_json, run_command_line
from vexas_edge.errors import BundleError, HostError, InputError, UsageError, VexasEdgeError
from vexas_edge.text import one_line


def status_of(monkeypatch: pytest.MonkeyPatch, effect: object, *arguments: str) -> int:
    """The exit status of a command that returns `effect`, or raises it."""

    @click.command()
    def command() -> object:
        if isinstance(effect, BaseException):
            raise effect
        return effect

    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    with pytest.raises(SystemExit) as ended:
        run_command_line(command)
    return int(ended.value.code or 0)


@pytest.mark.parametrize(("result", "status"), [(0, 0), (3, 3), (7, 7), (None, 0), ("text", 0)])
def test_a_command_gives_its_status(
    monkeypatch: pytest.MonkeyPatch, result: object, status: int
) -> None:
    assert status_of(monkeypatch, result) == status


@pytest.mark.parametrize(
    ("kind", "status"), [(UsageError, 2), (HostError, 4), (InputError, 5), (BundleError, 6)]
)
def test_an_expected_error_is_one_line_and_its_status(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: type[VexasEdgeError],
    status: int,
) -> None:
    assert status_of(monkeypatch, kind("found this\n  expected that")) == status
    assert capsys.readouterr() == ("", "error: found this expected that\n")


def test_what_else_went_wrong_on_the_way_out_is_said_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = BundleError("damaged")
    error.add_note("error: cases.csv cannot be replaced")
    assert status_of(monkeypatch, error) == 6
    assert capsys.readouterr().err == "error: damaged\nerror: cases.csv cannot be replaced\n"


def test_an_interruption_is_130_and_keeps_its_notes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interruption = KeyboardInterrupt()
    interruption.add_note("error: run.json cannot be replaced")
    assert status_of(monkeypatch, interruption) == 130
    lines = capsys.readouterr().err.split("\n")
    assert [line for line in lines if line] == ["interrupted", "error: run.json cannot be replaced"]


@pytest.mark.parametrize("bug", [ZeroDivisionError("bug"), EOFError("bug"), ValueError("bug")])
def test_any_other_exception_is_a_bug_and_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, bug: Exception
) -> None:
    with pytest.raises(type(bug), match="bug"):
        status_of(monkeypatch, bug)


def test_an_option_that_is_not_there_is_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(monkeypatch, 0, "--nothing") == 2
    assert "No such option" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n  b\r\nc", "a b c"),
        ("two  blanks stay", "two  blanks stay"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("zoë 患者", "zoë 患者"),
        ("not \udcff unicode", "not \\udcff unicode"),
        ("", ""),
    ],
)
def test_one_line_holds_nothing_that_upsets_a_terminal(text: str, line: str) -> None:
    assert one_line(text) == line


def test_json_lines_are_ascii_and_keep_their_values(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"case": "zoë 患者 😀 \n", "score": 0.1 + 0.2, "n": None, "low": 1e-300}
    echo_json(json.dumps(value, ensure_ascii=False).encode())
    line = capsys.readouterr().out
    assert line.isascii()
    assert line.count("\n") == 1
    assert json.loads(line) == value


def test_a_console_that_cannot_show_a_name_shows_its_escape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(buffer, encoding="cp1252"))
    assert status_of(monkeypatch, HostError("患者 zoë")) == 4
    sys.stderr.flush()
    expected = "error: \\u60a3\\u8005 zoë\n".encode("cp1252")
    assert buffer.getvalue().replace(b"\r\n", b"\n") == expected


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(("watched", "seconds"), [(True, 0.1), (False, 10.0)])
def test_progress_is_said_on_stderr_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    watched: bool,
    seconds: float,
) -> None:
    clock = Clock()
    monkeypatch.setattr("vexas_edge.commands.console.time", clock)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: watched)
    progress = ProgressLine("P\n1")
    progress("neutrophil", 1, 300)
    clock.now = seconds
    progress("neutrophil", 150, 300)
    clock.now *= 1.5
    progress("neutrophil", 200, 300)
    clock.now = 2 * seconds
    progress("neutrophil", 9, 9)
    progress.clear()
    out, err = capsys.readouterr()
    assert out == ""
    if watched:
        assert err == (
            "\rP 1: neutrophil, 150 of 300 cells\rP 1: neutrophil, 9 of 9 cells    "
            "\r                             \r"
        )
    else:
        assert err == "P 1: neutrophil, 150 of 300 cells\nP 1: neutrophil, 9 of 9 cells\n"
