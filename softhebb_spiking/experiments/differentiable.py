"""Classifiers as functions of pixels with analytic gradients: what white-box attacks are given.

Each has `log_evidence(X)`, shape (n_samples, n_classes), whose softmax is the class posterior,
and `pullback(X, G)`, the gradient of Σ_c G_c log_evidence_c(x) for each sample, of the shape of
`X`. `X` are pixels, not yet scaled to unit norm: scaling is a part of the function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from softhebb_spiking import theory
from softhebb_spiking.validation import FloatArray, IntArray

SMALLEST_SHARE = 1e-6  # of a class in a unit, so that every class has a logarithm


class Differentiable(Protocol):
    """A classifier of pixels with a gradient."""

    @property
    def n_classes(self) -> int:
        """Classes, numbered from 0."""
        ...

    def log_evidence(self, X: FloatArray) -> FloatArray:
        """Return unnormalised log-posteriors, shape (n_samples, n_classes)."""
        ...

    def pullback(self, X: FloatArray, G: FloatArray) -> FloatArray:
        """Return the gradient of Σ_c G_c log_evidence_c with respect to `X`."""
        ...


@dataclass(frozen=True)
class NamedUnits:
    """Σ_k y_k P(c|k), the reading of `UnitLabelClassifier`, in the log domain.

    log_evidence_c = log Σ_k exp(u_k/τ + b_k) P(c|k), up to what all classes share; it keeps its
    gradient where the posterior itself is 0 or 1 to machine precision.

    Attributes
    ----------
    weights : ndarray of shape (n_units, n_features)
        Weights.
    log_prior : ndarray of shape (n_units,)
        Log prior, nats.
    temperature : float
        τ.
    class_given_unit : ndarray of shape (n_units, n_classes)
        P(c|k).
    """

    weights: FloatArray
    log_prior: FloatArray
    temperature: float
    class_given_unit: FloatArray

    @property
    def n_classes(self) -> int:  # noqa: D102
        return self.class_given_unit.shape[1]

    def log_evidence(self, X: FloatArray) -> FloatArray:  # noqa: D102
        log_y, shift = self._log_posterior(unit_norm(X))
        return np.asarray(np.log(np.exp(log_y - shift) @ self._shares()) + shift)

    def pullback(self, X: FloatArray, G: FloatArray) -> FloatArray:  # noqa: D102
        log_y, shift = self._log_posterior(unit_norm(X))
        y = np.exp(log_y - shift)
        shares = self._shares()
        # ∂ log_evidence_c / ∂(u_k/τ) = P(k | x, c), the responsibility of the unit for the class.
        of_units = y * ((G / (y @ shares)) @ shares.T)
        return through_unit_norm(X, of_units @ self.weights / self.temperature)

    def _log_posterior(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        log_y = theory.drive(X, self.weights) / self.temperature + self.log_prior
        return log_y, log_y.max(axis=1, keepdims=True)

    def _shares(self) -> FloatArray:
        smooth = self.class_given_unit + SMALLEST_SHARE
        return np.asarray(smooth / smooth.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class LinearHead:
    """The reading of `LinearReadout`: a linear map of √y, y = softmax(u/T + b).

    Attributes
    ----------
    weights, log_prior
        The layer.
    temperature : float
        T, that of the features.
    coefficients : ndarray of shape (n_classes, n_units)
        V of log_evidence = V √y + a.
    intercepts : ndarray of shape (n_classes,)
        a.
    """

    weights: FloatArray
    log_prior: FloatArray
    temperature: float
    coefficients: FloatArray
    intercepts: FloatArray

    @property
    def n_classes(self) -> int:  # noqa: D102
        return len(self.intercepts)

    def log_evidence(self, X: FloatArray) -> FloatArray:  # noqa: D102
        return np.sqrt(self._posterior(X)) @ self.coefficients.T + self.intercepts

    def pullback(self, X: FloatArray, G: FloatArray) -> FloatArray:  # noqa: D102
        y = self._posterior(X)
        root = np.sqrt(y)
        pulled = (G @ self.coefficients) * root
        # ∂√y_j / ∂u_k = √y_j (δ_jk − y_k) / 2T.
        of_units = (pulled - y * pulled.sum(axis=1, keepdims=True)) / (2.0 * self.temperature)
        return through_unit_norm(X, of_units @ self.weights)

    def _posterior(self, X: FloatArray) -> FloatArray:
        u = theory.drive(unit_norm(X), self.weights)
        return theory.posterior(u, self.log_prior, self.temperature)


@dataclass(frozen=True)
class Perceptron:
    """A network of one hidden layer of rectified units, as back-propagation has trained it.

    Attributes
    ----------
    hidden_weights : ndarray of shape (n_units, n_features)
        Weights of the hidden layer.
    hidden_biases : ndarray of shape (n_units,)
        Its biases.
    coefficients : ndarray of shape (n_classes, n_units)
        Weights of the output layer.
    intercepts : ndarray of shape (n_classes,)
        Its biases.
    """

    hidden_weights: FloatArray
    hidden_biases: FloatArray
    coefficients: FloatArray
    intercepts: FloatArray

    @property
    def n_classes(self) -> int:  # noqa: D102
        return len(self.intercepts)

    def log_evidence(self, X: FloatArray) -> FloatArray:  # noqa: D102
        hidden = np.maximum(X @ self.hidden_weights.T + self.hidden_biases, 0.0)
        return np.asarray(hidden @ self.coefficients.T + self.intercepts)

    def pullback(self, X: FloatArray, G: FloatArray) -> FloatArray:  # noqa: D102
        return np.asarray(((G @ self.coefficients) * self.active(X)) @ self.hidden_weights)

    def active(self, X: FloatArray) -> NDArray[np.bool_]:
        """Return which hidden units are not cut off, shape (n_samples, n_units)."""
        return np.asarray(X @ self.hidden_weights.T + self.hidden_biases > 0.0)


def predict(classifier: Differentiable, X: FloatArray) -> IntArray:
    """Return the most probable class of each sample, shape (n_samples,)."""
    return np.asarray(classifier.log_evidence(X).argmax(axis=1))


def unit_norm(X: FloatArray) -> FloatArray:
    """Return the rows scaled to unit norm; rows of zeros stay what they are."""
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    return np.asarray(X / np.where(norms > 0.0, norms, 1.0))


def through_unit_norm(X: FloatArray, gradient: FloatArray) -> FloatArray:
    """Return the gradient with respect to x of a function of x/‖x‖: (g − x̂ x̂·g)/‖x‖.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples of any norm.
    gradient : ndarray of shape (n_samples, n_features)
        g, the gradient with respect to x̂.
    """
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    norms = np.where(norms > 0.0, norms, 1.0)
    scaled = X / norms
    along = (scaled * gradient).sum(axis=1, keepdims=True)
    return np.asarray((gradient - scaled * along) / norms)


def cross_entropy_loss(
    classifier: Differentiable, X: FloatArray, labels: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Return −log P(label | x) of each sample, and its gradient with respect to `X`.

    It is log(1 + Σ_c≠label P(c | x)/P(label | x)): written so, nothing cancels where the
    classifier is sure, and the gradient, however small, keeps its direction.
    """
    evidence = classifier.log_evidence(X)
    rows = np.arange(len(X))
    against = evidence - evidence[rows, labels][:, np.newaxis]
    against[rows, labels] = -np.inf
    log_odds = logsumexp(against, axis=1, keepdims=True)
    loss = np.logaddexp(0.0, log_odds)
    G = np.exp(against - loss)  # P(c | x) of the others
    G[rows, labels] = -np.exp(log_odds - loss)[:, 0]
    return np.asarray(loss[:, 0]), classifier.pullback(X, G)


def margin_loss(
    classifier: Differentiable, X: FloatArray, labels: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Return log P(best other | x) − log P(label | x), and its gradient with respect to `X`.

    Positive where the sample is misread. Unlike cross-entropy, it has a gradient where the
    classifier is sure.
    """
    evidence = classifier.log_evidence(X)
    rows = np.arange(len(X))
    others = evidence.copy()
    others[rows, labels] = -np.inf
    best = others.argmax(axis=1)
    G = np.zeros_like(evidence)
    G[rows, best], G[rows, labels] = 1.0, -1.0
    return evidence[rows, best] - evidence[rows, labels], classifier.pullback(X, G)


LOSSES: dict[str, Any] = {"cross-entropy": cross_entropy_loss, "margin": margin_loss}
