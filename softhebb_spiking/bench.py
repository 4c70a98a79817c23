"""The numbers in the README: accuracy over seeds, speed, and what integers cost."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np

from softhebb_spiking._timing import median_seconds, seconds
from softhebb_spiking.data import Dataset
from softhebb_spiking.evaluation import UnitLabelClassifier
from softhebb_spiking.params import INHIBITIONS, ROUNDINGS, FixedPointParams
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.spiking import ARITHMETICS, SpikingSoftHebb
from softhebb_spiking.validation import FloatArray

_N_TIMED = 2000
_LOG_STEPS, _EPOCHS = (-9, -7, -5), (1, 10)
_N_LAVA_SAMPLES, _N_EVENT_SAMPLES = 6, 120  # of which the first are Lava's


def conditions() -> str:
    """Return what the numbers depend on: Python, numpy, cores and load."""
    load = os.getloadavg()[0]
    return (
        f"Python {platform.python_version()}, numpy {np.__version__}, "
        f"{os.cpu_count()} cores, load {load:.1f}"
    )


def accuracy(data: Dataset, n_units: int, n_seeds: int) -> Iterator[str]:
    """Train rate and event rung, in floating point and in integers, on all samples once.

    Parameters
    ----------
    data : Dataset
        The data.
    n_units : int
        Units.
    n_seeds : int
        Seeds 0 … n_seeds − 1.

    Yields
    ------
    str
        One line for each network, then the means.
    """
    found: dict[str, list[float]] = {}
    for seed in range(n_seeds):
        for name, model in _networks(n_units, seed).items():
            model.fit(data.X_train)
            reader = UnitLabelClassifier(model).fit(data.X_train, data.y_train)
            share = float((reader.predict(data.X_test) == data.y_test).mean())
            found.setdefault(name, []).append(share)
            norms = np.linalg.norm(model.weights_, axis=1)
            yield (
                f"{name}, K={n_units}, seed {seed}: {100 * share:.2f} % "
                f"(norms {norms.min():.4f} to {norms.max():.4f})"
            )
    for name, shares in found.items():
        yield f"{name}, K={n_units}, mean of {n_seeds} seeds: {100 * np.mean(shares):.2f} %"


def _networks(n_units: int, seed: int) -> dict[str, Any]:
    networks: dict[str, Any] = {
        "rate": SoftHebb(n_units, random_state=seed),
        "event, feedback": SpikingSoftHebb(n_units, random_state=seed),
    }
    for rounding in ROUNDINGS:
        networks[f"integers, {rounding}"] = SpikingSoftHebb(
            n_units, arithmetic="fixed", rounding=rounding, random_state=seed
        )
    return networks


def speed(data: Dataset, n_units: int, n_seeds: int) -> Iterator[str]:
    """Time the event rung with default parameters, after a warm-up.

    Parameters
    ----------
    data : Dataset
        The data.
    n_units : int
        Units.
    n_seeds : int
        Ignored: seeds do not change the work.

    Yields
    ------
    str
        One line per kind of inhibition: median samples per second, learning and not, with the
        spike rates that say how much work it was.
    """
    X = data.X_train[:_N_TIMED]
    for arithmetic, inhibition in product(ARITHMETICS, INHIBITIONS):
        model = SpikingSoftHebb(
            n_units, arithmetic=arithmetic, inhibition=inhibition, random_state=0
        ).fit(X)
        learning = _median_rate(model.partial_fit, X)
        frozen = _median_rate(model.predict_proba, X)
        recording = model.record(X[:50])
        steps = 50 * recording.params.presentation_steps
        yield (
            f"event, {arithmetic}, {inhibition}, K={n_units}: {learning:.0f} samples/s learning, "
            f"{frozen:.0f} frozen ({len(recording.input_spikes) / steps:.1f} input and "
            f"{len(recording.output_spikes) / steps:.1f} output spikes per step, "
            f"{recording.params.presentation_steps} steps per sample)"
        )


def _median_rate(work: Callable[[FloatArray], Any], X: FloatArray) -> float:
    return len(X) / median_seconds(lambda: work(X))


def lava(data: Dataset, n_units: int, n_seeds: int) -> Iterator[str]:
    """Run the same samples in integers, learning, in Lava and on the event rung; compare speed.

    Parameters
    ----------
    data : Dataset
        The data.
    n_units : int
        Units.
    n_seeds : int
        Seeds, one run of each; the ratio is taken run by run.

    Yields
    ------
    str
        Two lines for each kind of rounding and seed, then the median ratio of steps per second.
    """
    from softhebb_spiking.backends import event
    from softhebb_spiking.backends import lava as lava_backend

    X = data.X_train[:_N_LAVA_SAMPLES]
    for rounding in ROUNDINGS:
        ratios = []
        for seed in range(n_seeds):
            model = SpikingSoftHebb(
                n_units, arithmetic="fixed", rounding=rounding, random_state=seed
            ).fit(data.X_train[:n_units])
            run = model.make_run(X, learn=True)
            steps = len(X) * (run.network.presentation_steps + 1)
            longer = model.make_run(data.X_train[:_N_EVENT_SAMPLES], learn=True)
            longer_steps = len(longer.samples) * (run.network.presentation_steps + 1)
            # Lava's start, a few seconds, is left out: it is that of a run of one sample.
            short = model.make_run(X[:1], learn=True)
            started_s = seconds(lambda: lava_backend.simulate(short))  # noqa: B023
            results: list[Any] = []
            whole_s = seconds(lambda: results.append(lava_backend.simulate(run)))  # noqa: B023
            in_lava = (steps - steps // len(X)) / (whole_s - started_s)
            own = event.simulate(run)  # compiles too
            event_s = median_seconds(lambda: event.simulate(longer))  # noqa: B023
            on_event = longer_steps / event_s
            same = np.array_equal(results[0].weights, own.weights)
            ratios.append(on_event / in_lava)
            yield (
                f"integers, {rounding}, K={n_units}, seed {seed}, learning: Lava "
                f"{in_lava:.1f} steps/s, event {on_event:.0f} steps/s, ratio "
                f"{ratios[-1]:.0f}, weights {'the same' if same else 'DIFFERENT'}"
            )
        yield f"integers, {rounding}, K={n_units}: median ratio {np.median(ratios):.0f}"


def bits(data: Dataset, n_units: int, n_seeds: int) -> Iterator[str]:
    """Compare all integers of Lava and of the event rung, free running and learning.

    Parameters
    ----------
    data : Dataset
        The data.
    n_units : int
        Units of the last comparison: 20 samples, default parameters.
    n_seeds : int
        Parameter sets drawn at random before that, at least 2000 steps each.

    Yields
    ------
    str
        One line for each comparison, with the count of numbers that differ.
    """
    from softhebb_spiking.backends import event
    from softhebb_spiking.backends import lava as lava_backend
    from softhebb_spiking.verification.integers import count_differences

    for rounding in ROUNDINGS:
        for seed in [*range(n_seeds), None]:
            drawn: dict[str, Any] = {"n_units": n_units} if seed is None else _drawn(seed)
            model = SpikingSoftHebb(
                **drawn, arithmetic="fixed", rounding=rounding, random_state=seed or 0
            ).fit(data.X_train[:200])
            steps = model.settle_steps + model.n_steps + 1
            n_samples = 20 if seed is None else -(-2000 // steps)
            run = model.make_run(
                data.X_train[:n_samples], learn=True, probes=("drive", "inhibition", "psp")
            )
            differ = count_differences(event.simulate(run), lava_backend.simulate(run))
            yield (
                f"{rounding}, {n_samples * steps} steps, {n_samples} samples, {drawn}: "
                f"{differ} numbers differ"
            )


def _drawn(seed: int) -> dict[str, Any]:
    """Return parameters drawn at random, learning on."""
    draw = np.random.default_rng(seed)
    epoch = int(draw.choice([1, 1, 2, 5]))
    settle_steps, n_steps = int(draw.integers(5, 40)), int(draw.integers(20, 100))
    n_steps += -(settle_steps + n_steps + 1) % epoch
    return {
        "n_units": int(draw.integers(2, 60)),
        "inhibition": str(draw.choice(INHIBITIONS)),
        "temperature": float(draw.uniform(0.008, 0.1)),
        "learning_rate": float(draw.uniform(0.02, 0.5)),
        "prior_learning_rate": float(draw.uniform(0.001, 0.05)),
        "population_size": int(draw.integers(12, 150)),
        "total_rate": float(draw.uniform(1.0, 11.0)),
        "inhibition_gain": float(draw.uniform(0.3, 1.2)),
        "settle_steps": settle_steps,
        "n_steps": n_steps,
        "max_probability": float(draw.uniform(0.1, 0.8)),
        "psp_tau_ms": float(draw.uniform(4.0, 20.0)),
        "fixed_options": {"learning_epoch": epoch, "table_bits": int(draw.integers(4, 9))},
    }


def budget(data: Dataset, n_units: int, n_seeds: int) -> Iterator[str]:
    """Measure the error budget on all training samples.

    Parameters
    ----------
    data : Dataset
        The data.
    n_units : int
        Units.
    n_seeds : int
        Seeds 0 … n_seeds − 1.

    Yields
    ------
    str
        One line for each row and seed.
    """
    from softhebb_spiking.verification.budget import Task, error_budget

    for seed in range(n_seeds):
        task = Task.prepare(
            data,
            n_units=n_units,
            n_train=len(data.X_train),
            n_posterior=500,
            n_repeats=100,
            seed=seed,
            fixed=FixedPointParams(),
        )
        for row in error_budget(task):
            yield (
                f"seed {seed}, {row.name}: TV {row.total_variation:.4f}, slope {row.slope:.3f} ± "
                f"{row.slope_error:.3f}, "
                f"cosine {row.cosine:.4f}, accuracy {100 * row.accuracy:.2f} %"
            )


def updates(data: Dataset, n_units: int, n_seeds: int) -> Iterator[str]:
    """Learn in integers with updates of several sizes, in every step and in epochs.

    Parameters
    ----------
    data : Dataset
        The data.
    n_units : int
        Units.
    n_seeds : int
        Seeds 0 … n_seeds − 1.

    Yields
    ------
    str
        One line for each network: accuracy of its weights, read by softmax, and their norms.
    """
    for rounding, log_step, epoch, seed in product(ROUNDINGS, _LOG_STEPS, _EPOCHS, range(n_seeds)):
        model = SpikingSoftHebb(
            n_units,
            arithmetic="fixed",
            rounding=rounding,
            n_steps=49,  # 70 steps with settling and reset, which the epochs divide
            fixed_options={"learning_step": 2.0**log_step, "learning_epoch": epoch},
            random_state=seed,
        ).fit(data.X_train)
        norms = np.linalg.norm(model.weights_, axis=1)
        reader = SoftHebb.from_weights(model.weights_ / norms[:, np.newaxis])
        named = UnitLabelClassifier(reader).fit(data.X_train, data.y_train)
        share = float((named.predict(data.X_test) == data.y_test).mean())
        yield (
            f"{rounding}, η' = 2^{log_step}, every {epoch} steps, K={n_units}, seed {seed}: "
            f"{100 * share:.2f} % (norms {norms.min():.3f} to {norms.max():.3f})"
        )
