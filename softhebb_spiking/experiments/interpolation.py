"""Claim 6: the layer generates objects between real classes.

For pairs of units that stand for different classes, an input is sought, from the mean of the data,
by gradient ascent, whose posterior is a given mix of the two: Σ_k m_k log y_k(x) is raised on the
unit sphere, inputs non-negative. The same is done on classes for back-propagation, and, in spikes,
populations clamped to the mix drive the inputs backwards through the learned weights. A classifier
trained on its own says what it sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from softhebb_spiking import theory
from softhebb_spiking.experiments import pictures
from softhebb_spiking.experiments.differentiable import unit_norm
from softhebb_spiking.experiments.judge import Judge
from softhebb_spiking.experiments.statistics import Claim, Measure
from softhebb_spiking.experiments.trial import BACKPROP, Trial
from softhebb_spiking.validation import FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = 6
MIXES = (0.0, 0.25, 0.5, 0.75, 1.0)
HALF = MIXES.index(0.5)
N_SAMPLES = 200
N_SHOWN = 4
_ASCENT_STEPS = 200
_FIRST_STEP, _LAST_STEP = 0.1, 0.002  # on the unit sphere
_CLAMPED_STEPS = 300


def run(trial: Trial) -> dict[str, Any]:
    """Return what the judge says of mixed, sampled and spike-driven inputs, for each network."""
    judge = Judge(trial)
    start = unit_norm(trial.data.X_train.mean(axis=0, keepdims=True))
    n_classes = int(trial.data.y_train.max()) + 1
    pairs = trial.generator("pairs").permutation(list(combinations(range(n_classes), 2)))
    pairs = pairs[: trial.settings.n_pairs]
    found: dict[str, Any] = {"judge_accuracy": judge.accuracy, "networks": {}, "images": {}}
    for rung in trial.rungs:
        classifier = trial.named(trial.layer(rung))
        layer = classifier.estimator_
        units = _units_of(pairs, classifier.class_given_unit_, trial.generator("units"))
        score = _unit_score(layer.weights_, layer.temperature)
        mixed = ascend(score, _targets(units, layer.n_units), start)
        one: dict[str, Any] = {"mixed": _seen(judge, mixed, pairs)}
        one["sampled"] = _samples_seen(judge, layer, classifier.class_given_unit_)
        kinds = [mixed]
        if hasattr(layer, "record"):
            driven = clamped_generation(
                layer, _targets(units, layer.n_units), trial.generator("clamped")
            )
            one["clamped"] = _seen(judge, driven, pairs)
            one["closed_loop"] = _closed_loop(layer, driven, units)
            kinds.append(driven)
        found["networks"][rung] = one
        found["images"][rung] = [_shown(judge, kind) for kind in kinds]
    perceptron = trial.perceptron()

    def class_score(X: FloatArray, mix: FloatArray) -> FloatArray:
        # Pixels, not unit norm: the network was trained on pixels from 0 to 1.
        scaled = judge.as_images(X)
        evidence = perceptron.log_evidence(scaled)
        y = theory.posterior(evidence, np.zeros(n_classes), 1.0)
        return perceptron.pullback(scaled, mix - y)

    mixed = ascend(class_score, _targets(pairs, n_classes), start)
    found["networks"][BACKPROP] = {"mixed": _seen(judge, mixed, pairs)}
    found["images"][BACKPROP] = [_shown(judge, mixed)]
    found["pairs"] = pairs[:N_SHOWN].tolist()
    found["image_shape"] = list(trial.data.image_shape)
    found["averages"] = _seen(judge, _averaged_images(trial, pairs), pairs)
    return found


def ascend(
    gradient: Callable[[FloatArray, FloatArray], FloatArray], mixes: FloatArray, start: FloatArray
) -> FloatArray:
    """Return inputs on the non-negative part of the unit sphere after gradient ascent.

    Parameters
    ----------
    gradient : callable
        Of the score of inputs (n, n_features), given the mixes (n, n_outputs).
    mixes : ndarray of shape (n, n_outputs)
        What each input shall be a mix of.
    start : ndarray of shape (1, n_features)
        Where all begin.

    Returns
    -------
    ndarray of shape (n, n_features)
        After steps of falling, fixed length along the gradient's direction in the sphere.
    """
    X = np.repeat(start, len(mixes), axis=0)
    for size in np.geomspace(_FIRST_STEP, _LAST_STEP, _ASCENT_STEPS):
        slope = gradient(X, mixes)
        slope = slope - X * (X * slope).sum(axis=1, keepdims=True)
        X = unit_norm(np.maximum(X + size * unit_norm(slope), 0.0))
    return X


def _unit_score(
    weights: FloatArray, temperature: float
) -> Callable[[FloatArray, FloatArray], FloatArray]:
    uniform = np.zeros(len(weights))

    def gradient(X: FloatArray, mix: FloatArray) -> FloatArray:
        """Return the gradient of Σ_k m_k log y_k, (m − y) W / τ."""
        y = theory.posterior(theory.drive(X, weights), uniform, temperature)
        return np.asarray((mix - y) @ weights / temperature)

    return gradient


def clamped_generation(layer: Any, mixes: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Return inputs that spikes draw when output populations are clamped to fire in a mix.

    Population k fires n_k ~ Binomial(M, min(1, r m_k/M)) spikes a step. Each drives input i
    backwards by w_ki; the drive is low-pass filtered as a PSP; input neurons then fire as they do
    for an image that equals the drive: with probability p_max s_i / max s. Returned is the count
    of these spikes, as unit vectors.

    Parameters
    ----------
    layer : SpikingSoftHebb
        A trained layer.
    mixes : ndarray of shape (n, n_units)
        Rows that sum to 1.
    generator : Generator
        Of all spikes.
    """
    size = layer.population_size
    probability = np.minimum(1.0, layer.total_rate * mixes / size)
    keep = np.exp(-layer.dt_ms / layer.psp_tau_ms)
    psp = np.zeros((len(mixes), layer.weights_.shape[1]))
    counts = np.zeros_like(psp)
    for _ in range(_CLAMPED_STEPS):
        spikes = generator.binomial(size, probability)
        psp = keep * psp + (1.0 - keep) * (spikes @ np.maximum(layer.weights_, 0.0))
        strongest = np.maximum(psp.max(axis=1, keepdims=True), 1e-12)
        counts += generator.random(psp.shape) < layer.max_probability * psp / strongest
    return unit_norm(counts)


