"""The command `vexas-workshop calibrate`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from vexas_edge.commands.options import reading_options
from vexas_edge.commands.progress import ProgressLine
from vexas_edge.errors import InputError
from vexas_edge.smear.options import ReadOptions
from vexas_edge.text import one_line

NOT_FIT = 4
INTEGERS = ("int8", "int8-rr", "int8-trt")
_PATH = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Make a bundle's graphs cheaper, and prove that they are still the same model."""


def _cohort_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.argument("bundle", type=_PATH),
        click.option("--cohort", type=_PATH, required=True, help="cohort.csv: cases and labels."),
        click.option(
            "--gate",
            default="judge",
            show_default=True,
            help="The cohort's split to judge on; `none` marks the graphs untested.",
        ),
        reading_options,
    )
    for option in reversed(options):
        command = option(command)
    return command


_OUT = click.option("-o", "out", type=_PATH, help="Write a new bundle instead of replacing this.")


@cli.command()
@_cohort_options
@click.option(
    "--calibrate", default="fit", show_default=True, help="The cohort's split to calibrate on."
)
@click.option(
    "--samples",
    type=click.IntRange(1, 100_000),
    default=512,
    show_default=True,
    help="Cells that ranges are found on, for each model.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Which cells those are.")
@click.option(
    "--percentile",
    type=click.FloatRange(50, 100, min_open=True),
    help="Share of an activation that its range covers.  [default: all; TensorRT: 99.999]",
)
@click.option(
    "--only",
    type=click.Choice(INTEGERS),
    multiple=True,
    help="Of the three files (CPU with VNNI, CPU without, TensorRT) make only this one.",
)
@_OUT
def int8(bundle: Path, out: Path | None, only: tuple[str, ...], **asked: Any) -> None:
    """Add graphs in 8-bit integers to BUNDLE, if they pass the gate; else leave it as it is.

    A CPU without VNNI cannot judge the graph for CPUs with it: that one is left out, and said so.
    Exit status: 0 added, 4 `--only` names a graph that this CPU cannot judge, 5 the cohort cannot
    be used, 6 refused: an unsupported graph or a figure over its budget.
    """
    from calibration.candidates import judgeable_kinds

    cache = Path(click.get_app_dir("vexas-edge")) / "calibration"
    kinds = only or judgeable_kinds(INTEGERS, _warn)
    _convert(bundle, out, kinds=kinds, cache=cache, **asked)


@cli.command()
@_cohort_options
@_OUT
def fp16(bundle: Path, out: Path | None, **asked: Any) -> None:
    """Add graphs in float16 to BUNDLE, if they pass the gate; else leave it as it is.

    Judged by an emulation that rounds every activation, as no GPU is asked here. Exit status: 0
    added, 5 the cohort cannot be used, 6 refused.
    """
    _convert(bundle, out, kinds=("fp16",), **asked)


def _convert(
    bundle: Path,
    out: Path | None,
    **asked: Any,
) -> None:
    from calibration.additions import check_target
    from calibration.conversion import Console, Conversion, add_precisions
    from vexas_edge.bundle.archive import open_bundle

    opened = open_bundle(bundle)
    to = check_target(opened, out)
    progress = ProgressLine(bundle.name, unit="")
    console = Console(progress=progress, show=_shower(progress), warn=_warner(progress))
    try:
        add_precisions(opened, Conversion(**asked), to, console)
    finally:
        progress.clear()
    click.echo(f"wrote {to}")


def _shower(progress: ProgressLine) -> Callable[[Any], None]:
    from calibration.gate.verdict import line_from_verdict

    def show(verdict: Any) -> None:
        progress.clear()
        click.echo(one_line(line_from_verdict(verdict)))

    return show


def _warner(progress: ProgressLine) -> Callable[[str], None]:
    def warn(text: str) -> None:
        progress.clear()
        _warn(text)

    return warn


def _warn(text: str) -> None:
    click.echo(one_line(f"warning: {text}"), err=True)


@cli.command()
@_cohort_options
@click.option("-o", "out", type=_PATH, help="Folder for compare.json and compare.png.")
def compare(bundle: Path, cohort: Path, gate: str, out: Path | None, reading: ReadOptions) -> None:
    """Put all graphs of BUNDLE side by side, on the cohort's patients and on this PC's CPU."""
    import msgspec

    from calibration.gate.comparison import compare_precisions, table_from_compared
    from vexas_edge.bundle.archive import open_bundle

    progress = ProgressLine(bundle.name, unit="")
    opened = open_bundle(bundle)
    try:
        compared = compare_precisions(opened, cohort, gate, reading, progress, _warner(progress))
    finally:
        progress.clear()
    click.echo(table_from_compared(compared))
    if out:
        from calibration.gate.plot import png_from_compared

        _write(out / "compare.json", msgspec.json.format(msgspec.json.encode(compared), indent=2))
        _write(out / "compare.png", png_from_compared(compared))


def _write(path: Path, content: bytes) -> None:
    from vexas_edge.errors import HostError
    from vexas_edge.files import write_atomically

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"folder {path.parent} cannot be created: {error.strerror}") from error
    write_atomically(path, content)
    click.echo(f"wrote {path}", err=True)


@cli.command()
@click.argument("graph", type=click.Path(path_type=Path))
def preflight(graph: Path) -> int:
    """Say what TensorRT 11 would refuse or silently change in GRAPH, each with its remedy.

    Static rules from NVIDIA's documentation; TensorRT itself is not needed and not asked.
    Exit status: 0 nothing found, 4 something found, 5 unreadable.
    """
    import onnx

    from calibration.proof.preflight import preflight_findings

    try:
        model = onnx.load(graph)
    except Exception as error:
        raise InputError(f"{graph} is not a readable ONNX file: {error}") from error
    findings = preflight_findings(model)
    for finding in findings:
        click.echo(f"{finding.rule}: {finding.where}: {finding.message}; {finding.remedy}")
    click.echo(f"{graph}: {len(findings)} findings for TensorRT 11", err=True)
    return NOT_FIT if findings else 0
