"""The command `vexas-edge`: a thin layer over the library."""

from pathlib import Path
from typing import Any

import click

from vexas_edge.commands.commission import commission
from vexas_edge.commands.console import (
    echo,
    echo_lines,
    run_command_line,
    say,
    status_of_batch,
)
from vexas_edge.commands.options import (
    PATH,
    case_arguments,
    covariate_options,
    device_option,
    engine_option,
    engine_options,
    hashing_option,
    naming_options,
    page_options,
    reading_options,
    record_host_option,
    retype_option,
    types_option,
)
from vexas_edge.commands.results import replay, report, results
from vexas_edge.commands.this_pc import bench, doctor, prepare
from vexas_edge.smear.options import ReadOptions
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
@hashing_option()
@naming_options
@covariate_options(single=True)
@types_option()
@retype_option()
@page_options
@engine_options
@click.option(
    "--again", is_flag=True, help="Score once more what has its result in the folder already."
)
@record_host_option()
@click.option("--polite", is_flag=True, help="Let other programs go first and leave a core free.")
@click.option("-o", "out", type=PATH, help="The folder for results; without it nothing is written.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON line per case and nothing else."
)
def score(**chosen: Any) -> int:
    """Score each CASE: the folder or the zip of one smear.

    Of a bundle that takes tables of cells, such as counts of genes, a case is one table.

    Exit status: 0 all cases were scored, 1 a fault of vexas-edge failed some, 2 wrong usage, 3 some
    cases abstained, 4 this PC cannot do what was asked, 5 the case cannot be read, 6 the bundle is
    invalid, 7 some cases of a batch failed.

    \b
    Example:
      vexas-edge score smear --bundle site.vxb -o results
    """
    from vexas_edge.commands.smears.asked import ScoringRun
    from vexas_edge.commands.smears.score import run_scoring

    return run_scoring(ScoringRun(**chosen))


def _say_status(ctx: click.Context, _: click.Parameter, results_folder: Path | None) -> None:
    """Say how the watcher of this results folder stands, and end."""
    from vexas_edge.watching.status import lines_from_status

    if results_folder:
        echo_lines(lines_from_status(results_folder))
        ctx.exit()


@cli.command()
@click.argument("folder", type=PATH)
@reading_options
@hashing_option()
@naming_options
@covariate_options(single=False)
@types_option()
@retype_option()
@page_options
@engine_options
@record_host_option()
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
@click.option("--once", is_flag=True, help="Try once what has settled, and end: for a scheduler.")
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
    no such folder, 6 the bundle is invalid; with --once, 3, 5 and 7 as `score` ends with them.

    \b
    Example:
      vexas-edge watch exports --bundle site.vxb -o results
    """
    from vexas_edge.commands.smears.asked import ScoringRun
    from vexas_edge.commands.smears.watch import Watching, run_watch

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
@naming_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line per case.")
def scan(
    cases: tuple[Path, ...], recursive: bool, as_json: bool, reading: ReadOptions, naming: Any
) -> int:
    """Show which cells of each CASE would be scored, and why the other files would not.

    No bundle is needed and no image is opened.

    Exit status: 0 all cases can be read, 2 wrong usage, 5 the case cannot be read, 7 some of
    several cases cannot be read.

    \b
    Example:
      vexas-edge scan smear
    """
    from vexas_edge.commands.scan import scan_cases
    from vexas_edge.naming.case_ids import Naming
    from vexas_edge.smear.finding import wanted_cases

    wanted = wanted_cases(cases, reading, recursive=recursive, say=say)
    unreadable = scan_cases(list(map(Naming(naming).named, wanted)), reading, as_json=as_json)
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
    from vexas_edge.bundle.site_file import site_of
    from vexas_edge.bundle.site_words import lines_from_site
    from vexas_edge.bundle.words import lines_from_bundle

    opened = open_bundle(bundle)
    echo_lines(lines_from_bundle(opened))
    if found := site_of(opened, say):
        echo_lines(["", *lines_from_site(found.site)])


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
    from vexas_edge.bundle.site_file import site_of, site_path
    from vexas_edge.engines.contract import EngineOptions
    from vexas_edge.scoring.verification import run_selftest

    opened = open_bundle(bundle)
    opened.check_all_files()
    echo(f"{opened.manifest.name} {opened.manifest.version}: every file matches its hash")
    if site_of(opened, say):
        echo(f"{site_path(bundle).name}: is as it was written, and of this bundle")
    for check in run_selftest(opened, EngineOptions(engine=engine, device=device)):
        echo(
            f"{check.model} {check.file}: agrees within {check.difference:.1e} "
            f"(allowed {check.allowed:.0e})"
        )


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
    from vexas_edge.commands.smears.asked import ScoringRun
    from vexas_edge.commands.smears.score import run_scoring

    shipped = Path(__file__).parents[1] / "demo"
    smear, bundle = shipped / "smear.zip", shipped / "demo.vxb"
    echo("SYNTHETIC demonstration: drawn cells, no patient.")
    echo(f"smear:  {smear}")
    echo(f"bundle: {bundle}")
    return run_scoring(ScoringRun(cases=(smear,), bundle=bundle, out=out))


for command in (commission, results, replay, report, doctor, prepare, bench):
    cli.add_command(command)


def main() -> None:
    """Entry point of the command `vexas-edge`."""
    run_command_line(cli)