def _units_of(
    pairs: IntArray, class_given_unit: FloatArray, generator: np.random.Generator
) -> IntArray:
    """Return for each pair of classes a pair of units: at random, of the ten purest of each.

    Of units that stand for the class; where there is none, the one that does most.
    """
    stands_for = class_given_unit.argmax(axis=1)

    def unit_of(c: int) -> int:
        order = np.argsort(-class_given_unit[:, c])
        own = order[stands_for[order] == c][:10]
        return int(generator.choice(own)) if len(own) else int(order[0])

    return np.array([[unit_of(c) for c in pair] for pair in pairs])


def _targets(pairs: IntArray, n_outputs: int) -> FloatArray:
    """Return the mixes of all pairs, shape (n_pairs · n_mixes, n_outputs)."""
    rows = np.zeros((len(pairs), len(MIXES), n_outputs))
    for row, (first, second) in zip(rows, pairs, strict=True):
        row[:, first] += np.asarray(MIXES)[::-1]
        row[:, second] += MIXES
    return rows.reshape(-1, n_outputs)


def _seen(judge: Judge, X: FloatArray, pairs: IntArray) -> dict[str, float]:
    """Return what the judge sees in the middle and at the ends, and how near real images are."""
    images = judge.as_images(X)
    ranking = judge.ranking(images).reshape(len(pairs), -1, judge.n_classes)
    half = ranking.shape[1] // 2
    both = (np.sort(ranking[:, half, :2], axis=1) == np.sort(pairs, axis=1)).all(axis=1)
    seen = {"both": float(both.mean()), "nearest": float(judge.nearest_cosine(images).mean())}
    if ranking.shape[1] > 1:
        ends = ranking[:, 0, 0] == pairs[:, 0], ranking[:, -1, 0] == pairs[:, 1]
        seen["ends"] = float(np.concatenate(ends).mean())
    return seen


def _samples_seen(judge: Judge, layer: Any, class_given_unit: FloatArray) -> float:
    """Return how often the judge sees in a sample what the layer sees in it."""
    samples = layer.sample(N_SAMPLES)
    y = theory.posterior(theory.drive(samples, layer.weights_), layer.log_prior_, layer.temperature)
    own = (y @ class_given_unit).argmax(axis=1)
    return float((judge.ranking(judge.as_images(samples))[:, 0] == own).mean())


