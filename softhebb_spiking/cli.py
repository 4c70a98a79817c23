"""The command line: `softhebb-spiking verify | demo | train | evaluate | bench`."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from softhebb_spiking import bench as benchmarks
from softhebb_spiking.data import DATASETS, Dataset, load_dataset
from softhebb_spiking.evaluation import UnitLabelClassifier
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.serialization import check_writable_file, load_model
from softhebb_spiking.spiking import BACKENDS, SpikingSoftHebb
from softhebb_spiking.validation import check_choice, check_integer
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

BENCHMARKS = ("accuracy", "speed", "updates", "bits", "lava", "budget")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="SoftHebb in spikes: verify, train and evaluate soft winner-take-all networks.",
)
console = Console(highlight=False)

DatasetOption = Annotated[str, typer.Option("--dataset", help=f"one of {', '.join(DATASETS)}")]
RootOption = Annotated[
    Path | None, typer.Option("--data-root", help="folder with IDX files; else $SOFTHEBB_DATA")
]
SeedOption = Annotated[int, typer.Option("--seed", help="key of everything random")]


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
    chosen = tuple(name.strip() for name in rungs.split(","))
    backend_simulators(chosen)
    check_integer("seed", seed, 0, MAX_SEED)
    data = load_dataset(dataset, root=data_root)
    check_writable(output)
    with _progress() as progress:
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


@app.command()
def train(
    output: Annotated[Path, typer.Option(help="model file to write (safetensors)")],
    dataset: DatasetOption = "digits",
    rung: Annotated[str, typer.Option(help="rate, event, lava or brian2")] = "event",
    units: Annotated[int, typer.Option(help="units of the network")] = 100,
    samples: Annotated[int | None, typer.Option(help="training samples; default all")] = None,
    temperature: Annotated[float, typer.Option(help="softmax temperature")] = 0.02,
    learning_rate: Annotated[float, typer.Option(help="per sample, falls linearly to 0")] = 0.1,
    prior_learning_rate: Annotated[float, typer.Option(help="of the log prior")] = 0.0,
    arithmetic: Annotated[str, typer.Option(help="float, or fixed: a chip's integers")] = "float",
    rounding: Annotated[str, typer.Option(help="in fixed: per_synapse or shared")] = "per_synapse",
    seed: SeedOption = 0,
    data_root: RootOption = None,
) -> None:
    """Train a network without labels and save it."""
    check_choice("rung", rung, ("rate", *BACKENDS))
    common: dict[str, Any] = {
        "temperature": temperature,
        "learning_rate": learning_rate,
        "prior_learning_rate": prior_learning_rate,
        "random_state": seed,
    }
    model: Any
    if rung == "rate":
        if arithmetic != "float":
            raise ValueError(
                "the rate rung is floating point; --arithmetic fixed needs event or lava."
            )
        model = SoftHebb(units, **common)
    else:
        common |= {"arithmetic": arithmetic, "rounding": rounding}
        model = SpikingSoftHebb(units, backend=rung, **common)
    check_writable_file(output)
    data = load_dataset(dataset, root=data_root)
    X = data.X_train[: None if samples is None else check_integer("samples", samples, 1)]
    started = time.monotonic()
    with console.status(f"training on {len(X)} samples of {dataset}"):
        model.fit(X)
    elapsed = time.monotonic() - started
    model.save(output)
    console.print(f"{len(X)} samples in {elapsed:.1f} s, {len(X) / elapsed:.0f} per second")
    console.print(f"model: {output.resolve()}", soft_wrap=True)


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="model file")],
    dataset: DatasetOption = "digits",
    data_root: RootOption = None,
) -> None:
    """Print what a trained network knows: accuracy, norms, priors, cross-entropy."""
    estimator = load_model(model)
    data = load_dataset(dataset, root=data_root)
    with console.status("reading labels off the units"):
        facts = _facts(estimator, data)
    table = Table(show_header=False)
    for name, value in facts.items():
        table.add_row(name, value)
    console.print(table)


def _facts(estimator: Any, data: Dataset) -> dict[str, str]:
    reader = UnitLabelClassifier(estimator)
    posterior = estimator.predict_proba(data.X_train)
    reader.fit_posterior(posterior, data.y_train)
    accuracy = float((reader.predict(data.X_test) == data.y_test).mean())
    norms = np.linalg.norm(estimator.weights_, axis=1)
    prior = np.exp(estimator.log_prior_)
    distance = 0.5 * float(np.abs(prior - posterior.mean(axis=0)).sum())
    return {
        "test accuracy, units named by labels": f"{100 * accuracy:.2f} %",
        "norms of the weights": f"{norms.min():.4f} to {norms.max():.4f}",
        "sum of the priors": f"{prior.sum():.4f}",
        "TV of priors and mean posterior": f"{distance:.4f}",
        "test cross-entropy": f"{-estimator.score(data.X_test):.3f} nats",
    }


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
    for name, value in _facts(model, data).items():
        console.print(f"{name}: {value}")
    demo_figure(model, data).savefig(output)
    console.print(f"picture: {output.resolve()}", soft_wrap=True)


@app.command()
def bench(
    what: Annotated[str, typer.Argument(help=f"one of {', '.join(BENCHMARKS)}")],
    dataset: DatasetOption = "mnist",
    units: Annotated[int, typer.Option(help="units of the network")] = 100,
    seeds: Annotated[int, typer.Option(help="how many seeds, from 0")] = 3,
    data_root: RootOption = None,
) -> None:
    """Measure accuracy, speed, Lava against event in integers, or what each rounding costs."""
    check_choice("what", what, BENCHMARKS)
    measure = getattr(benchmarks, what)
    check_integer("units", units, 1)
    check_integer("seeds", seeds, 1)
    data = load_dataset(dataset, root=data_root)
    console.print(benchmarks.conditions())
    for line in measure(data, units, seeds):
        console.print(line, soft_wrap=True, markup=False)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )


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
