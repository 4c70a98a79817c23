"""Doing many things in processes of this machine, so that one that dies takes no other with it.

What a dead worker was at is done again, three times at most.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol, TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

MAX_DEATHS = 3
_WATCH_INTERVAL_S = 0.5


class Keyed(Protocol):
    """Something to do, with a name that nothing else has."""

    @property
    def key(self) -> str: ...


TaskT = TypeVar("TaskT", bound=Keyed)
FoundT = TypeVar("FoundT")


def run_in_workers(
    n_jobs: int, tasks: Sequence[TaskT], work: Callable[[TaskT], FoundT]
) -> Iterator[tuple[TaskT, FoundT | None]]:
    """Yield tasks and what came of them, in the order in which they end.

    Parameters
    ----------
    n_jobs : int
        How many at a time.
    tasks : sequence
        What is to do; begun in this order.
    work : callable
        Does a task; what it raises is raised here.

    Yields
    ------
    task, found
        `found` is None for a task whose worker died `MAX_DEATHS` times: killed, or out of memory.
    """
    left = list(tasks)
    deaths: Counter[str] = Counter()
    try:
        while left:
            done: set[str] = set()
            try:
                for task, found in _parallel(n_jobs, left, work):
                    done.add(task.key)
                    yield task, found
            except TerminatedWorkerError:
                # Which of those at work it was is not told, so it counts against all of them.
                at_work = [task for task in left if task.key not in done][:n_jobs]
                deaths.update(task.key for task in at_work)
            left = [task for task in left if task.key not in done]
            for task in left:
                if deaths[task.key] >= MAX_DEATHS:
                    yield task, None
            left = [task for task in left if deaths[task.key] < MAX_DEATHS]
            if deaths:  # one at a time, so that a deadly task takes no other with it
                n_jobs = 1
    finally:
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _parallel(
    n_jobs: int, tasks: list[TaskT], work: Callable[[TaskT], FoundT]
) -> Iterator[tuple[TaskT, FoundT]]:
    # In processes even for one job: a death must not be ours.
    executor = Parallel(
        n_jobs=max(n_jobs, 2),
        backend="loky",
        pre_dispatch=n_jobs,
        batch_size=1,
        return_as="generator_unordered",
        # Of those, too, that never get anything to do.
        initializer=partial(_die_with_parent, os.getpid()),
    )
    found: Iterator[tuple[TaskT, FoundT]] = executor(
        delayed(_in_worker)(work, task) for task in tasks
    )
    return found


def _in_worker(work: Callable[[TaskT], FoundT], task: TaskT) -> tuple[TaskT, FoundT]:
    return task, work(task)


def _die_with_parent(parent: int) -> None:
    """Watch the process that started this one: if it is killed, no one else ends its workers.

    It may have been killed before this begins; so it has to say itself which one it is.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_INTERVAL_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
