"""Reading a labelled class from units that never saw a label."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags, get_tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    assert_all_finite,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from softhebb_spiking import theory
from softhebb_spiking.samples import CHUNK_SAMPLES, ArraySamples
from softhebb_spiking.validation import FloatArray, check_real, unit_norm_samples


class _Reader(ClassifierMixin, BaseEstimator):
    """Base of the classifiers that read a layer, which is their parameter `estimator`."""

    estimator: Any
    estimator_: Any

    def _fit_layer(self, X: Any) -> Any:
        """Return the layer: as it is if it has learned, else a clone that learns without labels."""
        try:
            check_is_fitted(self.estimator)
        except NotFittedError:
            return clone(self.estimator).fit(X, None)
        return self.estimator

    @property
    def n_features_in_(self) -> int:
        """Features of the layer."""
        return int(self.estimator_.n_features_in_)

    @property
    def feature_names_in_(self) -> NDArray[Any]:
        """Names of the features, if the layer was given any."""
        return np.asarray(self.estimator_.feature_names_in_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        # The length of a sample, which tells the classes of scikit-learn's test data apart, is
        # nothing that this model sees.
        tags.classifier_tags.poor_score = True
        return tags


class UnitLabelClassifier(_Reader):
    """Class posterior of a network: P(c | x) = Σ_k y_k(x) P(c | k).

    Labels are used only to name units: P(c | k) is the share of class c in the responsibility
    that unit k takes on labelled samples.

    Parameters
    ----------
    estimator : SoftHebb or SpikingSoftHebb
        The layer. One that has learned is read as it is; otherwise `fit` lets a clone learn
        without labels first. `sklearn.base.clone`, and with it a grid search, makes an estimator
        that has not learned; put a layer into `sklearn.frozen.FrozenEstimator` to keep it.

    Attributes
    ----------
    estimator_ : SoftHebb or SpikingSoftHebb
        The layer that has learned.
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
        labels = _class_labels(y)
        check_consistent_length(X, labels)
        layer = self._fit_layer(X)
        return self._fit_posterior(layer, layer.predict_proba(X), labels)

    def fit_posterior(self, posterior: FloatArray, y: Any) -> UnitLabelClassifier:
        """Estimate P(c | k) from posteriors over units of a fitted layer that are at hand already.

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
        check_is_fitted(self.estimator)
        return self._fit_posterior(self.estimator, posterior, _class_labels(y))

    def _fit_posterior(
        self, layer: Any, posterior: FloatArray, labels: NDArray[Any]
    ) -> UnitLabelClassifier:
        if labels.shape != (len(posterior),):
            raise ValueError(
                f"y must have one label for each of {len(posterior)} samples, got shape "
                f"{labels.shape}."
            )
        self.estimator_ = layer
        self.classes_, codes = np.unique(labels, return_inverse=True)
        joint = posterior.T @ np.eye(len(self.classes_))[codes]
        mass = joint.sum(axis=1, keepdims=True)
        uniform = 1.0 / len(self.classes_)
        self.class_given_unit_ = np.where(mass > 0, joint / np.where(mass > 0, mass, 1), uniform)
        return self

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the class posterior, shape (n_samples, n_classes)."""
        check_is_fitted(self)
        return np.asarray(self.estimator_.predict_proba(X) @ self.class_given_unit_)

    def predict(self, X: Any) -> np.ndarray[Any, Any]:
        """Return the most probable class of each sample, shape (n_samples,)."""
        check_is_fitted(self)
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


class LinearReadout(_Reader):
    """Class of a sample by a linear readout, trained with labels, of a layer that had none.

    The features are √y_k, y = softmax(u/τ + b) at a temperature of its own: the layer's learned
    weights and prior are read, not its spikes. The root makes small shares count, and gives
    every sample a feature vector of length 1. The readout is a logistic regression.

    Parameters
    ----------
    estimator : SoftHebb or SpikingSoftHebb
        The layer, as for `UnitLabelClassifier`.
    temperature : float
        Of the features; softer than that of learning, because a readout can use many units.
    regularization : float
        Inverse strength C of the logistic regression.
    max_iter : int
        Steps of its solver at most. It stops before the optimum on purpose where data are large:
        later steps fit the training set only.

    Attributes
    ----------
    estimator_ : SoftHebb or SpikingSoftHebb
        The layer that has learned.
    classes_ : ndarray of shape (n_classes,)
        Labels.
    readout_ : LogisticRegression
        The trained readout.
    n_iter_ : int
        Steps that its solver took.
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
        labels = _class_labels(y)
        check_consistent_length(X, labels)
        readout = LogisticRegression(C=self.regularization, max_iter=self.max_iter)
        layer = self._fit_layer(X)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it may stop early
            readout.fit(self._features(layer, X), labels)
        self.estimator_, self.readout_ = layer, readout
        self.classes_ = readout.classes_
        self.n_iter_ = int(readout.n_iter_.max())
        return self

    def features(self, X: Any) -> NDArray[np.float32]:
        """Return √y of each sample, shape (n_samples, n_units), in single precision."""
        check_is_fitted(self)
        return self._features(self.estimator_, X)

    def _features(self, layer: Any, X: Any) -> NDArray[np.float32]:
        samples: ArraySamples = layer._array_samples(X)
        found = np.empty((samples.n_samples, len(layer.weights_)), np.float32)
        start = 0
        for raw in samples.raw_chunks(CHUNK_SAMPLES):
            u = theory.drive(unit_norm_samples(raw, first_row=start), layer.weights_)
            y = theory.posterior(u, layer.log_prior_, self.temperature)
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


def _class_labels(y: Any) -> NDArray[Any]:
    """Return labels as an array of one dimension, or say why they are no classes."""
    labels = column_or_1d(y, warn=True)
    if labels.dtype.kind == "f":
        assert_all_finite(labels, input_name="y")
    check_classification_targets(labels)
    return np.asarray(labels)


READOUTS: dict[str, type[UnitLabelClassifier] | type[LinearReadout]] = {
    "units": UnitLabelClassifier,
    "linear": LinearReadout,
}
