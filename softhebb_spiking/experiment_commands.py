"""The commands `experiment` and `insert-results`."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from softhebb_spiking._options import (
    DatasetOption,
    JsonOption,
    RootOption,
    SeedOption,
    console,
    print_json,
    progress_bar,
    split_names,
)
from softhebb_spiking.validation import check_integer

if TYPE_CHECKING:
    from softhebb_spiking.experiments import Findings

TASK_FAILED = 1


def experiment(
    name: Annotated[
        str,
        typer.Argument(
            help="cross-entropy, convergence, noise, adversarial, interpolation, soft-hard, or all"
        ),
    ],
    dataset: DatasetOption = "digits",
    rungs: Annotated[
        str, typer.Option(help="comma-separated, of rate,event,fixed,brian2,lava")
    ] = "rate,event,fixed",
    seeds: Annotated[int, typer.Option(help="how many")] = 5,
    seed: SeedOption = 0,
    jobs: Annotated[int, typer.Option(help="seeds at a time, in processes of their own")] = 2,
    output: Annotated[
        Path | None,
        typer.Option(help="folder of report and results; default experiments-DATASET"),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="small layers, few samples")] = False,
    as_json: JsonOption = False,
    data_root: RootOption = None,
) -> int:
    """Try the paper's claims on the ladder; exit 1 if an experiment failed.

    A run that was interrupted goes on with the same command: finished seeds and trained layers
    are kept. brian2 and lava learn from tens of images a second: try them with --quick.
    """
    from softhebb_spiking.experiments import Plan, experiments_named, run_experiments
    from softhebb_spiking.experiments.report import CLAIMS_JSON, check_writable, write_report

    started = time.monotonic()
    check_integer("seeds", seeds, 1)
    check_integer("seed", seed, 0)
    check_integer("jobs", jobs, 1)
    plan = Plan(
        experiments=tuple(experiments_named(name)),
        dataset=dataset,
        rungs=split_names(rungs),
        seeds=tuple(range(seed, seed + seeds)),
        quick=quick,
        data_root=None if data_root is None else str(data_root),
    )
    folder = output or Path(f"experiments-{dataset}{'-quick' if quick else ''}")
    check_writable(folder)
    with progress_bar() as progress:
        bar = progress.add_task("experiments", total=len(plan.experiments) * seeds)
        findings = run_experiments(
            plan,
            folder,
            n_jobs=jobs,
            progress=lambda last, done, total: progress.update(
                bar, description=f"done: {last}" if last else "experiments", completed=done
            ),
        )
        page = write_report(
            findings,
            folder,
            elapsed_s=time.monotonic() - started,
            command=f"softhebb-spiking {shlex.join(sys.argv[1:])}",
        )
    if as_json:
        print_json(json.loads(page.with_name(CLAIMS_JSON).read_text(encoding="utf-8")))
    else:
        _print_verdicts(findings)
        console.print(f"report: {page.resolve()}", soft_wrap=True)
    errors = Console(stderr=True)
    for one in findings.failed:
        errors.print(f"failed: {one.task.key}: {one.error}", soft_wrap=True, markup=False)
    return TASK_FAILED if findings.failed else 0


def _print_verdicts(findings: Findings) -> None:
    from softhebb_spiking.experiments.report import interval_text
    from softhebb_spiking.experiments.texts import CLAIMS

    table = Table("claim", "rung", "verdict", "what decides, with its interval of 95 %")
    for claim in findings.claims():
        table.add_row(
            f"{claim.number}. {CLAIMS[claim.number]}",
            claim.network,
            claim.verdict,
            "\n".join(f"{one.name}: {interval_text(one.as_dict())}" for one in claim.deciding),
        )
    Console(highlight=False, width=max(console.width, 140)).print(table)


def insert_results(
    results: Annotated[
        list[Path], typer.Argument(help="claims.json of `experiment`, one for each data set")
    ],
    into: Annotated[list[Path], typer.Option(help="Markdown file with marks; repeat for more")],
    check: Annotated[
        bool, typer.Option("--check", help="change nothing; exit 1 if a file would change")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Write the numbers of experiments into documents, between their marks."""
    from softhebb_spiking.experiments.insertion import insert

    changed = insert(results, into, write=not check)
    if as_json:
        print_json({"would_change" if check else "changed": [str(path) for path in changed]})
    else:
        for path in changed:
            console.print(f"{'would change' if check else 'changed'}: {path}", soft_wrap=True)
    return TASK_FAILED if check and changed else 0
