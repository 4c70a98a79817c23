"""The commands `verify` and `demo`."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

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
from softhebb_spiking.data import load_dataset
from softhebb_spiking.serialization import check_writable_file
from softhebb_spiking.spiking import SpikingSoftHebb
from softhebb_spiking.training_commands import facts, readable
from softhebb_spiking.validation import check_integer
from softhebb_spiking.verification import ladder
from softhebb_spiking.verification.check import brief

CHECK_FAILED = 1


def verify(
    dataset: DatasetOption = "digits",
    rungs: Annotated[
        str, typer.Option(help="comma-separated, of event,lava,brian2,fixed")
    ] = ",".join(ladder.RUNGS),
    output: Annotated[Path, typer.Option(help="folder of the report")] = Path("verify-report"),
    seed: SeedOption = 0,
    quick: Annotated[bool, typer.Option("--quick", help="fewer samples")] = False,
    as_json: JsonOption = False,
    data_root: RootOption = None,
) -> int:
    """Prove on data that spikes do SoftHebb's Bayesian updates; exit 1 if a check fails."""
    from softhebb_spiking.verification.report import JSON_NAME, check_writable, write_report

    started = time.monotonic()
    chosen = split_names(rungs)
    ladder.backend_simulators(chosen)
    check_integer("seed", seed, 0, ladder.MAX_SEED)
    data = load_dataset(dataset, root=data_root)
    check_writable(output)
    with progress_bar() as progress:
        task = progress.add_task("preparing", total=None)
        found = ladder.verify(
            data,
            rungs=chosen,
            seed=seed,
            quick=quick,
            progress=lambda what, done, total: progress.update(
                task, description=what, completed=done, total=total
            ),
        )
        progress.update(task, description="writing the report")
        report = write_report(
            found,
            output,
            elapsed_s=time.monotonic() - started,
            command=f"softhebb-spiking {shlex.join(sys.argv[1:])}",
        )
    if as_json:
        print_json(json.loads(report.with_name(JSON_NAME).read_text(encoding="utf-8")))
    else:
        _print_checks(found)
        console.print(f"report: {report.resolve()}", soft_wrap=True)
    return 0 if found.passed else CHECK_FAILED


def _print_checks(found: ladder.Verification) -> None:
    for check in found.checks:
        verdict = "passed" if check.passed else "FAILED"
        console.print(
            f"{verdict}  {check.name} ({', '.join(check.rungs)}): {brief(check.value)}, "
            f"must be {check.bound} ({check.bound_from})",
            markup=False,
            soft_wrap=True,
        )
    n_passed = sum(check.passed for check in found.checks)
    console.print(f"{n_passed} of {len(found.checks)} checks passed")
    if not any(check.name.startswith("clamped/") for check in found.checks):
        console.print("not checked: clamped (it compares two rungs; name at least two)")
    for check in found.checks:
        if not check.passed:
            console.print(
                f"FAILED {check.name} ({', '.join(check.rungs)}): {check.statistic} is "
                f"{brief(check.value)}, must be {check.bound} ({check.bound_from})",
                markup=False,
                soft_wrap=True,
            )


def demo(
    output: Annotated[Path, typer.Option(help="picture to write (.png or .svg)")] = Path(
        "softhebb-demo.png"
    ),
    as_json: JsonOption = False,
    seed: SeedOption = 0,
) -> None:
    """Train a spiking network on digits in seconds and draw what it learned and how it spikes."""
    from softhebb_spiking.plots import demo_figure

    check_writable_file(output)
    data = load_dataset("digits")
    # With 64 inputs the drive is noisy: more input spikes, slower PSPs, neurons to spare.
    model = SpikingSoftHebb(
        20,
        max_probability=0.5,
        psp_tau_ms=20.0,
        settle_steps=40,
        population_size=128,
        random_state=seed,
    ).fit(data.X_train)
    found = facts(model, data, ["units"])
    demo_figure(model, data).savefig(output)
    if as_json:
        print_json({**found, "picture": str(output.resolve())})
        return
    for name, value in readable(found).items():
        console.print(f"{name}: {value}")
    console.print(f"picture: {output.resolve()}", soft_wrap=True)
