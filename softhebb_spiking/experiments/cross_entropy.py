"""Claim 1: learning without labels lowers the cross-entropy of data, and of labels never seen.

The layer starts anew from its first weights, and relearns from the same samples, in spiking
networks from other spikes. Meanwhile are read, on test samples: the cross-entropy of the generative
model, which is an exact mixture of von Mises–Fisher densities; and the supervised cross-entropy of
a linear readout that was trained on the finished layer and is frozen since. Expectation
maximisation of the same mixture from the same start says how low the first can get.

A mixture has many solutions that are equally good. Where samples come in another order, units
settle elsewhere, and the frozen readout is left with names that no longer fit; so that is measured,
too, but does not decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import log_loss

from softhebb_spiking import theory
from softhebb_spiking.experiments import pictures
from softhebb_spiking.experiments.statistics import Claim, Measure
from softhebb_spiking.experiments.trial import HARD, Trial
from softhebb_spiking.validation import FloatArray, IntArray, unit_norm_samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = 1
_N_POINTS = 14
_EM_STEPS = 10
_OTHER_SPIKES = 1000  # seeds of relearning are those of learning and this


def run(trial: Trial) -> dict[str, Any]:
    """Return the courses of both cross-entropies, nats, for each network."""
    data, s = trial.data, trial.settings
    X_test = unit_norm_samples(data.X_test)
    shown = points(len(data.X_train))
    kinds = ("generative", "supervised", "supervised, other order")
    found: dict[str, Any] = {"samples": shown, **{kind: {} for kind in kinds}}
    for rung in (*trial.rungs, HARD):
        readout = trial.read_linearly(trial.layer(rung))
        found["generative"][rung] = []
        for kind in kinds[1:]:
            found[kind][rung] = []
            order = None
            if kind != "supervised":
                order = trial.generator("relearning").permutation(len(data.X_train))
            for layer in relearn(trial, rung, shown, order):
                readout.estimator_ = layer
                loss = log_loss(data.y_test, readout.predict_proba(data.X_test))
                found[kind][rung].append(float(loss))
                if kind == "supervised":
                    # At one temperature, that of the hard layer's density too.
                    density = layer.weights_, layer.log_prior_, s.temperature
                    found["generative"][rung].append(theory.cross_entropy(X_test, *density))
    best = expectation_maximization(
        unit_norm_samples(data.X_train), trial.first_weights(), s.temperature, _EM_STEPS
    )
    uniform = np.full(len(best), -np.log(len(best)))
    found["best"] = theory.cross_entropy(X_test, best, uniform, s.temperature)
    return found


def points(n_train: int) -> list[int]:
    """Return the numbers of samples after which networks are read, 0 and all among them."""
    start = min(30, n_train)
    grid = np.geomspace(start, n_train, _N_POINTS)
    return [0, *np.unique(np.rint(grid).astype(int)).tolist()]


def relearn(
    trial: Trial, rung: str, shown: Sequence[int], order: IntArray | None = None
) -> Iterator[Any]:
    """Yield a layer after each number of samples, starting from its first weights.

    Parameters
    ----------
    trial : Trial
        Gives samples and first weights.
    rung : str
        Of the layer.
    shown : sequence of int
        Numbers of samples after which it is yielded; the first is 0.
    order : ndarray of shape (n_train,), optional
        Another order of the samples.
    """
    X = trial.data.X_train if order is None else trial.data.X_train[order]
    fresh = trial.estimator(rung, random_state=trial.seed + _OTHER_SPIKES)
    full_rate = fresh.learning_rate
    layer = type(fresh).from_weights(trial.first_weights(), **fresh.get_params())
    yield layer
    for first, last in pairwise(shown):
        # fit() lets the rate fall with each sample; here it falls from piece to piece.
        layer.set_params(learning_rate=full_rate * (1.0 - 0.5 * (first + last) / shown[-1]))
        layer.partial_fit(X[first:last])
        yield layer


def expectation_maximization(
    X: FloatArray, weights: FloatArray, temperature: float, n_steps: int
) -> FloatArray:
    """Return the means of the mixture after steps of batch EM, priors uniform, κ = 1/τ as it is.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples of unit norm.
    weights : ndarray of shape (n_units, n_features)
        Start.
    temperature : float
        τ.
    n_steps : int
        Steps.

    Returns
    -------
    ndarray of shape (n_units, n_features)
        Unit vectors along Σ y_k x.
    """
    X = X.astype(np.float32)  # half the time; errors of 10⁻⁴ nats do not count here
    means = theory.unit_rows(weights).astype(np.float32)
    for _ in range(n_steps):
        total = np.zeros_like(means)
        for start in range(0, len(X), 5000):
            part = X[start : start + 5000]
            logits = part @ means.T / temperature
            y = np.exp(logits - logits.max(axis=1, keepdims=True))
            total += (y / y.sum(axis=1, keepdims=True)).T @ part
        alive = np.linalg.norm(total, axis=1) > 0.0
        means[alive] = theory.unit_rows(total[alive])
    return means.astype(np.float64)


def claims(results: Sequence[dict[str, Any]], rungs: Sequence[str]) -> list[Claim]:
    """Return whether both cross-entropies fell on each rung."""
    found = []
    for rung in rungs:
        falls = [_fall(one["generative"][rung]) for one in results]
        possible = [one["generative"][rung][0] - one["best"] for one in results]
        supervised = [_fall(one["supervised"][rung]) for one in results]
        shares = [100.0 * fall / most for fall, most in zip(falls, possible, strict=True)]
        found.append(
            Claim(
                number=CLAIM,
                network=rung,
                measures=(
                    Measure(
                        name="fall of the held-out cross-entropy of the mixture",
                        unit="nats",
                        values=tuple(falls),
                        must_exceed=0.0,
                    ),
                    Measure(
                        name="fall of the supervised cross-entropy of a frozen readout",
                        unit="nats",
                        values=tuple(supervised),
                        must_exceed=0.0,
                    ),
                    Measure(
                        name="the same, samples in another order",
                        unit="nats",
                        values=tuple(
                            _fall(one["supervised, other order"][rung]) for one in results
                        ),
                    ),
                    Measure(
                        name="the first, as a share of what batch EM reaches",
                        unit="%",
                        values=tuple(shares),
                    ),
                ),
            )
        )
    return found


def _fall(course: Sequence[float]) -> float:
    return course[0] - course[-1]


def figures(results: Sequence[dict[str, Any]], rungs: Sequence[str]) -> dict[str, Figure]:
    """Return the picture of both courses."""
    figure = pictures.new_figure()
    shown = [max(1, n) for n in results[0]["samples"]]
    titles = {
        "generative": ("of the mixture model", "nats above batch EM"),
        "supervised": ("of labels, readout frozen", "nats"),
    }
    for axes, (kind, (title, unit)) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        courses = {
            network: [
                np.asarray(one[kind][network]) - (one["best"] if kind == "generative" else 0.0)
                for one in results
            ]
            for network in (*rungs, HARD)
        }
        pictures.curves(axes, shown, courses)
        axes.set_xscale("symlog", linthresh=shown[1])
        axes.set(title=f"cross-entropy {title}", xlabel="samples seen, no labels", ylabel=unit)
    figure.axes[0].legend()
    return {"cross-entropy": figure}
