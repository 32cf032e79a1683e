"""Work is done in parallel and in order, never far ahead, and stops when nobody wants it."""

import threading
import time

import pytest

from vexas_edge.ahead import run_ahead


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_tasks(threads: int) -> None:
    def work(task: int) -> int:
        time.sleep(0.001 * (task % 3))
        return task * task

    assert list(run_ahead(work, range(40), threads=threads)) == [n * n for n in range(40)]
    assert list(run_ahead(work, [], threads=threads)) == []


def test_no_more_than_twice_the_threads_are_ahead() -> None:
    started: list[int] = []
    for taken, _ in enumerate(run_ahead(started.append, range(50), threads=3)):
        assert len(started) <= taken + 1 + 2 * 3
    assert len(started) == 50


def test_stopping_early_leaves_no_thread_and_starts_nothing_more() -> None:
    started: list[int] = []
    running = run_ahead(started.append, range(50), threads=2)
    next(running)
    running.close()
    assert len(started) <= 1 + 2 * 2
    assert not [t for t in threading.enumerate() if t.name.startswith("ahead")]


def test_an_error_in_a_thread_is_raised_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        list(run_ahead(lambda task: 1 // task, [2, 1, 0, 3], threads=2))
