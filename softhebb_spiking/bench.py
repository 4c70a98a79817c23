"""The numbers in the README: accuracy over seeds, and speed of the event rung."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from softhebb_spiking.data import Dataset
from softhebb_spiking.evaluation import UnitLabelClassifier
from softhebb_spiking.params import INHIBITIONS
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.spiking import SpikingSoftHebb
from softhebb_spiking.validation import FloatArray

_N_TIMED = 2000
_N_RUNS = 5


def conditions() -> str:
    """Return what the numbers depend on: Python, numpy, cores and load."""
    load = os.getloadavg()[0]
    return (
        f"Python {platform.python_version()}, numpy {np.__version__}, "
        f"{os.cpu_count()} cores, load {load:.1f}"
    )


def accuracy(data: Dataset, n_units: int, n_seeds: int) -> Iterator[str]:
    """Train rate and event rung on all training samples once, seed by seed.

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
    return {
        "rate": SoftHebb(n_units, random_state=seed),
        "event, feedback": SpikingSoftHebb(n_units, random_state=seed),
    }


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
    for inhibition in INHIBITIONS:
        model = SpikingSoftHebb(n_units, inhibition=inhibition, random_state=0).fit(X)
        learning = _median_rate(model.partial_fit, X)
        frozen = _median_rate(model.predict_proba, X)
        recording = model.record(X[:50])
        steps = 50 * recording.params.presentation_steps
        yield (
            f"event, {inhibition}, K={n_units}: {learning:.0f} samples/s learning, {frozen:.0f} "
            f"frozen ({len(recording.input_spikes) / steps:.1f} input and "
            f"{len(recording.output_spikes) / steps:.1f} output spikes per step, "
            f"{recording.params.presentation_steps} steps per sample)"
        )


def _median_rate(work: Callable[[FloatArray], Any], X: FloatArray) -> float:
    seconds = []
    for _ in range(_N_RUNS):
        started = time.perf_counter()
        work(X)
        seconds.append(time.perf_counter() - started)
    return len(X) / float(np.median(seconds))
