"""The command `sweep`."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from softhebb_spiking._options import JsonOption, RootOption, console, print_json, progress_bar
from softhebb_spiking.validation import check_integer

TASK_FAILED = 1


def sweep(
    spec: Annotated[Path, typer.Argument(help="TOML file; see docs/sweep.md")],
    output: Annotated[Path, typer.Option(help="folder of the results")] = Path("sweep-results"),
    jobs: Annotated[int, typer.Option(help="processes on this machine")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="address of a Dask scheduler, e.g. tcp://10.0.0.1:8786")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="list tasks, run none")] = False,
    as_json: JsonOption = False,
    data_root: RootOption = None,
) -> int:
    """Train over a grid of parameters and the seeds in the file; exit 1 if a task failed."""
    from softhebb_spiking.sweep import read_spec, run_sweep

    check_integer("jobs", jobs, 1)
    found = read_spec(spec)
    if dry_run and as_json:
        print_json([task.as_dict() for task in found.tasks])
        return 0
    if dry_run:
        for task in found.tasks:
            console.print(json.dumps(task.as_dict()), soft_wrap=True, markup=False)
        return 0
    with progress_bar() as progress:
        bar = progress.add_task("tasks", total=len(found.tasks))
        rows = run_sweep(
            found,
            output,
            n_jobs=jobs,
            scheduler=scheduler,
            data_root=data_root,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    if as_json:
        print_json(rows)
    else:
        wide = Console(highlight=False, width=max(console.width, 120))
        wide.print(summary(rows, found.varied, found.tasks[0].readouts))
        console.print(f"results: {output.resolve() / 'results.csv'}", soft_wrap=True)
    errors = Console(stderr=True)
    for row in rows:
        if "error" in row:
            place = ", ".join(f"{name}={row[name]}" for name in (*found.varied, "seed"))
            errors.print(f"failed: {place}: {row['error']}", soft_wrap=True, markup=False)
    return TASK_FAILED if any("error" in row for row in rows) else 0


def summary(
    rows: list[dict[str, Any]], varied: tuple[str, ...], readouts: tuple[str, ...]
) -> Table:
    """Return a table of means and standard deviations over seeds, the best first."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[tuple(str(row[name]) for name in varied)].append(row)

    def scores(of_group: list[dict[str, Any]], readout: str) -> list[float]:
        return [row[readout] for row in of_group if readout in row]

    table = Table(*varied, "seeds", *readouts, "samples/s")
    ordered = sorted(
        groups.items(), key=lambda item: mean(scores(item[1], readouts[0]) or [0.0]), reverse=True
    )
    for values, of_group in ordered:
        cells = [_percent(scores(of_group, readout)) for readout in readouts]
        paces = [row["samples_per_s"] for row in of_group if "samples_per_s" in row]
        pace = f"{mean(paces):.0f}" if paces else "–"
        table.add_row(*values, str(len(of_group)), *cells, pace)
    return table


def _percent(scores: list[float]) -> str:
    if not scores:
        return "failed"
    spread = f" ± {100 * stdev(scores):.2f}" if len(scores) > 1 else ""
    return f"{100 * mean(scores):.2f}{spread} %"
