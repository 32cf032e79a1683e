"""Runs that end early: what is said of an earlier one, and what this one leaves behind."""

from vexas_edge.commands.console import say
from vexas_edge.commands.smears.batch import Batch
from vexas_edge.errors import HostError
from vexas_edge.ledger.writing import Ledger
from vexas_edge.text import one_line


def say_what_was_cut_off(ledger: Ledger) -> None:
    """Say so if an earlier run was cut off."""
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
            ledger.end(one_line(str(error)) or type(error).__name__, batch.n_known)
        except HostError as unwritten:
            error.add_note(f"error: {unwritten}")
