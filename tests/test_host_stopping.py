"""A signal interrupts between two smears' results, and never in the middle of one."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from vexas_edge.host.stopping import Stop, undisturbed

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    for number, handler in before.items():
        assert number == signal.SIGTERM or signal.getsignal(number) == handler
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_begun_is_finished_before_an_interruption(number: signal.Signals) -> None:
    done = []

    @undisturbed()
    def work() -> None:
        signal.raise_signal(number)
        done.append("all")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all"]


def test_an_interruption_is_not_lost_with_an_error() -> None:
    @undisturbed()
    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        raise ZeroDivisionError

    with pytest.raises(KeyboardInterrupt) as interrupted:
        work()
    assert isinstance(interrupted.value.__context__, ZeroDivisionError)


def test_another_thread_is_never_interrupted_anyway() -> None:
    done = []

    def work() -> None:
        with undisturbed():
            done.append("all")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["all"]


def test_a_signal_that_is_let_through_by_nobody_stays_so() -> None:
    """As nohup does with a terminal that is closed."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop(print) as stop, undisturbed():
            signal.raise_signal(signal.SIGHUP)
        assert not stop.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)
