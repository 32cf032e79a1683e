"""The commands on this PC: what it can run, what runs a bundle fastest, and how fast that is."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from vexas_edge.commands.console import echo, echo_json, say
from vexas_edge.commands.options import PATH, bundle_option, engine_options, threads_option
from vexas_edge.errors import HostError
from vexas_edge.text import one_line


@click.command()
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


@click.command()
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
            echo_json(json.dumps(asdict(finding)).encode())
            continue
        echo(f"{finding.state:8} {finding.subject}: {finding.found}")
        if finding.remedy:
            echo(f"{'':9}remedy: {finding.remedy}")
    return 0 if can_score(findings) else HostError.exit_status


@click.command()
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
    engines are built, in seconds by TensorRT for RTX and in minutes by the full TensorRT.

    \b
    Example:
      vexas-edge prepare --bundle site.vxb
    """
    from vexas_edge.bundle.archive import open_bundle
    from vexas_edge.host import cache
    from vexas_edge.runtime.choice import fastest
    from vexas_edge.runtime.prepare import prepare_bundle

    if clear:
        echo(f"{cache.clear()} files removed from {cache.cache_folder()}")
        return
    if bundle is None:
        raise click.UsageError("Missing option '--bundle'.")
    measured = prepare_bundle(open_bundle(bundle), say, threads=threads, seconds=seconds)
    chosen = fastest(measured)
    for way in sorted(measured, key=lambda way: way.ms_per_cell or float("inf")):
        found = one_line(str(way.problem))
        if way.ms_per_cell:
            found = f"{way.ms_per_cell:9.3f} ms per cell"
        mark = "  <- chosen" if way == chosen else ""
        echo(f"{way.engine} {way.device} {way.precision}".ljust(24) + found + mark)
    say(f"remembered in {cache.cache_folder()}")