def _closed_loop(layer: Any, X: FloatArray, units: IntArray) -> float:
    """Return the share of output spikes that go to the two clamped units when shown the middle."""
    middle = X.reshape(len(units), len(MIXES), -1)[:, HALF]
    shares = layer.predict_proba(middle)
    return float(np.take_along_axis(shares, units, axis=1).sum(axis=1).mean())


def _averaged_images(trial: Trial, pairs: IntArray) -> FloatArray:
    """Return sums of two test images, one of each class of a pair: what mixing pixels gives."""
    generator, data = trial.generator("averaged"), trial.data
    rows = [[generator.choice(np.flatnonzero(data.y_test == c)) for c in pair] for pair in pairs]
    return np.asarray(unit_norm(data.X_test)[np.array(rows)].sum(axis=1))


def _shown(judge: Judge, X: FloatArray) -> dict[str, Any]:
    return pictures.as_text(judge.as_images(X[: N_SHOWN * len(MIXES)]))


def claims(results: Sequence[dict[str, Any]], rungs: Sequence[str]) -> list[Claim]:
    """Return whether both classes are seen in most middles, for each rung."""
    found = []
    for rung in rungs:
        rows = [one["networks"][rung] for one in results]
        other = [one["networks"][BACKPROP]["mixed"]["both"] for one in results]
        measures = [
            Measure(
                name="middles of two classes in which the judge sees these two first (chance 2 %)",
                unit="%",
                values=tuple(100.0 * row["mixed"]["both"] for row in rows),
                must_exceed=50.0,
            ),
            Measure(
                name="the same, minus sums of two test images",
                unit="points",
                values=tuple(
                    100.0 * (row["mixed"]["both"] - one["averages"]["both"])
                    for row, one in zip(rows, results, strict=True)
                ),
                must_exceed=0.0,
            ),
            Measure(
                name="the same, minus back-propagation",
                unit="points",
                values=tuple(
                    100.0 * (row["mixed"]["both"] - bp) for row, bp in zip(rows, other, strict=True)
                ),
            ),
            Measure(
                name="ends in which the judge sees the one class",
                unit="%",
                values=tuple(100.0 * row["mixed"]["ends"] for row in rows),
            ),
            Measure(
                name="cosine to the nearest training image, minus back-propagation",
                unit="",
                values=tuple(
                    row["mixed"]["nearest"] - one["networks"][BACKPROP]["mixed"]["nearest"]
                    for row, one in zip(rows, results, strict=True)
                ),
            ),
            Measure(
                name="draws of sample() in which the judge sees what the layer sees",
                unit="%",
                values=tuple(100.0 * row["sampled"] for row in rows),
            ),
        ]
        if "clamped" in rows[0]:
            measures.append(
                Measure(
                    name="middles drawn by clamped populations in which both are seen",
                    unit="%",
                    values=tuple(100.0 * row["clamped"]["both"] for row in rows),
                )
            )
            measures.append(
                Measure(
                    name="output spikes of the clamped units when shown what they drew",
                    unit="%",
                    values=tuple(100.0 * row["closed_loop"] for row in rows),
                )
            )
        found.append(Claim(number=CLAIM, network=rung, measures=tuple(measures)))
    return found


def figures(results: Sequence[dict[str, Any]], rungs: Sequence[str]) -> dict[str, Figure]:
    """Return grids of interpolated inputs, a row for each way of making them."""
    one = results[0]
    shape, rows, labels = one["image_shape"], [], []
    for network in (*rungs, BACKPROP):
        ways = ("gradient", "clamped spikes")
        for text, way in zip(one["images"][network], ways, strict=False):
            rows.append(pictures.from_text(text).reshape(-1, *shape))
            labels.append(f"{pictures.LABELS.get(network, network)}, {way}")
    figure = pictures.new_figure(9.0, 0.42 * len(rows) + 0.3, "compressed")
    axes = figure.subplots()
    pictures.images(axes, rows, labels)
    between = ", ".join(f"{a} to {b}" for a, b in one["pairs"])
    axes.set_title(f"{between}: five mixes of two units each")
    return {"interpolation": figure}
