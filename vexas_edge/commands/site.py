"""One run of `vexas-edge commission`: looking at a site's slides, and saying what was found."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from vexas_edge.bundle.archive import Bundle, open_bundle
from vexas_edge.bundle.site import Site
from vexas_edge.bundle.site_file import site_path
from vexas_edge.bundle.site_words import lines_from_site
from vexas_edge.commands.console import ProgressLine, echo, echo_lines, say
from vexas_edge.commands.smears.asked import SmearsAsked
from vexas_edge.commissioning.commission import Instrument, commission_site
from vexas_edge.commissioning.known import check_all_known, read_known
from vexas_edge.commissioning.seeing import see_cases
from vexas_edge.commissioning.writing import check_writable, opened_by_site, write_site
from vexas_edge.errors import InputError
from vexas_edge.naming.case_ids import Naming
from vexas_edge.runtime.session import Sessions
from vexas_edge.smear.case import FoundCase
from vexas_edge.smear.finding import wanted_cases


@dataclass(frozen=True, kw_only=True)
class CommissioningRun(SmearsAsked):
    """What was asked for: the arguments and options of `vexas-edge commission`."""

    instrument: str
    software: str
    known: Path | None = None


def run_commissioning(asked: CommissioningRun) -> int:
    """Look at every case and write the site file, unless known slides open nothing.

    Without known slides, a site file that opens something is left as it is.

    Returns the exit status: 5 where known slides open nothing.
    """
    bundle, naming = open_bundle(asked.bundle), Naming(asked.naming)
    instrument = Instrument(name=asked.instrument, software=asked.software)
    known = read_known(asked.known, bundle.manifest.classes) if asked.known else None
    found = wanted_cases(asked.cases, asked.reading, recursive=asked.recursive, say=say)
    cases = [naming.named(case) for case in found]
    if asked.known and known is not None:
        check_all_known(known, [case.name for case in cases], asked.known)
    stays = opened_by_site(bundle) if known is None else ()
    if not stays:
        check_writable(bundle)
    site = _commissioned(asked, bundle, instrument, cases, known)
    echo_lines(lines_from_site(site))
    if stays:
        say(
            "note: nothing was written, since a description takes no opened site's place: "
            f"{site_path(bundle.path)} opens {', '.join(stays)} and stays; to end that, remove the "
            "file, and start a watcher anew"
        )
        return 0
    if known is not None and not any(model.opened for model in site.models.values()):
        say(f"error: no domain gate is opened by these slides; {_untouched(bundle)}")
        return InputError.exit_status
    _write(bundle, site)
    return 0


def _commissioned(
    asked: CommissioningRun,
    bundle: Bundle,
    instrument: Instrument,
    cases: Sequence[FoundCase],
    known: Mapping[str, str] | None,
) -> Site:
    """What is found of the bundle by these cases, told as they are looked at."""
    progress = ProgressLine("")

    def begin(case: FoundCase) -> ProgressLine:
        return progress.of(f"{case.name} ({cases.index(case) + 1} of {len(cases)})")

    def tell(text: str) -> None:
        progress.clear()
        say(text)

    bundle.check_scores_patients("commission")
    bundle.check_takes_images("commission")
    with ExitStack() as stack:
        stack.callback(progress.clear)
        sessions = stack.enter_context(Sessions(bundle, asked.engine, asked.precision))
        seen = see_cases(cases, known, asked.reading, sessions, begin, tell)
        progress.clear()
        return commission_site(seen, len(cases), instrument, sessions)


def _write(bundle: Bundle, site: Site) -> None:
    kept = write_site(bundle, site)
    echo(f"wrote {site_path(bundle.path)}")
    if kept:
        say(f"note: the site file that was there before is no longer used; it is kept as {kept}")
    opened = [name for name, model in site.models.items() if model.opened]
    what = f"centred on this site: {', '.join(opened)}" if opened else "nothing is opened by it"
    say(f"note: {what}; slides are scored again with it, and a watcher is to be started anew")


def _untouched(bundle: Bundle) -> str:
    path = site_path(bundle.path)
    if path.exists():
        return f"nothing was written, and {path} is as it was"
    return "nothing was written"
