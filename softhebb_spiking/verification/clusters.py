"""Clusters: on data drawn from a known mixture, the true means and priors are found."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.cluster import kmeans_plusplus

from softhebb_spiking import theory
from softhebb_spiking.params import NetworkParams, Run, RunResult
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.validation import FloatArray, IntArray
from softhebb_spiking.verification._plan import REQUIREMENT, SLOW_RUNGS, Ladder, Simulator
from softhebb_spiking.verification._statistics import match_units
from softhebb_spiking.verification.check import Check

TEMPERATURE = 0.01
PRIORS = (0.1, 0.2, 0.3, 0.4)
N_SAMPLES = 2000
BLOCK = 5
LEARNING_RATE = 0.1
PRIOR_LEARNING_RATE = 0.02
MIN_COSINE = 0.99
MAX_PRIOR_ERROR = 0.1


def true_means() -> FloatArray:
    """Return the mean direction of each cluster, shape (n_clusters, n_features)."""
    return theory.unit_rows(0.6 + np.kron(np.eye(len(PRIORS)), np.ones(BLOCK)))


def draw_clusters(seed: int) -> tuple[FloatArray, IntArray]:
    """Draw samples from four von Mises–Fisher clusters, and say which cluster each is from.

    Samples with a negative entry cannot be shown as rates and are drawn again.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Non-negative, of unit norm.
    cluster : ndarray of shape (n_samples,)
        Cluster of each sample.
    """
    generator = np.random.default_rng(seed)
    means = true_means()
    X: list[FloatArray] = []
    clusters: list[int] = []
    while len(X) < N_SAMPLES:
        k = int(generator.choice(len(PRIORS), p=PRIORS))
        x = theory.sample_mixture(means[k : k + 1], np.zeros(1), TEMPERATURE, 1, generator)[0]
        if (x >= 0).all():
            X.append(x)
            clusters.append(k)
    return np.array(X), np.array(clusters)


def plan(ladder: Ladder, simulators: Mapping[str, Simulator]) -> dict[tuple[str, str], Run]:
    """Let the fast rungs learn the clusters, priors included."""
    X, _ = draw_clusters(ladder.seed)
    factors = 1.0 - np.arange(len(X)) / len(X)
    network = NetworkParams(
        n_features=X.shape[1],
        n_units=len(PRIORS),
        temperature=TEMPERATURE,
        population_size=128,
        n_steps=50,
        settle_steps=40,
        max_probability=0.5,
        psp_tau_ms=20.0,
    )
    run = Run(
        network=network,
        samples=X,
        weights=_initial_weights(X, ladder.seed),
        log_prior=np.full(len(PRIORS), -np.log(len(PRIORS))),
        learning_rates=LEARNING_RATE * factors,
        prior_learning_rates=PRIOR_LEARNING_RATE * factors,
        seed=ladder.seed,
        keep_spikes=False,
    )
    return {("clusters", rung): run for rung in ladder.rungs if rung not in SLOW_RUNGS}


def _initial_weights(X: FloatArray, seed: int) -> FloatArray:
    """Return one unit near the data mean towards a sample of, most likely, each cluster."""
    chosen, _ = kmeans_plusplus(X, len(PRIORS), random_state=seed % 2**32)
    mean = X.mean(axis=0)
    return theory.unit_rows(mean + 0.5 * (chosen - mean))


def evaluate(ladder: Ladder, results: Mapping[tuple[str, str], RunResult]) -> list[Check]:
    """Compare the learned means and priors with the true ones, for rate and fast rungs."""
    X, cluster = draw_clusters(ladder.seed)
    rate = SoftHebb(
        len(PRIORS),
        temperature=TEMPERATURE,
        learning_rate=LEARNING_RATE,
        prior_learning_rate=PRIOR_LEARNING_RATE,
        batch_size=1,
    ).fit(X, initial_weights=_initial_weights(X, ladder.seed))
    networks = {"rate": (rate.weights_, rate.log_prior_)}
    for (group, rung), result in results.items():
        if group == "clusters":
            networks[rung] = (result.weights, result.log_prior)
    means = true_means()
    shares = np.bincount(cluster, minlength=len(PRIORS)) / len(X)
    checks = []
    for rung, (weights, log_prior) in networks.items():
        checks += _checks(rung, weights, log_prior, means, shares)
    return checks


def _checks(
    rung: str, weights: FloatArray, log_prior: FloatArray, means: FloatArray, shares: FloatArray
) -> list[Check]:
    order, cosines = match_units(weights, means)
    error = np.abs(np.exp(log_prior[order]) - shares)
    return [
        Check(
            name="Bayes/cluster means",
            rungs=(rung,),
            statistic="smallest cosine of a unit with the mean of its true cluster",
            value=float(cosines.min()),
            low=MIN_COSINE,
            bound_from=REQUIREMENT,
        ),
        Check(
            name="Bayes/cluster priors",
            rungs=(rung,),
            statistic="largest error of exp(b) against the share of its true cluster",
            value=float(error.max()),
            high=MAX_PRIOR_ERROR,
            bound_from=REQUIREMENT,
        ),
    ]
