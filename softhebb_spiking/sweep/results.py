"""Results of a sweep on the disk: one file for each task, and one table of all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from softhebb_spiking._untrusted import read_json
from softhebb_spiking.serialization import write_whole
from softhebb_spiking.sweep.spec import Sweep, Task

Result = dict[str, Any]


class ResultFolder:
    """The folder of a sweep.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    sweep : Sweep
        The sweep.

    Raises
    ------
    ValueError
        If the folder holds another sweep.
    OSError
        If it cannot be written.
    """

    def __init__(self, folder: Path, sweep: Sweep) -> None:
        self._folder, self._sweep = folder, sweep
        (folder / "tasks").mkdir(parents=True, exist_ok=True)
        spec = folder / "spec.json"
        if spec.exists() and _read_or_none(spec) != sweep.spec:
            raise ValueError(
                f"{folder} holds the results of another sweep (see {spec}); choose another folder."
            )
        write_whole(spec, json.dumps(sweep.spec, indent=2).encode())
        read = ((task, self._read(task)) for task in sweep.tasks)
        self._found = {task.key: found for task, found in read if found is not None}

    def _read(self, task: Task) -> Result | None:
        """Return what a file says a task has found; None if there is none, or it is damaged."""
        found = _read_or_none(self._path(task))
        return found if _is_result(found, task) else None

    def _results(self) -> Iterator[tuple[Task, Result | None]]:
        return ((task, self._found.get(task.key)) for task in self._sweep.tasks)

    def to_do(self) -> list[Task]:
        """Return the tasks without scores: those not run, and those that failed."""
        return [task for task, found in self._results() if found is None or "error" in found]

    def write(self, result: Result) -> None:
        """Write what a task has found."""
        task = Task.from_dict(result["task"])
        write_whole(self._path(task), json.dumps(result, indent=2).encode())
        self._found[task.key] = result  # known once it is safe

    def rows(self) -> list[dict[str, Any]]:
        """Return the table: what is varied, seed, scores or error, and how it went."""
        return [
            _row(self._sweep, task, found) for task, found in self._results() if found is not None
        ]

    def write_table(self) -> list[dict[str, Any]]:
        """Write `results.csv` and `results.json`; return the rows."""
        rows = self.rows()
        text = io.StringIO()
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(self._folder / "results.csv", text.getvalue().encode())
        write_whole(self._folder / "results.json", json.dumps(rows, indent=2).encode())
        return rows

    def _path(self, task: Task) -> Path:
        return self._folder / "tasks" / f"{task.key}.json"


def _read_or_none(path: Path) -> Any:
    """Return the JSON in a file; None if there is none, or it is damaged."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def _is_result(found: Any, task: Task) -> bool:
    """Whether this is what `run_sweep` writes of a task: scores or an error, and how it went."""
    if not isinstance(found, dict) or found.get("task") != task.as_dict():
        return False
    scores = found.get("scores", {})
    texts = (found.get(name) for name in ("error", "host", "date"))
    numbers = [found.get(name) for name in ("elapsed_s", "samples_per_s")]
    return (
        isinstance(scores, dict)
        and ("error" in found or bool(scores))
        and all(text is None or isinstance(text, str) for text in texts)
        and all(isinstance(score, float) for score in scores.values())
        and all(number is None or isinstance(number, float) for number in numbers)
    )


def _row(sweep: Sweep, task: Task, found: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {name: task.params[name] for name in sweep.varied}
    row["seed"] = task.seed
    row |= found.get("scores", {})
    row |= {name: found[name] for name in ("error", "elapsed_s", "samples_per_s") if name in found}
    return row | {name: found.get(name) for name in ("host", "date")}
