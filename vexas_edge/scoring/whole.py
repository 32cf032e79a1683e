"""The whole result of a case: its models' answers, its cells, and what made it."""

import platform
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.models import Medians
from vexas_edge.bundle.words import missing_gate
from vexas_edge.cells.images import decoder
from vexas_edge.results.run import Run
from vexas_edge.results.typing import ClassCount
from vexas_edge.results.values import (
    NOTICE,
    SYNTHETIC_NOTICE,
    BundleId,
    CaseScore,
    ModelScore,
    SiteId,
    UsedCell,
)
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.smears import TypedSmear
from vexas_edge.scoring.vectors.reading import ReadTable
from vexas_edge.smear.case import UNNAMED, Case
from vexas_edge.text import unicode_text
from vexas_edge.typing.differential import differential
from vexas_edge.version import __version__

Seen = TypedSmear | ReadTable


def failed_case(name: str, error: str, sessions: Sessions) -> CaseScore:
    """The result of a case that could not be scored at all."""
    bundle = sessions.bundle
    return CaseScore(
        missing_gate=missing_gate(bundle.manifest) or None,
        case=name,
        of_table=bundle.manifest.takes_tables,
        status="failed",
        notice=_notice(bundle, types_id(sessions)),
        lead=bundle.manifest.lead,
        bundle=bundle_id(bundle),
        types=types_id(sessions),
        site=sessions.site_id,
        error=unicode_text(error),
    )


def _notice(bundle: Bundle, types: BundleId | None) -> str:
    is_synthetic = bundle.manifest.synthetic or (types is not None and types.synthetic)
    return f"{SYNTHETIC_NOTICE} {NOTICE}" if is_synthetic else NOTICE


def bundle_id(bundle: Bundle) -> BundleId:
    """What a result says about the bundle that made it."""
    manifest = bundle.manifest
    return BundleId(
        name=manifest.name,
        version=manifest.version,
        sha256=bundle.sha256,
        positive=manifest.positive,
        synthetic=manifest.synthetic,
    )


def types_id(sessions: Sessions) -> BundleId | None:
    """The other bundle whose models name cells, for the record."""
    return bundle_id(sessions.types) if sessions.types else None


@dataclass(frozen=True, kw_only=True)
class MadeBy:
    """What a result was made by, as `CaseScore` has it."""

    bundle: Bundle
    types: BundleId | None
    site: SiteId | None
    run: Run | None


def case_score(seen: Seen, models: tuple[ModelScore, ...], made_by: MadeBy) -> CaseScore:
    """The result of a smear with its names, or of a table."""
    if isinstance(seen, ReadTable):
        answered = _answered(seen.case.name, models, made_by, [])
        return replace(answered, of_table=True, table_sha256=seen.sha256)
    case, bystanders = seen.read.case, seen.read.bystanders
    unknown = () if seen.typing else case.unnamed
    ignored = Counter(file.reason for file in case.ignored) + Counter("no_class" for _ in unknown)
    return replace(
        _answered(case.name, models, made_by, seen.cells),
        ignored=dict(sorted(ignored.items())),
        conflicts=case.conflicts,
        classes=_classes(case),
        typing=seen.typing,
        retyping=seen.read.retyping,
        typed_cells=seen.cells,
        bystanders=bystanders.records if bystanders else (),
        differential=_differential(seen) if seen.is_whole else {},
    )


def _answered(
    name: str, models: tuple[ModelScore, ...], made_by: MadeBy, more: Iterable[UsedCell]
) -> CaseScore:
    """What any result says.

    Args:
        more: cells that are no model's.
    """
    bundle, manifest = made_by.bundle, made_by.bundle.manifest
    deciding = [m for m in models if manifest.lead in (None, m.model)]
    is_answered = any(m.status == "scored" for m in deciding) or not manifest.models
    cells = [*(cell for model in models for cell in model.cells), *more]
    return CaseScore(
        missing_gate=missing_gate(manifest) or None,
        case=name,
        status="scored" if is_answered else "abstained",
        notice=_notice(bundle, made_by.types),
        call=deciding[0].call if len(deciding) == 1 else None,
        lead=manifest.lead,
        models=models,
        unreadable=_with_status(cells, "unreadable"),
        rejected=_with_status(cells, "rejected"),
        duplicates=_with_status(cells, "duplicate"),
        bundle=bundle_id(bundle),
        types=made_by.types,
        site=made_by.site,
        run=made_by.run,
    )


def _differential(typed: TypedSmear) -> dict[str, ClassCount]:
    """The count of all cells of a smear that was read whole."""
    read = typed.read
    groups = [*read.of_models.values(), *([read.bystanders] if read.bystanders else [])]
    named = (cell.record for group in groups for cell in group.distinct)
    return differential((cell for cell in named if cell.named_by != "model"), typed.cells)


def _classes(case: Case) -> dict[str, int]:
    """How many images there are of each class that names say."""
    named = (cell.cell_class for cell in case.cells if cell.cell_class != UNNAMED)
    return dict(sorted(Counter(named).items()))


def _with_status(seen: Iterable[UsedCell], status: str) -> tuple[UsedCell, ...]:
    cells = {cell.path: cell for cell in seen if cell.status == status}
    return tuple(cells[path] for path in sorted(cells))


def _types_precision(sessions: Sessions) -> str | None:
    typers = sessions.typers if sessions.types else None
    return typers.graph.precision if typers else None


def run_facts(sessions: Sessions, started: datetime, seconds: float) -> Run:
    manifest, engine = sessions.bundle.manifest, sessions.used()
    return Run(
        vexas_edge=__version__,
        python=platform.python_version(),
        numpy=np.__version__,
        decoder=decoder(),
        engine=engine.name if engine else None,
        engine_version=engine.version if engine else None,
        device=engine.device if engine else None,
        threads=engine.threads if engine else None,
        precision=sessions.graph.precision,
        types_precision=_types_precision(sessions),
        choice_reason=sessions.graph.reason,
        seeds={
            name: model.aggregation.seed
            for name, model in manifest.models.items()
            if isinstance(model.aggregation, Medians)
        },
        started=started.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
    )
