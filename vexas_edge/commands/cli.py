"""The command `vexas-edge`: a thin skin over the library."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from vexas_edge.commands.console import run_command_line, status_of_batch
from vexas_edge.commands.options import (
    PATH,
    bundle_option,
    case_arguments,
    engine_options,
    reading_options,
)
from vexas_edge.engines.contract import DEVICES, ENGINES
from vexas_edge.errors import HostError
from vexas_edge.text import one_line
from vexas_edge.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Score the white cells of blood smears with a VEXAS bundle. Research use; no diagnosis."""


@cli.command()
@case_arguments
@reading_options
@engine_options
@click.option("--polite", is_flag=True, help="Let other programs go first; leave a core free.")
@click.option("-o", "out", type=PATH, help="Folder for results; without it nothing is written.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line a case, nothing else.")
def score(**chosen: Any) -> int:
    """Score each CASE: the folder or zip of one smear.

    Exit status: 0 all scored, 3 some abstained, 5 unreadable, 6 bundle invalid, 7 some of a batch
    failed, 4 this PC cannot do it, 2 usage.
    """
    from vexas_edge.commands.score import ScoringRun, run_scoring

    return run_scoring(ScoringRun(**chosen))


@cli.command()
@case_arguments
@reading_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line a case.")
def scan(cases: tuple[Path, ...], recursive: bool, as_json: bool, **reading: Any) -> int:
    """Show what would be read of each CASE and why; no bundle needed.

    Exit status: 0 all can be read, 5 unreadable, 7 some of several cannot be read, 2 usage.
    """
    from vexas_edge.commands.scan import scan_cases
    from vexas_edge.smear.finding import wanted_cases
    from vexas_edge.smear.options import read_options

    options = read_options(**reading)
    wanted = wanted_cases(cases, options, recursive=recursive)
    unreadable = scan_cases(wanted, options, as_json=as_json)
    return status_of_batch(len(wanted), unreadable)


@cli.command()
@click.argument("bundle", type=PATH)
def inspect(bundle: Path) -> None:
    """Say in words what a BUNDLE is and what it holds."""
    from vexas_edge.bundle.archive import open_bundle
    from vexas_edge.bundle.words import text_from_bundle

    click.echo(text_from_bundle(open_bundle(bundle)))


@cli.command()
@click.argument("bundle", type=PATH)
@click.option("--engine", type=click.Choice(ENGINES), default="auto", show_default=True)
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)
def verify(bundle: Path, engine: Any, device: Any) -> None:
    """Check every hash of a BUNDLE and run its self-test on this PC."""
    from vexas_edge.bundle.archive import open_bundle
    from vexas_edge.engines.contract import EngineOptions
    from vexas_edge.runtime.session import run_selftest

    opened = open_bundle(bundle)
    opened.check_all_files()
    click.echo(f"{opened.manifest.name} {opened.manifest.version}: every file is as it was hashed")
    for check in run_selftest(opened, EngineOptions(engine=engine, device=device)):
        click.echo(
            f"{check.model} {check.file}: agrees within {check.difference:.1e} "
            f"(allowed {check.allowed:.0e})"
        )


@cli.command()
@engine_options
@click.option("--cells", type=click.IntRange(1), default=100, show_default=True, help="A model.")
@click.option("--seconds", type=click.FloatRange(0.1), default=5.0, show_default=True)
@click.option("-o", "out", type=PATH, help="File for the figures, JSON lines.")
@click.option("--plot", type=PATH, help="File for a plot of latency against batch (PNG, SVG).")
@click.option("--baseline", type=PATH, help="Earlier figures of this PC to compare with.")
def bench(**chosen: Any) -> int:
    """Measure how fast a bundle scores here: single-stream, offline, case, cold start.

    Each is queried for so many seconds at least, in turns. Exit status: 0; 8 slower than the
    baseline.
    """
    from vexas_edge.commands.bench import BenchRun, run_bench

    return run_bench(BenchRun(**chosen))


@cli.command()
@click.option("-o", "out", type=PATH, default=Path(), help="Where results would be written.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line a finding.")
def doctor(out: Path, as_json: bool) -> int:
    """Say what this PC can run, why not the rest, and what to do about it.

    Exit status: 0 it can score, 4 it cannot.
    """
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
@click.option("--threads", type=click.IntRange(1, 256), help="Compute threads.")
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=3.0, show_default=True)
@click.option("--clear", is_flag=True, help="Empty the cache of this PC instead.")
def prepare(bundle: Path | None, threads: int | None, seconds: float, clear: bool) -> None:
    """Find what runs a bundle fastest on this PC, and remember it for `score`.

    Each installed engine is tested against the bundle's recorded numbers and timed for so many
    seconds. TensorRT's engines are built first, which takes minutes.
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
        found = (
            f"{way.ms_per_cell:9.3f} ms a cell" if way.ms_per_cell else one_line(str(way.problem))
        )
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
    help="Folder for the results.",
)
def demo(out: Path) -> int:
    """Score a made-up smear with a made-up bundle, both shipped inside this package."""
    from vexas_edge.commands.score import ScoringRun, run_scoring

    shipped = Path(__file__).parents[1] / "demo"
    click.echo("SYNTHETIC demonstration: drawn cells, no patient.")
    run = ScoringRun(cases=(shipped / "smear.zip",), bundle=shipped / "demo.vxb", out=out)
    return run_scoring(run)


def main() -> None:
    """Entry point of the command `vexas-edge`."""
    run_command_line(cli)
