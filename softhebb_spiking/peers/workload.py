"""The work that all peers do: images, rates, and weights to start from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking._timing import N_RUNS, seconds
from softhebb_spiking.data import ROOT_VARIABLE, load_dataset
from softhebb_spiking.encoding import draw_input_spikes, input_probabilities, psp_gain
from softhebb_spiking.spiking import SpikingSoftHebb
from softhebb_spiking.validation import FloatArray, unit_norm_samples

INPUT_RATE = 21.0  # spikes per step
N_STEPS = 100
EXACT_RATE = 0.2
_N_LEARNED = 2000
_SIDE = 28
_N_STROKES, _STROKE_STEPS = 3, 28


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is shown to a layer, and what the layer is.

    Attributes
    ----------
    n_units : int
        Units K.
    inhibition : {"exact", "feedback"}
        With 0.2 output spikes a step, or with the estimator's own rate.
    learn : bool
        Online plasticity.
    n_images : int
        Images of one timed run.
    seed : int
        Key of everything random.
    """

    n_units: int
    inhibition: str = "exact"
    learn: bool = True
    n_images: int = 100
    seed: int = 0

    def images(self) -> NDArray[np.uint8]:
        """Return the images, shape (n_images, 784)."""
        return images(self.n_images, self.seed)

    def model(self, **params: Any) -> SpikingSoftHebb:
        """Return an estimator that has learned: units that are still alike work otherwise."""
        X = images(_N_LEARNED, self.seed)
        rates = {"total_rate": EXACT_RATE} if self.inhibition == "exact" else {}
        params = {
            "inhibition": self.inhibition,
            "n_steps": N_STEPS,
            "settle_steps": 0,
            "max_probability": max_probability(X),
            "random_state": self.seed,
            **rates,
            **params,
        }
        return SpikingSoftHebb(self.n_units, **params).fit(X)


def fitting_images(per_run: Mapping[float, int], n_units: int) -> int:
    """Return how many images fit one timed run, from numbers by the largest K that they suit."""
    return next(n for size, n in per_run.items() if size >= n_units)


def images(n: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return MNIST images where their files are named, random strokes elsewhere."""
    if os.environ.get(ROOT_VARIABLE):  # no benchmark should wait for a download
        X = load_dataset("mnist").X_train
        return np.asarray(X[np.arange(n) % len(X)])
    return strokes(n, np.random.default_rng(seed))


def strokes(n: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return images of a few wide random strokes, about 18 % of their pixels on."""
    found = np.zeros((n, _SIDE, _SIDE), np.uint8)
    for image in found:
        for _ in range(_N_STROKES):
            where, step = rng.uniform(8, 20, 2), rng.normal(0, 1, 2)
            for _ in range(_STROKE_STEPS // 2):
                step = 0.8 * step + 0.5 * rng.normal(0, 1, 2)
                where = (where + step).clip(2, _SIDE - 4)
                row, column = where.astype(int)
                image[row : row + 3, column : column + 2] = rng.integers(100, 256, (3, 2))
    return found.reshape(n, -1)


def max_probability(X: NDArray[np.uint8]) -> float:
    """Return the p_max that makes `INPUT_RATE` spikes a step on average."""
    return float(INPUT_RATE / input_probabilities(unit_norm_samples(X), 1.0).sum(axis=1).mean())


def input_rate(model: SpikingSoftHebb, X: NDArray[np.uint8]) -> float:
    """Return the input spikes per step that the rungs draw for these images."""
    net = model.network_params()
    spikes = draw_input_spikes(unit_norm_samples(X), net, model.random_state)
    return len(spikes) / (len(X) * net.presentation_steps)


def rates_and_gains(model: SpikingSoftHebb, X: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
    """Return spike probabilities of the inputs and PSP heights, for simulators to draw from."""
    samples, net = unit_norm_samples(X), model.network_params()
    return input_probabilities(samples, net.max_probability), psp_gain(samples, net)


def timed(work: Callable[[], object], n_images: int, n_runs: int = N_RUNS) -> dict[str, Any]:
    """Run some work a few times; return images per second, median and quartiles."""
    return paced([n_images / seconds(work) for _ in range(n_runs)])


def paced(paces: list[float]) -> dict[str, Any]:
    """Return median and quartiles of images per second."""
    low, median, high = np.percentile(paces, [25, 50, 75])
    return {"images_per_s": float(median), "quartiles": [float(low), float(high)]}
