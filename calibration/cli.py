"""The command `vexas-workshop calibrate`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from vexas_edge.commands.console import ProgressLine, echo, echo_lines, say
from vexas_edge.commands.options import reading_options
from vexas_edge.errors import InputError
from vexas_edge.smear.options import ReadOptions

NOT_FIT = 4
INTEGERS = ("int8", "int8-rr", "int8-trt")
_PATH = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Add faster graphs to a bundle, once they have proved to be still the same model.

    \b
    Example:
      vexas-workshop calibrate int8 site.vxb --cohort cohort.csv
      vexas-workshop calibrate compare site.vxb --cohort cohort.csv -o compared
    """


_GATE = click.option(
    "--gate",
    default="judge",
    show_default=True,
    help="The cohort's split to judge graphs on; `none` adds them unjudged, marked as untested.",
)
_COMPARED = click.option(
    "--gate",
    default="judge",
    show_default=True,
    help="The cohort's split to compare graphs on.",
)


def _cohort_options(gate: Callable[..., Any]) -> Callable[..., Any]:
    """The bundle's argument, the cohort's options, and what `--gate` means to the command."""
    options = (
        click.argument("bundle", type=_PATH),
        click.option(
            "--cohort",
            type=_PATH,
            required=True,
            help="A CSV of cases with their labels and splits: patient,sample,path,label,split.",
        ),
        gate,
        reading_options,
    )

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


_OUT = click.option(
    "-o", "out", type=_PATH, help="Write a new bundle here instead of replacing BUNDLE."
)


@cli.command()
@_cohort_options(_GATE)
@click.option(
    "--calibrate",
    default="fit",
    show_default=True,
    help="The cohort's split whose cells the integers' ranges are found on.",
)
@click.option(
    "--samples",
    type=click.IntRange(1, 100_000),
    default=512,
    show_default=True,
    help="Cells per model that ranges are found on.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Seed of the random choice of those cells.",
)
@click.option(
    "--percentile",
    type=click.FloatRange(50, 100, min_open=True),
    help="Per cent of an activation's values that its range covers.  "
    "[default: 100 or 99.999, whichever suits the graph]",
)
@click.option(
    "--only",
    type=click.Choice(INTEGERS),
    multiple=True,
    help="Make this graph only: int8 for CPUs with VNNI, int8-rr for CPUs without, int8-trt for "
    "TensorRT; may be repeated.",
)
@_OUT
def int8(bundle: Path, out: Path | None, only: tuple[str, ...], **asked: Any) -> None:
    """Add graphs in 8-bit integers to BUNDLE (.vxb), those that pass the gate.

    The gate compares each graph with the float32 one on patients that calibration never saw. One
    that misses its budget is not added. Each line says how many of a graph's multiply-adds are in
    integers; below 90 % a warning names the layers that are not. A CPU without VNNI cannot judge
    the graph for CPUs with VNNI: that graph is then left out, with a warning.

    Exit status: 0 all added, 4 `--only` names a graph that this CPU cannot judge, 5 the cohort
    cannot be used, 6 not all added: an unsupported graph or a figure over its budget.

    \b
    Example:
      vexas-workshop calibrate int8 site.vxb --cohort cohort.csv
    """
    from calibration.candidates import judgeable_kinds
    from vexas_edge.host.cache import cache_folder

    cache = cache_folder() / "calibration"
    kinds = only or judgeable_kinds(INTEGERS, _warn)
    _convert(bundle, out, kinds=kinds, cache=cache, **asked)


@cli.command()
@_cohort_options(_GATE)
@_OUT
def fp16(bundle: Path, out: Path | None, **asked: Any) -> None:
    """Add graphs in float16, for GPUs, to BUNDLE (.vxb), those that pass the gate.

    The gate compares each graph with the float32 one. It needs no GPU: the CPU emulates float16 by
    rounding every activation. A graph that misses its budget is not added.

    Exit status: 0 all added, 5 the cohort cannot be used, 6 not all added: an unsupported graph or
    a figure over its budget.

    \b
    Example:
      vexas-workshop calibrate fp16 site.vxb --cohort cohort.csv
    """
    _convert(bundle, out, kinds=("fp16",), **asked)


def _convert(
    bundle: Path,
    out: Path | None,
    *,
    cohort: Path,
    **asked: Any,
) -> None:
    from calibration.additions import check_target
    from calibration.conversion import Console, Conversion, add_precisions
    from vexas_edge.bundle.archive import open_bundle
    from vexas_edge.smear.cohort import read_cohort

    opened = open_bundle(bundle)
    to = check_target(opened, out)
    progress = ProgressLine(bundle.name, unit="")
    console = Console(progress=progress, show=_shower(progress), warn=_warner(progress))
    try:
        conversion = Conversion(cohort=read_cohort(cohort), **asked)
        add_precisions(opened, conversion, to, console)
    finally:
        progress.clear()
    echo(f"wrote {to}")


def _shower(progress: ProgressLine) -> Callable[[Any], None]:
    from calibration.gate.verdict import line_from_verdict

    def show(verdict: Any) -> None:
        progress.clear()
        echo(line_from_verdict(verdict))

    return show


def _warner(progress: ProgressLine) -> Callable[[str], None]:
    def warn(text: str) -> None:
        progress.clear()
        _warn(text)

    return warn


def _warn(text: str) -> None:
    say(f"warning: {text}")


@cli.command()
@_cohort_options(_COMPARED)
@click.option(
    "-o",
    "out",
    type=_PATH,
    help="Folder for compare.json and compare.png; without it the table is only printed.",
)
def compare(bundle: Path, cohort: Path, gate: str, out: Path | None, reading: ReadOptions) -> None:
    """Compare the graphs of BUNDLE (.vxb): their scores on a cohort, their speed on this PC's CPU.

    \b
    Example:
      vexas-workshop calibrate compare site.vxb --cohort cohort.csv -o compared
    """
    import msgspec

    from calibration.gate.comparison import compare_precisions, lines_from_compared
    from vexas_edge.bundle.archive import open_bundle

    progress = ProgressLine(bundle.name, unit="")
    opened = open_bundle(bundle)
    try:
        compared = compare_precisions(opened, cohort, gate, reading, progress, _warner(progress))
    finally:
        progress.clear()
    echo_lines(lines_from_compared(compared))
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
    say(f"wrote {path}")


@cli.command()
@click.argument("graph", type=_PATH)
def preflight(graph: Path) -> int:
    """List what TensorRT would refuse or silently change in GRAPH (.onnx), with remedies.

    A finding of the parser is one that TensorRT's own parser refuses the graph for; ours are taken
    from NVIDIA's documentation. TensorRT itself is neither needed nor run.

    Exit status: 0 nothing found, 4 something found, 5 unreadable.

    \b
    Example:
      vexas-workshop calibrate preflight encoder.onnx
    """
    import onnx

    from calibration.proof.preflight import preflight_findings

    try:
        model = onnx.load(graph)
    except Exception as error:
        raise InputError(f"{graph} is not a readable ONNX file: {error}") from error
    findings = preflight_findings(model)
    for finding in findings:
        echo(f"{finding.by}: {finding.rule}: {finding.where}: {finding.message}; {finding.remedy}")
    say(f"{graph}: {len(findings)} findings for TensorRT")
    return NOT_FIT if findings else 0
