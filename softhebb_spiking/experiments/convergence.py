"""Claim 2: fewer samples than back-propagation needs.

Every point of a learning curve is a training of its own on the first N samples, with learning
rates that fall over them. Layers learn without labels; then the same N samples' labels name units
by one count, which sees each label once, or train a linear readout, which goes over them often.
Back-propagation trains both layers on the N labelled samples: in one pass, which is what decides
against the one count, and in up to 25 passes (60 000 presentations), which is what is fairer beside
the readout. Its learning rate, batch size and passes are chosen on held-out samples for each N.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from softhebb_spiking.experiments import pictures
from softhebb_spiking.experiments.differentiable import Perceptron, predict
from softhebb_spiking.experiments.statistics import Claim, Measure
from softhebb_spiking.experiments.trial import BACKPROP, HARD, Trial, accuracy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = 2
GOAL = 0.9
REPEATED = "backprop, repeated"
PASSES = (1, 5, 25)
_MIN_PRESENTATIONS = 20_000  # samples times passes that are tried on any data set


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
    for name, passes in ((BACKPROP, (1,)), (REPEATED, PASSES)):
        found["linear"][name] = [
            accuracy(predict(_perceptron(trial, n, passes), data.X_test), data.y_test)
            for n in counts
        ]
    return found


def _perceptron(trial: Trial, n_samples: int, n_passes: Sequence[int]) -> Perceptron:
    """Return back-propagation with those passes that do not take too long."""
    most = max(trial.settings.n_train, _MIN_PRESENTATIONS)
    few = tuple(n for n in n_passes if n == 1 or n * n_samples <= most)
    return trial.perceptron(n_samples, n_passes=few)


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
                name="area between the learning curves, each label seen once, minus "
                "back-propagation in one pass",
                unit="points",
                values=tuple(_gain(one, "named", rung, BACKPROP) for one in results),
                must_exceed=0.0,
            ),
            Measure(
                name="the same, labels gone over often: linear readout, minus back-propagation in "
                "1, 5 or 25 passes",
                unit="points",
                values=tuple(_gain(one, "linear", rung, REPEATED) for one in results),
            ),
            Measure(
                name="linear readout, minus back-propagation in one pass",
                unit="points",
                values=tuple(_gain(one, "linear", rung, BACKPROP) for one in results),
            ),
        ]
        measures += [
            Measure(
                name=f"samples to {100 * GOAL:.0f} %, {readout}: decades fewer than "
                "back-propagation in one pass",
                unit="decades",
                values=tuple(_log_ratio(one, readout, rung) for one in results),
                must_exceed=0.0 if readout == "named" else None,
            )
            for readout in ("named", "linear")
        ]
        found.append(Claim(number=CLAIM, network=rung, measures=tuple(measures)))
    return found


def _gain(one: dict[str, Any], readout: str, rung: str, other: str) -> float:
    own = area(one["samples"], one[readout][rung])
    return 100.0 * (own - area(one["samples"], one["linear"][other]))


def _log_ratio(one: dict[str, Any], readout: str, rung: str) -> float:
    """Return log10 of how many times fewer samples.

    A network that does not get there counts as if it did with the last sample, so that neither a
    gain nor a loss is overstated.
    """
    counts = one["samples"]
    own, other = (
        min(samples_to_reach(counts, curve, GOAL), counts[-1])
        for curve in (one[readout][rung], one["linear"][BACKPROP])
    )
    return float(np.log10(other / own))


def figures(results: Sequence[dict[str, Any]], rungs: Sequence[str]) -> dict[str, Figure]:
    """Return the learning curves."""
    figure = pictures.new_figure()
    titles = {"linear": "linear readout", "named": "units named by one count"}
    for axes, (kind, title) in zip(figure.subplots(1, 2, sharey=True), titles.items(), strict=True):
        curves = {rung: [one[kind][rung] for one in results] for rung in (*rungs, HARD)}
        for name in (BACKPROP, REPEATED) if kind == "linear" else (BACKPROP,):
            curves[name] = [one["linear"][name] for one in results]
        in_percent = {name: 100.0 * np.asarray(rows) for name, rows in curves.items()}
        pictures.curves(axes, results[0]["samples"], in_percent)
        axes.axhline(100 * GOAL, color="#BBBBBB", lw=0.8, zorder=0)
        axes.set(title=title, xlabel="training samples seen", xscale="log")
    figure.axes[0].set_ylabel("accuracy on test samples (%)")
    figure.axes[0].legend()
    return {"convergence": figure}
