"""Reading a labelled class from units that never saw a label."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from softhebb_spiking.validation import FloatArray


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
