"""The commands on a results folder and on one result of it."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import click

from vexas_edge.choices import DecimalSign
from vexas_edge.commands.console import echo, echo_lines, say
from vexas_edge.commands.options import (
    PATH,
    bundle_option,
    device_option,
    engine_option,
    hashing_option,
    images_option,
    types_option,
)
from vexas_edge.errors import InputError, UsageError

# While somebody writes, a result is there a moment before the tables tell of it.
_TRIES, _PAUSE_SECONDS = 10, 0.5
DIFFERS = 9


@click.group()
def results() -> None:
    """Check a results folder, make its tables anew or for Excel, confirm a held result.

    \b
    Example:
      vexas-edge results verify results
    """


@results.command()
@click.argument("folder", type=PATH)
def rebuild(folder: Path) -> None:
    """Make tables, index and journal of a results FOLDER anew from its results.

    No engine and no image is needed. The same results give the same bytes. A result that is not
    what the journal says that was written is refused, and nothing is changed.

    \b
    Example:
      vexas-edge results rebuild results
    """
    from vexas_edge.ledger.derived.rebuilding import rebuild_tables
    from vexas_edge.ledger.lock import FolderLock
    from vexas_edge.ledger.reading import numbered_files

    numbered_files(folder)  # it must be one
    with FolderLock(folder, say=say):
        n_files = rebuild_tables(folder)
    echo(f"{folder}: tables, index and journal are made from {n_files} files")


@results.command("verify")
@click.argument("folder", type=PATH)
@bundle_option(required=False)
def verify_folder(folder: Path, bundle: Path | None) -> int:
    """Hold every file of a results FOLDER against every other, and against the bundle if given.

    Exit status: 0 all agree, 5 a file was changed, has gone or does not belong there.

    \b
    Example:
      vexas-edge results verify results
    """
    from vexas_edge.bundle.archive import open_bundle
    from vexas_edge.ledger.checking import problems_of_folder
    from vexas_edge.ledger.lock import LOCK
    from vexas_edge.ledger.reading import numbered_files
    from vexas_edge.scoring.whole import bundle_id

    wanted = None
    if bundle:
        opened = open_bundle(bundle)
        opened.check_all_files()
        wanted = bundle_id(opened)
    problems = problems_of_folder(folder, wanted)
    for _ in range(_TRIES):
        if not problems or not (folder / LOCK).exists():
            break
        time.sleep(_PAUSE_SECONDS)
        problems = problems_of_folder(folder, wanted)
    for problem in problems:
        echo(f"{folder}: {problem}")
    if problems:
        return InputError.exit_status
    echo(f"{folder}: {len(numbered_files(folder))} files agree with each other")
    return 0


@results.command()
@click.argument("folder", type=PATH)
@click.option(
    "--csv",
    "form",
    type=click.Choice(("excel", "plain")),
    default="excel",
    show_default=True,
    help="How the file is written: plain is what the folder's own tables are, with commas.",
)
@click.option(
    "--decimal",
    type=click.Choice(get_args(DecimalSign)),
    help="What stands before the decimals for Excel.  [default: comma]",
)
@click.option("--cells", is_flag=True, help="The table of cells and not that of results.")
@click.option("-o", "out", type=PATH, required=True, help="The file to write.")
def table(folder: Path, form: str, decimal: DecimalSign | None, cells: bool, out: Path) -> None:
    """Write a table of a results FOLDER as Excel opens it where lists have semicolons.

    This is German, French and most other European settings: the file has semicolons, decimal
    commas and the mark by which Excel knows UTF-8. With --decimal point it suits Switzerland. The
    folder stays as it is, also while a run writes to it.

    \b
    Example:
      vexas-edge results table results -o results-excel.csv
    """
    from vexas_edge.ledger.derived.exporting import export_table
    from vexas_edge.results.spreadsheet import EXCEL, PLAIN

    if form == "plain" and decimal:
        raise UsageError("plain tables have decimal points; leave --decimal out, or --csv plain")
    wanted = replace(EXCEL, decimal=decimal or EXCEL.decimal) if form == "excel" else PLAIN
    export_table(folder, out, wanted, cells=cells)
    echo(f"table: {out}")


@results.command()
@click.argument("folder", type=PATH)
@click.argument("cases", nargs=-1, required=True, metavar="CASE...")
def confirm(folder: Path, cases: tuple[str, ...]) -> None:
    """Confirm that each CASE whose result is held in a FOLDER is the smear that its name says.

    A result is held if half or more of its cells are those of another case.

    \b
    Example:
      vexas-edge results confirm results P9
    """
    from vexas_edge.ledger.reading import numbered_files
    from vexas_edge.ledger.remarks import shown_result
    from vexas_edge.ledger.writing import Ledger
    from vexas_edge.results.words import line_from_score

    numbered_files(folder)  # it must be one
    with Ledger(folder, say=say) as ledger:
        for case in cases:
            for line in ledger.confirm(case):
                shown = shown_result(ledger.result(line), line, ledger.known, folder)
                echo(f"confirmed: {line.file}: {line_from_score(shown)}")


@click.command()
@click.argument("result", type=PATH)
@click.option("--input", "smear", type=PATH, required=True, help="The smear's folder or zip.")
@bundle_option(required=True)
@types_option()
@engine_option()
@device_option()
def replay(
    result: Path, smear: Path, bundle: Path, types: Path | None, engine: Any, device: Any
) -> int:
    """Score a smear again as a RESULT says, and compare every figure bit for bit.

    RESULT is a file of cases/ in a results folder, whose record of the run says how names were
    read. A class map of your own is looked for where it was, or here if that was an absolute path.
    Engine, device and precision are the recorded ones, unless others are asked for.

    Exit status: 0 all is the same, 4 this PC cannot do what was recorded, 5 a file cannot be read,
    6 the bundle is invalid, 9 something differs.

    \b
    Example:
      vexas-edge replay results/cases/000002-smear.json --input smear --bundle site.vxb
    """
    from vexas_edge.results.differences import differences, other_makers
    from vexas_edge.scoring.replaying import replayed

    recorded, now = replayed(result, smear, bundle, engine, device, types)
    found = list(differences(recorded, now))
    makers = list(other_makers(recorded.run, now.run))
    echo_lines((*found, *makers))
    if found:
        return DIFFERS
    made = f"with another {', '.join(m.partition(':')[0] for m in makers)}" if makers else "alike"
    echo(f"{recorded.case}: every figure is the same bit for bit, made {made}")
    return 0


@click.command()
@click.argument("result", type=PATH)
@click.option("--input", "smear", type=PATH, help="The smear's folder or zip, for the pictures.")
@images_option()
@hashing_option()
@click.option(
    "-o", "out", type=PATH, help="The page to write.  [default: that of the results folder]"
)
def report(
    result: Path, smear: Path | None, no_images: bool, hash_ids: Path | None, out: Path | None
) -> None:
    """Make the page of a RESULT, a file of cases/ in a results folder, which a browser shows.

    No bundle and no engine is needed; the cells are known in the smear by the hashes of their
    files. The same result and smear give the same page. That of a table has no pictures.

    \b
    Example:
      vexas-edge report results/cases/000002-smear.json --input smear
    """
    from vexas_edge.commands.report import kept_page, page_to_hand_on

    if smear and no_images:
        raise UsageError("the pictures of --input are left out with --no-images; choose one")
    if out is None and hash_ids:
        raise UsageError("a page with hashed ids is one to hand on; name it with -o")
    page = (
        page_to_hand_on(out, result, smear, hash_ids, pictured=not no_images)
        if out
        else kept_page(result, smear, pictured=not no_images)
    )
    echo(f"page: {page}")
