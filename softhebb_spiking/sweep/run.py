"""Running the tasks of a sweep: in processes of this machine, or on a Dask cluster."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from softhebb_spiking._workers import MAX_DEATHS, run_in_workers
from softhebb_spiking.data import Dataset, load_dataset
from softhebb_spiking.evaluation import READOUTS
from softhebb_spiking.sweep.results import Result, ResultFolder
from softhebb_spiking.sweep.spec import Sweep, Task

_CONNECT_TIMEOUT_S = 30.0


def run_sweep(
    sweep: Sweep,
    folder: str | Path,
    *,
    n_jobs: int = 1,
    scheduler: str | None = None,
    data_root: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Run what is left of a sweep; results are on the disk as soon as they are there.

    Parameters
    ----------
    sweep : Sweep
        From `read_spec`.
    folder : str or Path
        Where results are; those that are there already are not found again.
    n_jobs : int
        Processes of this machine.
    scheduler : str, optional
        Address of the scheduler of a Dask cluster, to use its workers instead. This package must
        be installed there.
    data_root : str or Path, optional
        Folder with IDX files, as for `load_dataset`; on every machine.
    progress : callable, optional
        Called with the numbers of tasks done and of all tasks.

    Returns
    -------
    list of dict
        The table, one row for each task: what is varied, seed, scores or error, time, host, date.

    Raises
    ------
    ValueError
        If the folder holds another sweep.
    ImportError
        If a scheduler is named and Dask is not installed.
    OSError
        If results cannot be written, or the scheduler does not answer.
    """
    results = ResultFolder(Path(folder), sweep)
    to_do = results.to_do()
    n_done, n_tasks = len(sweep.tasks) - len(to_do), len(sweep.tasks)
    if progress is not None:
        progress(n_done, n_tasks)
    work = partial(run_task, data_root=None if data_root is None else str(data_root))
    found = _on_cluster(scheduler, to_do, work) if scheduler else _here(n_jobs, to_do, work)
    for result in found:
        results.write(result)
        n_done += 1
        if progress is not None:
            progress(n_done, n_tasks)
        results.write_table()
    return results.write_table()


def run_task(task: Task, data_root: str | None = None) -> Result:
    """Train and score; what goes wrong is in the result and not raised."""
    started = time.monotonic()
    try:
        scores, n_samples = _train_and_score(task, data_root)
    except Exception as error:  # one task must not stop the others
        return _result(task, error=f"{type(error).__name__}: {error}")
    elapsed_s = time.monotonic() - started
    return _result(
        task,
        scores=scores,
        elapsed_s=round(elapsed_s, 3),
        samples_per_s=round(n_samples / elapsed_s, 1),
    )


def _result(task: Task, **found: Any) -> Result:
    """Return what is kept of a task, with where and when."""
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {"task": task.as_dict(), "host": platform.node(), **found, "date": date}


def _died(task: Task) -> Result:
    return _result(task, error=f"its worker died {MAX_DEATHS} times (killed, or out of memory)")


def _train_and_score(task: Task, data_root: str | None) -> tuple[dict[str, float], int]:
    data = _load(task.dataset, data_root)
    n_train = len(data.X_train) - task.held_out
    if n_train < 1:
        raise ValueError(
            f"held_out={task.held_out} leaves none of {len(data.X_train)} training samples."
        )
    n_shown = min(n_train, task.samples or n_train)
    model = task.estimator().fit(data.X_train[:n_shown])
    X, y = data.X_train[n_train:], data.y_train[n_train:]
    if task.score == "test":
        X, y = data.X_test, data.y_test
    scores = {}
    for name in task.readouts:
        readout = READOUTS[name](model).fit(data.X_train[:n_shown], data.y_train[:n_shown])
        scores[name] = float((readout.predict(X) == y).mean())
    return scores, n_shown


@lru_cache(maxsize=1)
def _load(name: str, root: str | None) -> Dataset:
    return load_dataset(name, root=root)


def _here(n_jobs: int, tasks: list[Task], work: Callable[[Task], Result]) -> Iterator[Result]:
    for task, found in run_in_workers(n_jobs, tasks, work):
        yield _died(task) if found is None else found


def _on_cluster(
    address: str, tasks: list[Task], work: Callable[[Task], Result]
) -> Iterator[Result]:
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise ImportError(
            "--scheduler needs Dask: pip install 'softhebb-spiking[cluster]'."
        ) from error
    with Client(address, timeout=_CONNECT_TIMEOUT_S) as client:  # type: ignore[no-untyped-call]
        # Dask runs a task again whose worker died, as often as its scheduler's
        # `allowed-failures` says: three times unless configured otherwise.
        futures = client.map(work, tasks, pure=False)
        task_of = {future.key: task for future, task in zip(futures, tasks, strict=True)}
        for future in as_completed(futures):  # type: ignore[no-untyped-call]
            if future.exception() is None:
                yield future.result()
            else:
                yield _died(task_of[future.key])
