"""The equations of SoftHebb [1]_, one pure function each.

Shapes: samples `X` (n_samples, n_features) of unit L2 norm, weights (n_units, n_features),
log prior (n_units,). With unit-norm weights the posterior is the exact Bayesian posterior of a
mixture of von Mises–Fisher densities with one concentration κ = 1/τ [2]_, which is the density
that `log_likelihood` and `sample_mixture` speak of.

References
----------
.. [1] Moraitis, Toichkin, Journé, Chua, Guo, "SoftHebb: Bayesian inference in unsupervised
   Hebbian soft winner-take-all networks", Neuromorph. Comput. Eng. 2 044017, 2022
   (arXiv 2107.05747).
.. [2] Banerjee, Dhillon, Ghosh, Sra, "Clustering on the unit hypersphere using von Mises–Fisher
   distributions", JMLR 6, 2005.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, logsumexp, softmax
from scipy.stats import vonmises_fisher

from softhebb_spiking.validation import FloatArray

_LARGEST_EXPONENT = 700.0  # of e within float64


def drive(X: FloatArray, weights: FloatArray) -> FloatArray:
    """Return u_k = w_k · x, shape (n_samples, n_units); the bias is no part of it."""
    return np.asarray(X @ weights.T)


def posterior(u: FloatArray, log_prior: FloatArray, temperature: float) -> FloatArray:
    """Return y = softmax(u/τ + b) [1]_.

    Parameters
    ----------
    u : ndarray of shape (..., n_units)
        Drives.
    log_prior : ndarray of shape (n_units,)
        b, nats.
    temperature : float
        τ > 0.

    Returns
    -------
    ndarray of shape (..., n_units)
        Non-negative, rows sum to 1.
    """
    return np.asarray(softmax(u / temperature + log_prior, axis=-1))


def weight_update(X: FloatArray, u: FloatArray, y: FloatArray, weights: FloatArray) -> FloatArray:
    """Return Σ_samples y_k (x − u_k w_k), the update of the weights per unit learning rate [1]_.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.
    u, y : ndarray of shape (n_samples, n_units)
        Drives without bias, and posteriors; scale `y` to give samples unequal learning rates.
    weights : ndarray of shape (n_units, n_features)
        Weights.

    Returns
    -------
    ndarray of shape (n_units, n_features)
        Δw / η.
    """
    return np.asarray(y.T @ X - (y * u).sum(axis=0)[:, np.newaxis] * weights)


def log_prior_update(y: FloatArray, log_prior: FloatArray) -> FloatArray:
    """Return Σ_samples (y_k e^(−b_k) − 1), the update of the log prior per unit rate [1]_.

    Parameters
    ----------
    y : ndarray of shape (n_samples, n_units)
        Posteriors.
    log_prior : ndarray of shape (n_units,)
        b, nats.

    Returns
    -------
    ndarray of shape (n_units,)
        Δb / η_b.
    """
    growth = np.exp(np.minimum(-log_prior, 600.0))  # keeps a dead unit, y = 0, from 0 · inf
    return np.asarray(y.sum(axis=0) * growth - len(y))


def log_prior_flow(mean_y: FloatArray, log_prior: FloatArray, time: float) -> FloatArray:
    """Return the log prior after following db/ds = ȳ_k e^(−b_k) − 1 for s = `time`, exactly.

    In π = e^b the equation is linear, dπ/ds = ȳ − π, so π(s) = ȳ + (π(0) − ȳ) e^(−s): the prior
    of rare units cannot overshoot, and Σπ tends to 1 whatever the step is.

    Parameters
    ----------
    mean_y : ndarray of shape (n_units,)
        Posterior averaged over samples.
    log_prior : ndarray of shape (n_units,)
        b(0), nats.
    time : float
        Sum of the learning rates of the samples.

    Returns
    -------
    ndarray of shape (n_units,)
        b(s), nats.
    """
    with np.errstate(divide="ignore"):  # a unit without any responsibility just decays
        gained = np.log(mean_y) + math.log(-math.expm1(-time))
    return np.logaddexp(log_prior - time, gained)


def log_bessel_i(order: float, x: float) -> float:
    """Return log I_ν(x) for ν ≥ −1/2 and x > 0, by its power series in log space.

    All terms of I_ν(x) = Σ_m (x/2)^(2m+ν) / (m! Γ(m+ν+1)) are positive, so nothing cancels;
    `scipy.special.ive` underflows where the order is large against x.
    """
    peak = 0.5 * (math.hypot(order, x) - order)
    # On both sides of the largest term the series falls at least like a Gaussian of width
    # sqrt(peak), so that the rest is below round-off.
    width = 12.0 * math.sqrt(peak + 1.0) + 40.0
    terms = np.arange(max(0, int(peak - width)), int(peak + width), dtype=np.float64)
    log_terms = (2.0 * terms + order) * math.log(0.5 * x)
    log_terms -= gammaln(terms + 1.0) + gammaln(terms + order + 1.0)
    return float(logsumexp(log_terms))


def log_vmf_normalizer(n_features: int, concentration: float) -> float:
    """Return log C_n(κ) = (n/2−1) log κ − (n/2) log 2π − log I_(n/2−1)(κ) [2]_.

    Parameters
    ----------
    n_features : int
        n, dimension of the space the unit sphere lies in.
    concentration : float
        κ > 0.

    Returns
    -------
    float
        Nats; C_n(κ) exp(κ w·x) integrates to 1 over the sphere.
    """
    order = 0.5 * n_features - 1.0
    return (
        order * math.log(concentration)
        - 0.5 * n_features * math.log(2.0 * math.pi)
        - log_bessel_i(order, concentration)
    )


def log_likelihood(
    X: FloatArray, weights: FloatArray, log_prior: FloatArray, temperature: float
) -> FloatArray:
    """Return the log-density of each sample under the mixture, on the unit sphere.

    The means are the directions of the weights and the priors are normalised, so this is a
    density even while learning has not brought norms and priors to their fixed points.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples of unit norm.
    weights, log_prior, temperature
        The mixture.

    Returns
    -------
    ndarray of shape (n_samples,)
        Nats.
    """
    concentration = 1.0 / temperature
    u = drive(X, unit_rows(weights))
    log_pi = log_prior - logsumexp(log_prior)
    normalizer = log_vmf_normalizer(X.shape[1], concentration)
    return np.asarray(logsumexp(concentration * u + log_pi, axis=1) + normalizer)


def cross_entropy(
    X: FloatArray, weights: FloatArray, log_prior: FloatArray, temperature: float
) -> float:
    """Return H(data, model) = −mean log-likelihood, nats per sample: what learning lowers."""
    return -float(log_likelihood(X, weights, log_prior, temperature).mean())


def sample_mixture(
    weights: FloatArray,
    log_prior: FloatArray,
    temperature: float,
    n_samples: int,
    generator: np.random.Generator,
) -> FloatArray:
    """Draw samples from the mixture.

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        Points on the unit sphere; features may be negative, since the density covers all of it.
    """
    means = unit_rows(weights)
    prior = softmax(log_prior)
    units = generator.choice(len(means), size=n_samples, p=prior)
    samples = np.empty((n_samples, means.shape[1]))
    for k in np.unique(units):
        chosen = np.flatnonzero(units == k)
        samples[chosen] = _sample_component(means[k], temperature, chosen.size, generator)
    return samples


def _sample_component(
    mean: FloatArray, temperature: float, size: int, generator: np.random.Generator
) -> FloatArray:
    if mean.size == 1:  # the sphere in one dimension is two points
        p_same = 1.0 / (1.0 + math.exp(-2.0 / temperature))
        return np.where(generator.random((size, 1)) < p_same, mean, -mean)
    draws = vonmises_fisher.rvs(mean, 1.0 / temperature, size=size, random_state=generator)
    return np.asarray(draws).reshape(size, mean.size)


class FixedPointResidual(NamedTuple):
    """Distance of a network from the fixed points of its learning rules.

    Attributes
    ----------
    weights : ndarray of shape (n_units,)
        ‖E[y_k (x − u_k w_k)]‖ / E[y_k]: the mean step of a unit per unit of responsibility.
    log_prior : ndarray of shape (n_units,)
        e^(b_k) − E[y_k].
    norms : ndarray of shape (n_units,)
        ‖w_k‖ − 1.
    """

    weights: FloatArray
    log_prior: FloatArray
    norms: FloatArray


def fixed_point_residual(
    X: FloatArray, weights: FloatArray, log_prior: FloatArray, temperature: float
) -> FixedPointResidual:
    """Return how far weights, priors and norms are from the fixed points of the rules [1]_.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples of unit norm, standing for the data distribution.
    weights, log_prior, temperature
        The network.
    """
    u = drive(X, weights)
    y = posterior(u, log_prior, temperature)
    mean_y = y.mean(axis=0)
    step = weight_update(X, u, y, weights) / len(X)
    return FixedPointResidual(
        weights=np.linalg.norm(step, axis=1) / np.maximum(mean_y, np.finfo(float).tiny),
        log_prior=np.exp(log_prior) - mean_y,
        norms=np.linalg.norm(weights, axis=1) - 1.0,
    )


def unit_rows(weights: FloatArray) -> FloatArray:
    """Return the rows scaled to unit L2 norm.

    Raises
    ------
    ValueError
        If a row has norm zero.
    """
    norms = np.linalg.norm(weights, axis=1, keepdims=True)
    if (norms == 0.0).any():
        unit = int(np.flatnonzero(norms[:, 0] == 0.0)[0])
        raise ValueError(
            f"weights of unit {unit} are all zero and have no direction; initialise them with "
            "positive values (init='data' does)."
        )
    return np.asarray(weights / norms)
