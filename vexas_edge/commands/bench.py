"""One run of `vexas-edge bench`: measuring, printing, writing, comparing and drawing."""

import json
import platform
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from vexas_edge.bench.baseline import COMPARED, SAME, changes, check_same
from vexas_edge.bench.drawn_smear import write_smear
from vexas_edge.bench.scenarios import Figure, measure
from vexas_edge.bundle.archive import Bundle, open_bundle
from vexas_edge.choices import Precision
from vexas_edge.commands.console import echo, echo_lines, say
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.opening import packages_that_count
from vexas_edge.errors import HostError, InputError
from vexas_edge.files import write_atomically
from vexas_edge.host.facts import this_host
from vexas_edge.host.process import peak_memory_mib
from vexas_edge.inputs import read_file
from vexas_edge.runtime.session import Sessions

REGRESSED = 8
_LARGEST_BASELINE = 16 << 20

Line = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class BenchRun:
    """What was asked for: the options of `vexas-edge bench`."""

    bundle: Path
    engine: EngineOptions = field(default_factory=EngineOptions)
    precision: Literal["auto"] | Precision = "auto"
    cells: int = 100
    seconds: float = 5.0
    out: Path | None = None
    plot: Path | None = None
    baseline: Path | None = None


def run_bench(asked: BenchRun) -> int:
    """Measure, print, write and compare; returns the exit status."""
    for file in filter(None, (asked.out, asked.plot)):
        if file.is_dir():
            raise HostError(f"{file} is a folder; name a file")
    earlier = _lines_of(asked.baseline) if asked.baseline else []
    draw = import_module("vexas_edge.bench.plot").draw_latency if asked.plot else None
    lines = _measured(asked, earlier)
    echo_lines(_table(lines))
    if asked.out:
        write_atomically(asked.out, "".join(json.dumps(line) + "\n" for line in lines).encode())
    if draw:
        draw(lines, asked.plot)
    return _compared(lines, earlier) if earlier else 0


def _measured(asked: BenchRun, earlier: Sequence[Line]) -> list[Line]:
    bundle = open_bundle(asked.bundle)
    bundle.check_scores_patients("bench")
    bundle.check_takes_images("bench")
    with (
        tempfile.TemporaryDirectory(prefix="vexas-edge-bench-") as scratch,
        Sessions(bundle, asked.engine, asked.precision) as sessions,
    ):
        run = _run_facts(bundle, sessions)
        if earlier:
            check_same(run, earlier[0]["run"])
        least = max(model.minimum_cells for model in bundle.manifest.models.values())
        smear = write_smear(bundle.manifest, max(asked.cells, least), Path(scratch) / "smear")
        small = write_smear(bundle.manifest, least, Path(scratch) / "small")
        figures = measure(
            sessions,
            smear,
            small,
            score_options=_score_options(asked),
            seconds=asked.seconds,
            report=say,
        )
    peak = peak_memory_mib()
    run["peak_memory_mib"] = round(peak, 1) if peak else None
    return [asdict(figure) | {"run": run} for figure in figures]


def _score_options(asked: BenchRun) -> list[str]:
    engine = asked.engine
    words = ["--bundle", str(asked.bundle), "--engine", engine.engine, "--device", engine.device]
    words += ["--precision", asked.precision]
    return [*words, "--threads", str(engine.threads)] if engine.threads else words


def _run_facts(bundle: Bundle, sessions: Sessions) -> Line:
    """The facts about this PC and about what ran on it."""
    engine = sessions.fused(next(iter(bundle.manifest.models)))
    return {
        **asdict(this_host(packages_that_count(), sessions.options.threads)),
        "system": platform.platform(),
        "python": platform.python_version(),
        "bundle": bundle.sha256,
        "engine": engine.name,
        "device": engine.device,
        "precision": sessions.graph.precision,
        "choice_reason": sessions.graph.reason,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _lines_of(path: Path) -> list[Line]:
    """The lines of an earlier run.

    Raises:
        InputError: the file cannot be read, or was not written by `vexas-edge bench -o`.
    """
    try:
        lines = [
            json.loads(line) for line in read_file(path, _LARGEST_BASELINE).decode().splitlines()
        ]
        if lines and all(map(_is_line, lines)):
            return lines
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"the baseline {path} cannot be read: {error}") from error
    raise InputError(f"the baseline {path} is not a file that `vexas-edge bench -o` wrote")


def _is_line(line: Line) -> bool:
    """Whether a line has what a comparison looks at."""
    return (
        line.keys() >= {*Figure.__dataclass_fields__, "run"}
        and line["run"].keys() >= SAME
        and isinstance(line["scenario"], str)
        and isinstance(line["model"], str | None)
        and all(isinstance(line[name], float) and line[name] > 0 for name in COMPARED)
    )


def _table(lines: Sequence[Line]) -> Iterable[str]:
    run = lines[0]["run"]
    yield f"{run['engine']} on {run['device']}, {run['precision']}, {run['threads']} threads"
    yield f"{run['cpu']}; peak memory {run['peak_memory_mib'] or '?'} MiB"
    heads = ("what", "cells", "median", "95 % interval", "p90", "p99", "queries")
    yield "{:28}{:>6} {:>12} {:>20} {:>9} {:>9} {:>8}".format(*heads)
    for line in lines:
        what = f"{line['model'] or ''} {line['scenario']}".strip()
        interval = f"{line['low']:.4g} to {line['high']:.4g}"
        p99 = f"{line['p99']:.4g}" if line["p99"] else "-"
        median = f"{line['value']:.4g} {line['unit']}"
        yield (
            f"{what:28}{line['batch']:>6} {median:>12} {interval:>20}"
            f" {line['p90']:>9.4g} {p99:>9} {line['count']:>8}"
        )
    for model, stages in {ln["model"]: ln["stages_ms"] for ln in lines if ln["model"]}.items():
        shown = ", ".join(f"{stage} {ms:.3g}" for stage, ms in stages.items())
        yield f"{model}, ms per cell (for the head, ms per case): {shown}"


def _compared(lines: Sequence[Line], earlier: Sequence[Line]) -> int:
    found = changes(lines, earlier)
    for change in found:
        mark = "  REGRESSED" if change.regressed else ""
        echo(f"{change.name}: {change.ratio:.3f} times the baseline's time{mark}")
    return REGRESSED if any(change.regressed for change in found) else 0
