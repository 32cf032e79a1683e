"""Work done ahead of whoever waits for it: in parallel, in order, never far ahead."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_ahead(
    work: Callable[[Task], Result], tasks: Iterable[Task], *, threads: int
) -> Generator[Result, None, None]:
    """`work(task)` for each task, in the tasks' order, on so many threads.

    Twice as many tasks as threads are under way or done and not yet taken, at most: that bounds
    memory. Close it when stopping early; work under way is then waited for.
    """
    pending = iter(tasks)
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="ahead") as pool:
        try:
            waiting.extend(pool.submit(work, task) for task in islice(pending, 2 * threads))
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(work, task) for task in islice(pending, 1))
                yield result
        finally:
            pool.shutdown(cancel_futures=True)
