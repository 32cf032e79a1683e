"""The command `vexas-edge`: a thin layer over the library."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from vexas_edge.commands.console import run_command_line, say, status_of_batch
from vexas_edge.commands.options import (
    PATH,
    bundle_option,
    case_arguments,
    device_option,
    engine_option,
    engine_options,
    reading_options,
    threads_option,
)
from vexas_edge.commands.results import replay, results
from vexas_edge.errors import HostError
from vexas_edge.smear.options import ReadOptions
from vexas_edge.text import one_line
from vexas_edge.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Score the white cells of blood smears with a VEXAS bundle.

    For research use; a score is not a diagnosis.

    \b
    Example:
      vexas-edge demo
    """


@cli.command()
@case_arguments
@reading_options
@engine_options
@click.option(
    "--again", is_flag=True, help="Score once more what has its result in the folder already."
)
@click.option("--polite", is_flag=True, help="Let other programs go first and leave a core free.")
@click.option("-o", "out", type=PATH, help="The folder for results; without it nothing is written.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON line per case and nothing else."
)
def score(**chosen: Any) -> int:
    """Score each CASE: the folder or the zip of one smear.

    Exit status: 0 all cases were scored, 2 wrong usage, 3 some cases abstained, 4 this PC cannot do
    what was asked, 5 the case cannot be read, 6 the bundle is invalid, 7 some cases of a batch
    failed.

    \b
    Example:
      vexas-edge score smear --bundle site.vxb -o results
    """
    from vexas_edge.commands.asked import ScoringRun
    from vexas_edge.commands.score import run_scoring

    return run_scoring(ScoringRun(**chosen))


def _say_status(ctx: click.Context, _: click.Parameter, results_folder: Path | None) -> None:
    """Say how the watcher of this results folder stands, and end."""
    from vexas_edge.watching.status import lines_from_status

    if results_folder:
        for line in lines_from_status(results_folder):
            click.echo(one_line(line))
        ctx.exit()


@cli.command()
@click.argument("folder", type=PATH)
@reading_options
@engine_options
@click.option("-o", "out", type=PATH, required=True, help="The folder for results.")
@click.option(
    "--every",
    type=click.FloatRange(0.1, 3600),
    default=10.0,
    show_default=True,
    help="How many seconds to wait between two looks.",
)
@click.option(
    "--settle",
    type=click.FloatRange(0, 86400),
    default=60.0,
    show_default=True,
    help="For how many seconds nothing of a smear must change before it counts as whole.",
)
@click.option(
    "--done",
    metavar="NAME",
    help="Score a smear as soon as a file of this name lies in its folder, such as .done; for a "
    "zip P1.zip it is P1.zip.done beside it.",
)
@click.option("--once", is_flag=True, help="Score what has settled, and end: for a scheduler.")
@click.option(
    "--status",
    type=PATH,
    metavar="RESULTS",
    is_eager=True,
    expose_value=False,
    callback=_say_status,
    help="Say how the watcher of a results folder stands, and end.",
)
def watch(folder: Path, **chosen: Any) -> int:
    """Score smears as they arrive in FOLDER, until Ctrl-C or a signal comes.

    Nothing is ever written to FOLDER. A smear that cannot be read is tried again for a quarter of
    an hour, and then fails until something of it changes.

    Exit status: 0 stopped in order, 2 wrong usage, 4 this PC cannot do what was asked, 5 there is
    no such folder, 6 the bundle is invalid.

    \b
    Example:
      vexas-edge watch exports --bundle site.vxb -o results
    """
    from vexas_edge.commands.asked import ScoringRun
    from vexas_edge.commands.watch import Watching, run_watch

    how = Watching(
        every_seconds=chosen.pop("every"),
        settle_seconds=chosen.pop("settle"),
        done_marker=chosen.pop("done"),
        once=chosen.pop("once"),
    )
    return run_watch(ScoringRun(cases=(folder,), recursive=True, polite=True, **chosen), how)


@cli.command()
@case_arguments
@reading_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line per case.")
def scan(cases: tuple[Path, ...], recursive: bool, as_json: bool, reading: ReadOptions) -> int:
    """Show which cells of each CASE would be scored, and why the other files would not.

    No bundle is needed and no image is opened.

    Exit status: 0 all cases can be read, 2 wrong usage, 5 the case cannot be read, 7 some of
    several cases cannot be read.

    \b
    Example:
      vexas-edge scan smear
    """
    from vexas_edge.commands.scan import scan_cases
    from vexas_edge.smear.finding import wanted_cases

    wanted = wanted_cases(cases, reading, recursive=recursive, say=say)
    unreadable = scan_cases(wanted, reading, as_json=as_json)
    return status_of_batch(len(wanted), unreadable)


@cli.command()
@click.argument("bundle", type=PATH)
def inspect(bundle: Path) -> None:
    """Say in words what a BUNDLE is for, what it holds and what was measured on it.

    \b
    Example:
      vexas-edge inspect site.vxb
    """
    from vexas_edge.bundle.archive import open_bundle
    from vexas_edge.bundle.words import text_from_bundle

    click.echo(text_from_bundle(open_bundle(bundle)))


