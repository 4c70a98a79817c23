"""Reading a labelled class from units that never saw a label."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from softhebb_spiking import theory
from softhebb_spiking.samples import CHUNK_SAMPLES, ArraySamples
from softhebb_spiking.validation import FloatArray, check_real, unit_norm_samples


class UnitLabelClassifier(ClassifierMixin, BaseEstimator):
    """Class posterior of a fitted network: P(c | x) = Σ_k y_k(x) P(c | k).

    Labels are used only to name units: P(c | k) is the share of class c in the responsibility
    that unit k takes on labelled samples.

    Parameters
    ----------
    estimator : SoftHebb or SpikingSoftHebb
        A fitted estimator with `predict_proba`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    class_given_unit_ : ndarray of shape (n_units, n_classes)
        P(c | k); uniform for a unit without responsibility.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any) -> UnitLabelClassifier:
        """Estimate P(c | k) from labelled samples.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Samples.
        y : array_like of shape (n_samples,)
            Labels.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the numbers of samples and labels differ.
        """
        return self.fit_posterior(self.estimator.predict_proba(X), y)

    def fit_posterior(self, posterior: FloatArray, y: Any) -> UnitLabelClassifier:
        """Estimate P(c | k) from posteriors over units that are at hand already.

        Parameters
        ----------
        posterior : ndarray of shape (n_samples, n_units)
            Posterior over units.
        y : array_like of shape (n_samples,)
            Labels.

        Returns
        -------
        self
        """
        labels = np.asarray(y)
        if labels.shape != (len(posterior),):
            raise ValueError(
                f"y must have one label for each of {len(posterior)} samples, got shape "
                f"{labels.shape}."
            )
        self.classes_, codes = np.unique(labels, return_inverse=True)
        joint = posterior.T @ np.eye(len(self.classes_))[codes]
        mass = joint.sum(axis=1, keepdims=True)
        uniform = 1.0 / len(self.classes_)
        self.class_given_unit_ = np.where(mass > 0, joint / np.where(mass > 0, mass, 1), uniform)
        return self

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the class posterior, shape (n_samples, n_classes)."""
        check_is_fitted(self)
        return np.asarray(self.estimator.predict_proba(X) @ self.class_given_unit_)

    def predict(self, X: Any) -> np.ndarray[Any, Any]:
        """Return the most probable class of each sample, shape (n_samples,)."""
        check_is_fitted(self)
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


class LinearReadout(ClassifierMixin, BaseEstimator):
    """Class of a sample by a linear readout, trained with labels, of a layer that had none.

    The features are √y_k, y = softmax(u/τ + b) at a temperature of its own: the layer's learned
    weights and prior are read, not its spikes. The root makes small shares count, and gives
    every sample a feature vector of length 1. The readout is a logistic regression.

    Parameters
    ----------
    estimator : SoftHebb or SpikingSoftHebb
        A fitted estimator.
    temperature : float
        Of the features; softer than that of learning, because a readout can use many units.
    regularization : float
        Inverse strength C of the logistic regression.
    max_iter : int
        Steps of its solver at most. It stops before the optimum on purpose where data are large:
        later steps fit the training set only.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    readout_ : LogisticRegression
        The trained readout.
    """

    def __init__(
        self,
        estimator: Any,
        *,
        temperature: float = 0.03,
        regularization: float = 100.0,
        max_iter: int = 100,
    ) -> None:
        self.estimator = estimator
        self.temperature = temperature
        self.regularization = regularization
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any) -> LinearReadout:
        """Train the readout.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Samples.
        y : array_like of shape (n_samples,)
            Labels.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the numbers of samples and labels differ, or there is one class only.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression  # 20 MB that training has no use for

        check_real("temperature", self.temperature, 0.0, low_open=True)
        readout = LogisticRegression(C=self.regularization, max_iter=self.max_iter)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it may stop early
            self.readout_ = readout.fit(self.features(X), np.asarray(y))
        self.classes_ = readout.classes_
        return self

    def features(self, X: Any) -> NDArray[np.float32]:
        """Return √y of each sample, shape (n_samples, n_units), in single precision."""
        estimator = self.estimator
        check_is_fitted(estimator)
        samples = ArraySamples(X, estimator.n_features_in_)
        found = np.empty((samples.n_samples, len(estimator.weights_)), np.float32)
        start = 0
        for raw in samples.raw_chunks(CHUNK_SAMPLES):
            u = theory.drive(unit_norm_samples(raw, first_row=start), estimator.weights_)
            y = theory.posterior(u, estimator.log_prior_, self.temperature)
            found[start : start + len(raw)] = np.sqrt(y)
            start += len(raw)
        return found

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the class posterior, shape (n_samples, n_classes)."""
        check_is_fitted(self)
        return np.asarray(self.readout_.predict_proba(self.features(X)))

    def predict(self, X: Any) -> np.ndarray[Any, Any]:
        """Return the most probable class of each sample, shape (n_samples,)."""
        check_is_fitted(self)
        return np.asarray(self.readout_.predict(self.features(X)))


READOUTS: dict[str, type[UnitLabelClassifier] | type[LinearReadout]] = {
    "units": UnitLabelClassifier,
    "linear": LinearReadout,
}
