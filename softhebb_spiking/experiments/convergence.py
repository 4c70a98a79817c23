"""Claim 2: fewer samples than back-propagation needs.

Every point of a learning curve is a training of its own on the first N samples, with learning
rates that fall over them. Layers learn without labels; then the same N samples' labels name units
by one count, or train a linear readout. Back-propagation trains both layers on the N labelled
samples; its learning rate is chosen on held-out samples for each N.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from softhebb_spiking.experiments import pictures
from softhebb_spiking.experiments.differentiable import predict
from softhebb_spiking.experiments.statistics import Claim, Measure
from softhebb_spiking.experiments.trial import BACKPROP, HARD, Trial, accuracy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = 2
GOAL = 0.9


def run(trial: Trial) -> dict[str, Any]:
    """Return accuracies on test samples by network and readout, one for each number of samples."""
    data, counts = trial.data, trial.settings.sample_counts
    found: dict[str, Any] = {"samples": list(counts), "linear": {}, "named": {}}
    for rung in (*trial.rungs, HARD):
        linear, named = [], []
        for n in counts:
            layer = trial.layer(rung, n_samples=n)
            readout = trial.read_linearly(layer, n)
            linear.append(accuracy(readout.predict(data.X_test), data.y_test))
            named.append(accuracy(trial.named(layer, n).predict(data.X_test), data.y_test))
        found["linear"][rung], found["named"][rung] = linear, named
    found["linear"][BACKPROP] = [
        accuracy(predict(trial.perceptron(n), data.X_test), data.y_test) for n in counts
    ]
    return found


def area(counts: Sequence[float], accuracies: Sequence[float]) -> float:
    """Return the mean accuracy over the logarithm of the number of samples."""
    x = np.log(np.asarray(counts, dtype=np.float64))
    y = np.asarray(accuracies, dtype=np.float64)
    return float((0.5 * (y[1:] + y[:-1]) * np.diff(x)).sum() / (x[-1] - x[0]))


def samples_to_reach(counts: Sequence[float], accuracies: Sequence[float], goal: float) -> float:
    """Return where the curve first reaches `goal`, by its logarithm between points.

    Infinity if it never does; the first number if it starts above.
    """
    above = [i for i, value in enumerate(accuracies) if value >= goal]
    if not above:
        return float("inf")
    i = above[0]
    if i == 0:
        return float(counts[0])
    share = (goal - accuracies[i - 1]) / (accuracies[i] - accuracies[i - 1])
    return float(counts[i - 1] * (counts[i] / counts[i - 1]) ** share)


def claims(results: Sequence[dict[str, Any]], rungs: Sequence[str]) -> list[Claim]:
    """Return whether each rung is more accurate than back-propagation after as few samples."""
    found = []
    for rung in rungs:
        measures = [
            Measure(
                name="area between the learning curves, linear readout minus back-propagation",
                unit="points",
                values=tuple(_gain(one, "linear", rung) for one in results),
                must_exceed=0.0,
            ),
            Measure(
                name="the same with units named by one count",
                unit="points",
                values=tuple(_gain(one, "named", rung) for one in results),
            ),
        ]
        ratios = tuple(_log_ratio(one, rung) for one in results)
        if all(np.isfinite(ratios)):
            measures.append(
                Measure(
                    name=f"samples to {100 * GOAL:.0f} %: decades fewer than back-propagation",
                    unit="decades",
                    values=ratios,
                    must_exceed=0.0,
                )
            )
        found.append(Claim(number=CLAIM, network=rung, measures=tuple(measures)))
    return found


def _gain(one: dict[str, Any], readout: str, rung: str) -> float:
    own = area(one["samples"], one[readout][rung])
    return 100.0 * (own - area(one["samples"], one["linear"][BACKPROP]))


def _log_ratio(one: dict[str, Any], rung: str) -> float:
    own, other = (
        samples_to_reach(one["samples"], one["linear"][network], GOAL)
        for network in (rung, BACKPROP)
    )
    return float(np.log10(other / own)) if np.isfinite(own) and np.isfinite(other) else np.inf


def figures(results: Sequence[dict[str, Any]], rungs: Sequence[str]) -> dict[str, Figure]:
    """Return the learning curves."""
    figure = pictures.new_figure()
    titles = {"linear": "linear readout", "named": "units named by one count"}
    for axes, (kind, title) in zip(figure.subplots(1, 2, sharey=True), titles.items(), strict=True):
        curves = {rung: [one[kind][rung] for one in results] for rung in (*rungs, HARD)}
        curves[BACKPROP] = [one["linear"][BACKPROP] for one in results]
        in_percent = {name: 100.0 * np.asarray(rows) for name, rows in curves.items()}
        pictures.curves(axes, results[0]["samples"], in_percent)
        axes.axhline(100 * GOAL, color="#BBBBBB", lw=0.8, zorder=0)
        axes.set(title=title, xlabel="training samples seen", xscale="log")
    figure.axes[0].set_ylabel("accuracy on test samples (%)")
    axes.legend()
    return {"convergence": figure}
