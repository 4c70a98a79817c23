"""The command line: `softhebb-spiking verify | demo | train | plan | ...`."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from softhebb_spiking._options import (
    DatasetOption,
    RootOption,
    SeedOption,
    console,
    progress_bar,
    split_names,
)
from softhebb_spiking.bench_command import bench
from softhebb_spiking.data import load_dataset
from softhebb_spiking.deployment_commands import (
    calibrate_command,
    export_command,
    import_command,
    plan,
    programs,
    quantise,
)
from softhebb_spiking.experiment_commands import experiment, insert_results
from softhebb_spiking.serialization import check_writable_file
from softhebb_spiking.spiking import SpikingSoftHebb
from softhebb_spiking.sweep_command import sweep
from softhebb_spiking.training_commands import evaluate, facts, readable, train
from softhebb_spiking.validation import check_integer
from softhebb_spiking.verification.check import brief
from softhebb_spiking.verification.ladder import (
    MAX_SEED,
    RUNGS,
    Verification,
    backend_simulators,
    verify,
)

CHECK_FAILED = 1
USAGE_ERROR = 2
INTERRUPTED = 130


app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="SoftHebb in spikes: verify, train, evaluate and deploy soft winner-take-all networks.",
)


def main() -> None:
    """Run the command line; user errors are one line on stderr and exit status 2."""
    status: int | None
    try:
        status = app(standalone_mode=False)
    except typer.TyperException as error:
        _fail(getattr(error, "format_message", error.__str__)())
    except (ValueError, TypeError, OSError, ImportError) as error:
        _fail(str(error))
    if status == INTERRUPTED:  # typer's own reading of Ctrl-C
        print("softhebb-spiking: interrupted", file=sys.stderr)  # noqa: T201
    sys.exit(status or 0)


def _fail(message: str) -> None:
    print(f"softhebb-spiking: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    sys.exit(USAGE_ERROR)


@app.command("verify")
def verify_command(
    dataset: DatasetOption = "digits",
    rungs: Annotated[
        str, typer.Option(help="comma-separated, of event,lava,brian2,fixed")
    ] = ",".join(RUNGS),
    output: Annotated[Path, typer.Option(help="folder of the report")] = Path("verify-report"),
    seed: SeedOption = 0,
    quick: Annotated[bool, typer.Option("--quick", help="fewer samples")] = False,
    data_root: RootOption = None,
) -> int:
    """Prove on data that spikes do SoftHebb's Bayesian updates; exit 1 if a check fails."""
    from softhebb_spiking.verification.report import check_writable, write_report

    started = time.monotonic()
    chosen = split_names(rungs)
    backend_simulators(chosen)
    check_integer("seed", seed, 0, MAX_SEED)
    data = load_dataset(dataset, root=data_root)
    check_writable(output)
    with progress_bar() as progress:
        task = progress.add_task("preparing", total=None)
        found = verify(
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
    _print_checks(found)
    console.print(f"report: {report.resolve()}", soft_wrap=True)
    return 0 if found.passed else CHECK_FAILED


app.command()(train)
app.command()(evaluate)
app.command()(sweep)
app.command()(bench)
app.command()(experiment)
app.command("insert-results")(insert_results)
app.command()(plan)
app.command("export")(export_command)
app.command("import")(import_command)
app.command()(quantise)
app.command()(programs)
app.command("calibrate")(calibrate_command)


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="picture to write (.png or .svg)")] = Path(
        "softhebb-demo.png"
    ),
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
    for name, value in readable(facts(model, data, ["units"])).items():
        console.print(f"{name}: {value}")
    demo_figure(model, data).savefig(output)
    console.print(f"picture: {output.resolve()}", soft_wrap=True)


def _print_checks(found: Verification) -> None:
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
