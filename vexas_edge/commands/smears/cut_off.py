"""How runs begin, with what is said of one that was cut off, and how they end early."""

from datetime import UTC, datetime

from vexas_edge.commands.console import say
from vexas_edge.commands.smears.asked import ScoringRun, asked_from_run
from vexas_edge.commands.smears.batch import Batch
from vexas_edge.errors import HostError
from vexas_edge.ledger.writing import Ledger
from vexas_edge.naming.case_ids import Naming
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.whole import bundle_id, types_id
from vexas_edge.text import one_line, without_folders


def begin_run(ledger: Ledger, asked: ScoringRun, naming: Naming, sessions: Sessions) -> None:
    """Record what the run is asked for, and say so if an earlier one was cut off.

    Raises:
        UsageError, InputError: as `Ledger.start`.
    """
    record = asked_from_run(asked, naming)
    bundle, types = bundle_id(sessions.bundle), types_id(sessions)
    ledger.start(record, bundle, datetime.now(UTC), sessions.site_id, types)
    if ledger.cut_off:
        say(
            f"note: an earlier run that wrote to {ledger.folder} was cut off; its finished results "
            "are there"
        )


def break_off(ledger: Ledger | None, batch: Batch, error: BaseException) -> None:
    """Record what ended the run early, and let its message say what is done and how to go on."""
    if batch.n_done:
        how = "run the same command again to go on" if ledger else "nothing was written"
        error.add_note(f"note: {batch.summary()}; {how}")
    if ledger:
        try:
            why = without_folders(one_line(str(error)), ledger.folder)
            ledger.end(why or type(error).__name__, batch.n_known)
        except HostError as unwritten:
            error.add_note(f"error: {unwritten}")
