"""Nothing that a bundle, a file's name or a message holds tells the terminal to do something."""

import ast
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tiny import Ended, bundle_content, write_case

from export.bundle_file import write_zip
from vexas_edge.commands.console import ProgressLine
from vexas_edge.text import one_line

Command = Callable[..., Ended]

ROOT = Path(__file__).parents[1]
# An escape sequence, a bell, a C1 control, each way to turn text around, and what is not seen.
HOSTILE = "\x1b[31m\x07\x9b2J\u202e\u2066\u200f\u200b\ufeff\u2028\r"


def is_harmless(text: str) -> bool:
    return all(c == "\n" or c.isprintable() for c in text)


@pytest.fixture(scope="module")
def hostile_bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that says something to the terminal with every text of its own."""
    manifest, contents = bundle_content(tiny_bundle)
    models = {
        name: msgspec.structs.replace(
            model,
            instances=msgspec.structs.replace(
                model.images,
                preprocessing=msgspec.structs.replace(model.images.preprocessing, name=HOSTILE),
            ),
            files={
                file: msgspec.structs.replace(entry, measured={HOSTILE: HOSTILE})
                for file, entry in model.files.items()
            },
        )
        for name, model in manifest.models.items()
    }
    path = tmp_path_factory.mktemp("hostile") / "site.vxb"
    own = {"version": f"1{HOSTILE}", "created": HOSTILE, "intended_use": f"none{HOSTILE}\nforged"}
    write_zip(msgspec.structs.replace(manifest, models=models, **own), contents, path)
    return path


def test_no_text_of_a_bundle_reaches_the_terminal_as_it_is(
    vexas_edge: Command, hostile_bundle: Path, tmp_path: Path
) -> None:
    smear = write_case(tmp_path / f"P1{HOSTILE}", neutrophil=12, monocyte=9)
    for words in (
        ("inspect", hostile_bundle),
        ("verify", hostile_bundle),
        ("score", smear, "--bundle", hostile_bundle),
        ("scan", smear),
        ("scan", tmp_path / f"gone{HOSTILE}"),
    ):
        ended = vexas_edge(*words)
        assert is_harmless(ended.out + ended.err), words
        assert "\\x1b[31m\\x07\\x9b2J\\u202e" in ended.out + ended.err, words


def test_a_text_of_a_bundle_forges_no_line(vexas_edge: Command, hostile_bundle: Path) -> None:
    lines = vexas_edge("inspect", hostile_bundle).out.split("\n")
    (use,) = [line for line in lines if line.startswith("intended use: none")]
    assert use.endswith(" forged")


@pytest.mark.parametrize("word", [f"--{HOSTILE}", f"P1{HOSTILE}"])
def test_wrong_usage_is_said_without_what_a_word_would_do(vexas_edge: Command, word: str) -> None:
    ended = vexas_edge("inspect", "a.vxb", word)
    assert ended.status == 2
    assert "vexas-edge inspect [OPTIONS] BUNDLE\nTry '" in ended.err
    assert is_harmless(ended.err)
    assert "\\x1b[31m" in ended.err.splitlines()[-1]


def test_a_line_of_progress_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vexas_edge.commands.console._LINE_SECONDS", {False: 0.0, True: 0.0})
    ProgressLine(HOSTILE)(f"model{HOSTILE}", 1, 2)
    assert is_harmless(capsys.readouterr().err)


@pytest.mark.parametrize("character", [*map(chr, range(32)), *map(chr, range(127, 160)), *HOSTILE])
def test_no_control_or_bidirectional_character_is_left_in_a_line(character: str) -> None:
    assert is_harmless(one_line(f"a{character}b").replace("\n", "\0"))


@pytest.mark.parametrize("package", ["vexas_edge", "training", "calibration", "export", "kit"])
def test_all_that_is_printed_goes_through_the_console(package: str) -> None:
    allowed = {"vexas_edge/commands/console.py", "vexas_edge/__main__.py"}
    found = [
        f"{path.relative_to(ROOT)}, line {node.lineno}"
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.relative_to(ROOT).as_posix() not in allowed
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func)
        in {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"}
    ]
    assert found == []
