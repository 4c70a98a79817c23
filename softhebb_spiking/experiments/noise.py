"""Claim 3: robust to noise on images; and what faults of spikes, neurons and synapses cost.

Noise is Gaussian, on pixels from 0 to 1, and clipped to that range, since inputs fire at rates
that are not negative; every network sees the same noisy images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from softhebb_spiking.evaluation import UnitLabelClassifier
from softhebb_spiking.experiments import perturbations, pictures
from softhebb_spiking.experiments.differentiable import predict
from softhebb_spiking.experiments.statistics import Claim, Measure
from softhebb_spiking.experiments.trial import BACKPROP, HARD, Trial, accuracy
from softhebb_spiking.validation import FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = 3
N_IMAGES = 2000
N_SPIKE_IMAGES = 500  # whose spikes are all held in memory to be changed
SHARES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
JITTERS = (0.0, 1.0, 2.0, 5.0, 10.0)
FAULTS = {
    "dropped input spikes": ("share of input spikes lost", SHARES),
    "jittered input spikes": ("standard deviation, steps", JITTERS),
    "dead neurons": ("share of neurons dead", SHARES[:5]),
    "dead populations": ("share of populations dead", SHARES[:5]),
    "stuck synapses": ("share of synapses stuck", (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)),
}


def run(trial: Trial) -> dict[str, Any]:
    """Return accuracies, by network: for each strength of noise, and for each fault."""
    data, s = trial.data, trial.settings
    X, y = data.X_test[:N_IMAGES], data.y_test[:N_IMAGES]
    generator = trial.generator("noise")
    noisy = [
        np.clip(X + sigma * generator.standard_normal(X.shape), 0.0, 1.0)
        for sigma in s.noise_sigmas
    ]
    found: dict[str, Any] = {"sigmas": list(s.noise_sigmas), "noise": {}, "faults": {}}
    for rung in (*trial.rungs, HARD):
        classifier = trial.named(trial.layer(rung))
        found["noise"][rung] = [accuracy(classifier.predict(one), y) for one in noisy]
        if rung in trial.rungs:
            found["faults"][rung] = _faults(trial, classifier, X, y)
    network = trial.perceptron()
    found["noise"][BACKPROP] = [accuracy(predict(network, one), y) for one in noisy]
    order = trial.generator("example").permutation(len(X))[0]
    found["images"] = pictures.as_text(np.stack([one[order] for one in noisy]))
    found["image_shape"] = list(data.image_shape)
    return found


def _faults(
    trial: Trial, classifier: UnitLabelClassifier, X: FloatArray, y: IntArray
) -> dict[str, list[float]]:
    """Return accuracies under each fault; units were named before it."""
    layer, shares = classifier.estimator_, classifier.class_given_unit_
    spiking = hasattr(layer, "record")
    few = slice(0, N_SPIKE_IMAGES)
    spikes = layer.record(X[few]).input_spikes if spiking else None
    found: dict[str, list[float]] = {}
    for fault, (_, strengths) in FAULTS.items():
        if fault in _OF_SPIKING_LAYERS and not spiking:
            continue
        found[fault] = []
        for strength in strengths:
            generator = trial.generator(f"{fault} {strength}")
            if fault in _CHANGED_SPIKES:
                changed = _CHANGED_SPIKES[fault](layer, spikes, strength, generator)
                posterior = layer.record(X[few], input_spikes=changed).spike_counts
                evidence, labels = posterior @ shares, y[few]
            else:
                faulty, left = _FAULTY_LAYERS[fault](layer, strength, generator)
                evidence, labels = faulty.predict_proba(X) @ shares[left], y
            found[fault].append(accuracy(evidence.argmax(axis=1), labels))
    return found


def _with_dropped_spikes(
    layer: Any, spikes: IntArray, share: float, generator: np.random.Generator
) -> IntArray:
    return perturbations.drop_spikes(spikes, share, generator)


def _with_jittered_spikes(
    layer: Any, spikes: IntArray, sigma_steps: float, generator: np.random.Generator
) -> IntArray:
    n_steps = layer.n_steps + layer.settle_steps
    return perturbations.jitter_spikes(spikes, sigma_steps, n_steps, generator)


def _with_dead_neurons(
    layer: Any, share: float, generator: np.random.Generator
) -> tuple[Any, slice]:
    live = perturbations.live_neurons(layer.n_units, layer.population_size, share, generator)
    prior = perturbations.log_prior_of_live(layer.log_prior_, live, layer.population_size)
    return perturbations.layer_of(layer, layer.weights_, prior), slice(None)


def _with_dead_populations(
    layer: Any, share: float, generator: np.random.Generator
) -> tuple[Any, IntArray]:
    left = perturbations.surviving_units(layer.n_units, share, generator)
    return perturbations.layer_of(layer, layer.weights_[left], layer.log_prior_[left]), left


def _with_stuck_synapses(
    layer: Any, share: float, generator: np.random.Generator
) -> tuple[Any, slice]:
    stuck = perturbations.stick_synapses(layer.weights_, share, generator)
    return perturbations.layer_of(layer, stuck, layer.log_prior_), slice(None)


_CHANGED_SPIKES: Mapping[str, Callable[..., IntArray]] = MappingProxyType(
    {
        "dropped input spikes": _with_dropped_spikes,
        "jittered input spikes": _with_jittered_spikes,
    }
)
# Each returns the faulty layer and which of the units are left.
_FAULTY_LAYERS: Mapping[str, Callable[..., tuple[Any, Any]]] = MappingProxyType(
    {
        "dead neurons": _with_dead_neurons,
        "dead populations": _with_dead_populations,
        "stuck synapses": _with_stuck_synapses,
    }
)
_OF_SPIKING_LAYERS = (*_CHANGED_SPIKES, "dead neurons")


def claims(results: Sequence[dict[str, Any]], rungs: Sequence[str]) -> list[Claim]:
    """Return whether each rung is more accurate than back-propagation under noise."""
    found = []
    for rung in rungs:
        gains = [_under_noise(one, rung) - _under_noise(one, BACKPROP) for one in results]
        losses = [_lost(one, rung) for one in results]
        found.append(
            Claim(
                number=CLAIM,
                network=rung,
                measures=(
                    Measure(
                        name="mean accuracy over all strengths of noise, minus back-propagation",
                        unit="points",
                        values=tuple(gains),
                        must_exceed=0.0,
                    ),
                    Measure(
                        name="accuracy without noise, minus back-propagation",
                        unit="points",
                        values=tuple(
                            100.0 * (one["noise"][rung][0] - one["noise"][BACKPROP][0])
                            for one in results
                        ),
                    ),
                    Measure(
                        name="accuracy lost to noise, of that without: back-propagation's minus "
                        "its own",
                        unit="points",
                        values=tuple(
                            _lost(one, BACKPROP) - loss
                            for one, loss in zip(results, losses, strict=True)
                        ),
                    ),
                ),
            )
        )
    return found


def _under_noise(one: dict[str, Any], network: str) -> float:
    return 100.0 * float(np.mean(one["noise"][network][1:]))


def _lost(one: dict[str, Any], network: str) -> float:
    return 100.0 - _under_noise(one, network) / float(one["noise"][network][0])


def figures(results: Sequence[dict[str, Any]], rungs: Sequence[str]) -> dict[str, Figure]:
    """Return accuracy under noise, with an example of it, and under each fault."""
    figure = pictures.new_figure(7.4, 4.2)
    example, axes = figure.subplots(2, 1, height_ratios=[1.0, 4.0])
    first = pictures.from_text(results[0]["images"]).reshape(-1, *results[0]["image_shape"])
    pictures.images(example, [first], [""])
    example.set_title(f"one image, σ = {', '.join(f'{x:g}' for x in results[0]['sigmas'])}")
    curves = {
        network: 100.0 * np.asarray([one["noise"][network] for one in results])
        for network in (*rungs, HARD, BACKPROP)
    }
    pictures.curves(axes, results[0]["sigmas"], curves)
    axes.set(xlabel="σ of the noise on pixels from 0 to 1", ylabel="accuracy (%)")
    axes.legend(ncols=2)
    return {"noise": figure, "faults": _fault_figure(results, rungs)}


def _fault_figure(results: Sequence[dict[str, Any]], rungs: Sequence[str]) -> Figure:
    shown = [name for name in FAULTS if any(name in results[0]["faults"][r] for r in rungs)]
    figure = pictures.new_figure(7.4, 2.2 * -(-len(shown) // 3))
    grid = figure.subplots(-(-len(shown) // 3), 3, sharey=True, squeeze=False)
    for axes, fault in zip(grid.flat, shown, strict=False):
        label, strengths = FAULTS[fault]
        curves = {
            rung: 100.0 * np.asarray([one["faults"][rung][fault] for one in results])
            for rung in rungs
            if fault in results[0]["faults"][rung]
        }
        pictures.curves(axes, strengths, curves)
        axes.set(title=fault, xlabel=label)
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy (%)")
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_axis_off()
    grid.flat[len(shown) - 1].legend()
    return figure
