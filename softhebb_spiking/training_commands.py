"""The commands `train` and `evaluate`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from softhebb_spiking._options import (
    DatasetOption,
    JsonOption,
    ReadSeedOption,
    RootOption,
    SeedOption,
    console,
    print_json,
    progress_bar,
    split_names,
)
from softhebb_spiking.checkpoint import Checkpoint
from softhebb_spiking.data import Dataset, load_dataset
from softhebb_spiking.evaluation import READOUTS, LinearReadout, UnitLabelClassifier
from softhebb_spiking.params import INHIBITIONS
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.serialization import check_writable_file, load_model
from softhebb_spiking.spiking import BACKENDS, SpikingSoftHebb
from softhebb_spiking.training import Callback, Progress
from softhebb_spiking.validation import check_choice, check_integer

_DEFAULTS = SpikingSoftHebb()


def train(
    output: Annotated[Path, typer.Option(help="model file to write (safetensors)")],
    dataset: DatasetOption = "digits",
    rung: Annotated[str, typer.Option(help="rate, event, lava or brian2")] = "event",
    units: Annotated[int, typer.Option(help="units of the network")] = _DEFAULTS.n_units,
    samples: Annotated[int | None, typer.Option(help="training samples; default all")] = None,
    epochs: Annotated[int, typer.Option(help="passes over them")] = _DEFAULTS.n_epochs,
    temperature: Annotated[float, typer.Option(help="softmax temperature")] = _DEFAULTS.temperature,
    learning_rate: Annotated[
        float, typer.Option(help="per sample, falls linearly to 0")
    ] = _DEFAULTS.learning_rate,
    prior_learning_rate: Annotated[
        float, typer.Option(help="of the log prior")
    ] = _DEFAULTS.prior_learning_rate,
    inhibition: Annotated[
        str, typer.Option(help=f"one of {', '.join(INHIBITIONS)}")
    ] = _DEFAULTS.inhibition,
    n_steps: Annotated[int, typer.Option(help="steps that are read")] = _DEFAULTS.n_steps,
    settle_steps: Annotated[int, typer.Option(help="steps before them")] = _DEFAULTS.settle_steps,
    max_probability: Annotated[
        float, typer.Option(help="of a spike per step, of the strongest input")
    ] = _DEFAULTS.max_probability,
    psp_tau_ms: Annotated[float, typer.Option(help="of the PSP, ms")] = _DEFAULTS.psp_tau_ms,
    total_rate: Annotated[
        float, typer.Option(help="output spikes per step of the layer")
    ] = _DEFAULTS.total_rate,
    population_size: Annotated[
        int, typer.Option(help="neurons per unit")
    ] = _DEFAULTS.population_size,
    arithmetic: Annotated[str, typer.Option(help="float, or fixed: a chip's integers")] = "float",
    rounding: Annotated[str, typer.Option(help="in fixed: per_synapse or shared")] = "per_synapse",
    threads: Annotated[int, typer.Option(help="of the event rung, for large networks")] = 1,
    checkpoint: Annotated[
        Path | None, typer.Option(help="file that training can go on from")
    ] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option(help="samples between checkpoints, rounded up to chunks")
    ] = None,
    checkpoint_seconds: Annotated[
        float | None, typer.Option(help="seconds between checkpoints; default 60")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on from the checkpoint, if there is one")
    ] = False,
    as_json: JsonOption = False,
    seed: SeedOption = 0,
    data_root: RootOption = None,
) -> None:
    """Train a network without labels and save it.

    A training that was killed goes on, and ends with the same bits, with the same command and
    --resume, if it was begun with --checkpoint FILE.
    """
    check_choice("rung", rung, ("rate", *BACKENDS))
    common: dict[str, Any] = {
        "temperature": temperature,
        "learning_rate": learning_rate,
        "prior_learning_rate": prior_learning_rate,
        "n_epochs": epochs,
        "random_state": seed,
    }
    spiking: dict[str, Any] = {
        "rounding": rounding,
        "inhibition": inhibition,
        "n_steps": n_steps,
        "settle_steps": settle_steps,
        "max_probability": max_probability,
        "psp_tau_ms": psp_tau_ms,
        "total_rate": total_rate,
        "population_size": population_size,
    }
    if rung != "event":
        _refuse_without_effect(rung, {"threads": threads})
    model: Any
    if rung == "rate":
        if arithmetic != "float":
            raise ValueError(
                "the rate rung is floating point; --arithmetic fixed needs event or lava."
            )
        _refuse_without_effect(rung, spiking)
        model = SoftHebb(units, **common)
    else:
        model = SpikingSoftHebb(
            units,
            backend=rung,
            arithmetic=arithmetic,
            **spiking,
            backend_options={"n_threads": threads} if rung == "event" and threads != 1 else None,
            **common,
        )
    check_writable_file(output)
    options = _checkpoint(checkpoint, checkpoint_every, checkpoint_seconds, resume)
    data = load_dataset(dataset, root=data_root)
    X = data.X_train[: None if samples is None else check_integer("samples", samples, 1)]
    started = time.perf_counter()
    with _training_bar(len(X) * epochs) as callback:
        model.fit(X, checkpoint=options, callback=callback)
    # A clock may stand still while a training that had ended is read back.
    elapsed = max(time.perf_counter() - started, 1e-9)
    model.save(output)
    shown = len(X) * epochs
    if as_json:
        written = {"model": str(output.resolve()), "samples": shown}
        print_json({**written, "elapsed_s": elapsed, "samples_per_s": shown / elapsed})
        return
    console.print(f"{shown} samples in {elapsed:.1f} s, {shown / elapsed:.0f} per second")
    console.print(f"model: {output.resolve()}", soft_wrap=True)


def _refuse_without_effect(rung: str, given: dict[str, Any]) -> None:
    """Raise if an option that the rung does not have was given another value than its default."""
    defaults = {**_DEFAULTS.get_params(), "threads": 1}
    named = [
        f"--{name.replace('_', '-')}" for name, value in given.items() if value != defaults[name]
    ]
    if named:
        raise ValueError(f"the {rung} rung has no {', '.join(named)}; leave that out.")


def _checkpoint(
    path: Path | None, every_samples: int | None, interval_s: float | None, resume: bool
) -> Checkpoint | None:
    if path is None:
        if every_samples is not None or interval_s is not None or resume:
            raise ValueError(
                "--checkpoint-every, --checkpoint-seconds and --resume need --checkpoint FILE."
            )
        return None
    return Checkpoint(path, every_samples=every_samples, interval_s=interval_s, resume=resume)


@contextmanager
def _training_bar(total: int) -> Iterator[Callback]:
    """Give a callback that draws progress."""
    with progress_bar(
        TextColumn("{task.fields[pace]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ) as bar:
        task = bar.add_task("training", total=total, pace="")

        def show(progress: Progress) -> None:
            pace = f"{progress.images_per_s:.0f} images/s"
            if progress.spikes_per_image is not None:
                pace += f", {progress.spikes_per_image:.0f} spikes/image"
            bar.update(task, completed=progress.samples_done, pace=pace)

        yield show


def evaluate(
    model: Annotated[Path, typer.Argument(help="model file")],
    dataset: DatasetOption = "digits",
    readout: Annotated[
        str, typer.Option(help="how classes are read: units, linear, or units,linear")
    ] = "units",
    as_json: JsonOption = False,
    seed: ReadSeedOption = None,
    data_root: RootOption = None,
) -> None:
    """Print what a trained network knows: accuracy, norms, priors, cross-entropy."""
    chosen = [check_choice("readout", name, tuple(READOUTS)) for name in split_names(readout)]
    estimator = with_seed(load_model(model), seed)
    data = load_dataset(dataset, root=data_root)
    with Console(stderr=True).status("reading labels off the units"):
        found = facts(estimator, data, chosen)
    if as_json:
        print_json(found)
        return
    table = Table(show_header=False)
    for name, value in readable(found).items():
        table.add_row(name, value)
    console.print(table)


def with_seed(estimator: Any, seed: int | None) -> Any:
    """Return the estimator, reading with spikes of another key if one is given."""
    if seed is not None:
        estimator.set_params(random_state=check_integer("seed", seed, 0))
    return estimator


def facts(estimator: Any, data: Dataset, readouts: list[str]) -> dict[str, float]:
    """Return what a trained network knows of a data set; the test samples are read once.

    Parameters
    ----------
    estimator : SoftHebb or SpikingSoftHebb
        A trained network.
    data : Dataset
        Labels of its training samples name units or train the linear readout.
    readouts : list of {"units", "linear"}
        How classes are read.

    Returns
    -------
    dict of str to float
        Accuracies in [0, 1], norms, priors, cross-entropy in nats.
    """
    found: dict[str, float] = {}
    posterior = estimator.predict_proba(data.X_train)
    if "units" in readouts:
        reader = UnitLabelClassifier(estimator).fit_posterior(posterior, data.y_train)
        found["accuracy_units"] = float((reader.predict(data.X_test) == data.y_test).mean())
    if "linear" in readouts:
        linear = LinearReadout(estimator).fit(data.X_train, data.y_train)
        found["accuracy_linear"] = float((linear.predict(data.X_test) == data.y_test).mean())
    norms = np.linalg.norm(estimator.weights_, axis=1)
    prior = np.exp(estimator.log_prior_)
    return found | {
        "norm_smallest": float(norms.min()),
        "norm_largest": float(norms.max()),
        "prior_sum": float(prior.sum()),
        "prior_distance": 0.5 * float(np.abs(prior - posterior.mean(axis=0)).sum()),
        "cross_entropy_nats": -estimator.score(data.X_test),
    }


def readable(found: dict[str, float]) -> dict[str, str]:
    """Return the facts as they are printed."""
    lines = {}
    if "accuracy_units" in found:
        lines["test accuracy, units named by labels"] = f"{100 * found['accuracy_units']:.2f} %"
    if "accuracy_linear" in found:
        lines["test accuracy, linear readout"] = f"{100 * found['accuracy_linear']:.2f} %"
    return lines | {
        "norms of the weights": f"{found['norm_smallest']:.4f} to {found['norm_largest']:.4f}",
        "sum of the priors": f"{found['prior_sum']:.4f}",
        "TV of priors and mean posterior": f"{found['prior_distance']:.4f}",
        "test cross-entropy": f"{found['cross_entropy_nats']:.3f} nats",
    }