@cli.command()
@click.argument("bundle", type=PATH)
@engine_option()
@device_option()
def verify(bundle: Path, engine: Any, device: Any) -> None:
    """Check every hash of a BUNDLE and run its self-test on this PC.

    \b
    Example:
      vexas-edge verify site.vxb
    """
    from vexas_edge.bundle.archive import open_bundle
    from vexas_edge.engines.contract import EngineOptions
    from vexas_edge.runtime.session import run_selftest

    opened = open_bundle(bundle)
    opened.check_all_files()
    click.echo(f"{opened.manifest.name} {opened.manifest.version}: every file matches its hash")
    for check in run_selftest(opened, EngineOptions(engine=engine, device=device)):
        click.echo(
            f"{check.model} {check.file}: agrees within {check.difference:.1e} "
            f"(allowed {check.allowed:.0e})"
        )


@cli.command()
@engine_options
@click.option(
    "--cells",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="How many cells the measured smear has for each model.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1),
    default=5.0,
    show_default=True,
    help="How many seconds each scenario is measured, at least.",
)
@click.option("-o", "out", type=PATH, help="A file for the figures, as JSON lines.")
@click.option(
    "--plot", type=PATH, help="A file for a plot of latency against cells per call (PNG, SVG, PDF)."
)
@click.option("--baseline", type=PATH, help="A file of earlier figures of this PC to compare with.")
def bench(**chosen: Any) -> int:
    """Measure how fast a bundle scores here: single-stream, offline, case and cold start.

    The scenarios are measured in turns, so that a busy moment of the PC affects them all alike.

    Exit status: 0 all was measured, 2 wrong usage, 4 this PC cannot do what was asked, 5 the
    baseline cannot be read, 6 the bundle is invalid, 8 something is slower than in the baseline.

    \b
    Example:
      vexas-edge bench --bundle site.vxb -o figures.jsonl
      vexas-edge bench --bundle site.vxb --baseline figures.jsonl
    """
    from vexas_edge.commands.bench import BenchRun, run_bench

    return run_bench(BenchRun(**chosen))


@cli.command()
@click.option(
    "-o",
    "out",
    type=PATH,
    default=Path(),
    help="The folder that results would be written to.  [default: this one]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line per finding.")
def doctor(out: Path, as_json: bool) -> int:
    """Say what this PC can run, what it cannot run and why, and what to do about it.

    Exit status: 0 this PC can score, 4 it cannot.

    \b
    Example:
      vexas-edge doctor
    """
    import json

    from vexas_edge.runtime.doctor import can_score, examine

    findings = tuple(examine(out))
    for finding in findings:
        if as_json:
            click.echo(json.dumps(asdict(finding)))
            continue
        click.echo(one_line(f"{finding.state:8} {finding.subject}: {finding.found}"))
        if finding.remedy:
            click.echo(f"{'':9}remedy: {one_line(finding.remedy)}")
    return 0 if can_score(findings) else HostError.exit_status


@cli.command()
@bundle_option(required=False)
@threads_option()
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 600),
    default=3.0,
    show_default=True,
    help="How many seconds each engine is timed.",
)
@click.option(
    "--clear", is_flag=True, help="Forget what was measured and built on this PC instead."
)
def prepare(bundle: Path | None, threads: int | None, seconds: float, clear: bool) -> None:
    """Find what runs a bundle fastest on this PC, and remember it for `score`.

    Each installed engine is tested against the bundle's recorded numbers and timed. TensorRT's
    engines are built first, which takes minutes.

    \b
    Example:
      vexas-edge prepare --bundle site.vxb
    """
    from vexas_edge.bundle.archive import open_bundle
    from vexas_edge.host import cache
    from vexas_edge.runtime.choice import fastest
    from vexas_edge.runtime.prepare import prepare_bundle

    if clear:
        click.echo(f"{cache.clear()} files removed from {cache.cache_folder()}")
        return
    if bundle is None:
        raise click.UsageError("Missing option '--bundle'.")
    measured = prepare_bundle(open_bundle(bundle), _say, threads=threads, seconds=seconds)
    chosen = fastest(measured)
    for way in sorted(measured, key=lambda way: way.ms_per_cell or float("inf")):
        found = one_line(str(way.problem))
        if way.ms_per_cell:
            found = f"{way.ms_per_cell:9.3f} ms per cell"
        mark = "  <- chosen" if way == chosen else ""
        click.echo(f"{way.engine} {way.device} {way.precision}".ljust(24) + found + mark)
    _say(f"remembered in {cache.cache_folder()}")


def _say(line: str) -> None:
    click.echo(line, err=True)


@cli.command()
@click.option(
    "-o",
    "out",
    type=PATH,
    default=Path("vexas-edge-demo"),
    show_default=True,
    help="The folder for the results.",
)
def demo(out: Path) -> int:
    """Score a drawn smear with a demonstration bundle; both are part of this package.

    \b
    Example:
      vexas-edge demo -o demo-results
    """
    from vexas_edge.commands.asked import ScoringRun
    from vexas_edge.commands.score import run_scoring

    shipped = Path(__file__).parents[1] / "demo"
    click.echo("SYNTHETIC demonstration: drawn cells, no patient.")
    run = ScoringRun(cases=(shipped / "smear.zip",), bundle=shipped / "demo.vxb", out=out)
    return run_scoring(run)


cli.add_command(results)
cli.add_command(replay)


def main() -> None:
    """Entry point of the command `vexas-edge`."""
    run_command_line(cli)
