"""What the page of a result costs beside scoring its smear, and how large pages and indexes are.

    python benchmarks/pages.py DATA -o benchmarks/results/pages.jsonl

Smears of cells at an analyzer's size are scored into results folders, in turns with pages and
without. SqueezeNet in float32 is the lightest network, so that the share is the largest. The index
is that of 1,000 results. DATA is a folder with `lymphocytosis/` and `squeezenet11/`.
"""

import json
import statistics
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from host import host_facts
from samples import CELL_TYPE, write_export_cells, write_file_bundle

from vexas_edge.bundle.archive import open_bundle
from vexas_edge.choices import PageKind
from vexas_edge.commands.smears.asked import ScoringRun, asked_from_run
from vexas_edge.commands.smears.scorer import Scorer
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.ledger.derived.pages import Pages, index_html
from vexas_edge.ledger.lines import CaseLine
from vexas_edge.ledger.sameness import Known
from vexas_edge.ledger.writing import Ledger
from vexas_edge.naming.case_ids import Naming, NamingOptions
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.whole import bundle_id
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.reader import case_at
from vexas_edge.talk import silent

KINDS: tuple[PageKind, ...] = ("none", "with pictures")
RESULTS = 1000


def seconds_of(smear: Path, out: Path, kind: PageKind, sessions: Sessions) -> float:
    """How long it takes to score a smear into a new results folder."""
    reading, naming = ReadOptions(cell_type=CELL_TYPE), Naming(NamingOptions())
    with Ledger(out) as ledger:
        run = ScoringRun(cases=(smear,), bundle=sessions.bundle.path, out=out)
        ledger.start(asked_from_run(run, naming), bundle_id(sessions.bundle), datetime.now(UTC))
        scorer = Scorer(
            sessions=sessions, reading=reading, naming=naming, ledger=ledger, pages=kind
        )
        began = time.perf_counter()
        with scorer.look(case_at(smear), silent) as looked:
            answered = scorer.answer(looked, silent)
        scorer.keep(answered)
        return time.perf_counter() - began


def page_line(smear: Path, sessions: Sessions, scratch: Path, turns: int) -> dict[str, Any]:
    """The share of a page, the median of turns, the first of which is left out."""
    shares, seconds, out = [], [], scratch
    for turn in range(turns + 1):
        taken = {}
        for kind in KINDS if turn % 2 else KINDS[::-1]:
            out = scratch / f"{smear.name} {turn} {kind}"
            taken[kind] = seconds_of(smear, out, kind, sessions)
        if turn:
            shares.append(taken["with pictures"] / taken["none"] - 1)
            seconds.append(taken["none"])
    (page,) = scratch.glob(f"{smear.name} {turns} with pictures/reports/*.html")
    return {
        "question": "page",
        "share": round(statistics.median(shares), 3),
        "shares": [round(share, 3) for share in sorted(shares)],
        "scoring_s": round(statistics.median(seconds), 3),
        "page_bytes": page.stat().st_size,
    }


def index_line(folder: Path, turns: int) -> dict[str, Any]:
    """How long an index is made, and how large it is; it is left in the folder."""
    with Ledger(folder) as ledger:
        (line,) = ledger.known
    lines = [
        as_case(line, number, f"Case {number} of the ward")
        for number in range(2, 2 * RESULTS + 2, 2)
    ]
    known, seconds = Known(lines), []
    for _ in range(turns):
        began = time.perf_counter()
        content = index_html(known, Pages(folder, known))
        seconds.append(time.perf_counter() - began)
    (folder / "index.html").write_bytes(content)
    return {
        "question": "index",
        "results": RESULTS,
        "made_in_s": round(statistics.median(seconds), 3),
        "index_bytes": len(content),
    }


def as_case(line: CaseLine, number: int, case: str) -> CaseLine:
    """The line of a result as that of another case."""
    return msgspec.structs.replace(
        line,
        case=case,
        entry=replace(line.entry, number=number, given=case, key=""),
        rows=tuple({**row, "case": case} for row in line.rows),
        marks=b"",
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("data", type=click.Path(path_type=Path))
@click.option("-o", "out", type=click.Path(path_type=Path), required=True, help="File to add to.")
@click.option("--turns", default=9, show_default=True, help="How often all are timed.")
@click.option("--cells", multiple=True, type=int, default=(40, 500), help="Cells of a smear.")
@click.option("--keep", type=click.Path(path_type=Path), help="Where the index is left.")
def cli(data: Path, out: Path, turns: int, cells: tuple[int, ...], keep: Path | None) -> None:
    """Measure pages on smears of the cells in DATA; append one JSON line per question to a file."""
    files = sorted((data / "lymphocytosis").glob("*/*.jpg"))
    (encoder,) = (data / "squeezenet11").glob("*.onnx")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        smears = [write_export_cells(files, n, scratch / f"{n} cells") for n in cells]
        bundle = open_bundle(
            write_file_bundle(encoder, 512, 112, smears[0], scratch / "squeezenet.vxb")
        )
        with Sessions(bundle, EngineOptions(engine="onnxruntime"), "fp32") as sessions:
            lines = [page_line(smear, sessions, scratch, turns) for smear in smears]
        facts = [{"cells": n, **line} for n, line in zip(cells, lines, strict=True)]
        facts.append(index_line(scratch / f"{smears[0].name} 0 none", turns))
        if keep:
            keep.write_bytes((scratch / f"{smears[0].name} 0 none" / "index.html").read_bytes())
    for line in facts:
        with out.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({**line, **host_facts()}) + "\n")
        click.echo(json.dumps(line))


if __name__ == "__main__":
    cli()
