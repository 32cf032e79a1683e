"""Running tasks in parallel, a little ahead of whoever consumes their results."""

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
    """Yield `work(task)` for each task, in the order of the tasks, computed on `threads` threads.

    At most twice as many tasks as threads are running or waiting to be consumed, which bounds
    memory. Close the generator to stop early; this waits for the work under way.
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
