"""What the rate and the spiking estimator have in common: both learn the same mixture."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from softhebb_spiking import theory
from softhebb_spiking._checkpoint_keeper import CheckpointKeeper
from softhebb_spiking.checkpoint import Checkpoint
from softhebb_spiking.initialization import INITS, initial_weights
from softhebb_spiking.samples import CHUNK_SAMPLES, ArraySamples, Samples, as_samples
from softhebb_spiking.serialization import save_model
from softhebb_spiking.training import Callback, Schedule, learn_in_chunks
from softhebb_spiking.validation import (
    FloatArray,
    as_float_matrix,
    as_generator,
    check_choice,
    check_integer,
    check_n_features,
    check_real,
    unit_norm_samples,
)

_STATE = ("weights_", "log_prior_", "n_features_in_", "n_samples_seen_", "weight_scales_")

MixtureT = TypeVar("MixtureT", bound="SoftHebbMixture")


class SoftHebbMixture(TransformerMixin, BaseEstimator):
    """Base of the estimators: initial state, density, prediction, saving.

    Subclasses offer the parameters `n_units`, `temperature`, `learning_rate`,
    `prior_learning_rate`, `n_epochs`, `init` and `random_state`, and implement `_learn` and
    `predict_proba`.
    """

    n_units: int
    temperature: float
    learning_rate: float
    prior_learning_rate: float
    n_epochs: int
    init: str
    random_state: Any
    weights_: FloatArray
    log_prior_: FloatArray
    n_features_in_: int
    n_samples_seen_: int

    @classmethod
    def from_weights(
        cls: type[MixtureT], weights: Any, log_prior: Any = None, **params: Any
    ) -> MixtureT:
        """Return an estimator that starts from given weights.

        Parameters
        ----------
        weights : array_like of shape (n_units, n_features)
            Weights.
        log_prior : array_like of shape (n_units,), optional
            Log prior, nats; uniform if not given.
        **params
            Parameters of the estimator; `n_units` follows from the weights.

        Returns
        -------
        estimator
            Ready to predict, record or go on learning with `partial_fit`.

        Raises
        ------
        TypeError, ValueError
            If weights, log prior and parameters do not fit together.
        """
        matrix = as_float_matrix("weights", weights)
        if params.setdefault("n_units", len(matrix)) != len(matrix):
            raise ValueError(
                f"n_units={params['n_units']} does not fit weights of shape {matrix.shape}; "
                "leave n_units out."
            )
        estimator = cls(**params)
        estimator._check_parameters()
        estimator._set_state(matrix, log_prior)
        return estimator

    def fit(
        self: MixtureT,
        X: Any,
        y: Any = None,
        *,
        initial_weights: Any = None,
        initial_log_prior: Any = None,
    ) -> MixtureT:
        """Learn from samples without labels, in the order given.

        The learning rates fall linearly to zero over all samples of all epochs.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Non-negative samples; scaled to unit norm inside.
        y : ignored
            For the scikit-learn interface.
        initial_weights : array_like of shape (n_units, n_features), optional
            Start here instead of at `init`.
        initial_log_prior : array_like of shape (n_units,), optional
            Start here instead of at a uniform prior.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data are not accepted; before anything is computed.
        """
        self._check_parameters()
        samples = unit_norm_samples(X)
        if initial_weights is None:
            initial_weights = self._initial_weights(samples)
        initial_weights = as_float_matrix("initial_weights", initial_weights)
        if initial_weights.shape[1] != samples.shape[1]:
            raise ValueError(
                f"initial_weights have {initial_weights.shape[1]} features, but X has "
                f"{samples.shape[1]} features; pass weights of shape "
                f"({self.n_units}, {samples.shape[1]})."
            )
        n_total = self.n_epochs * len(samples)
        with self._unchanged_on_failure():
            self._set_state(initial_weights, initial_log_prior)
            for epoch in range(self.n_epochs):
                shown = np.arange(epoch * len(samples), (epoch + 1) * len(samples))
                self._learn(samples, 1.0 - shown / n_total)
        return self

    def partial_fit(self: MixtureT, X: Any, y: Any = None) -> MixtureT:
        """Go on learning from samples, with the learning rates as they are given.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Non-negative samples; scaled to unit norm inside.
        y : ignored
            For the scikit-learn interface.

        Returns
        -------
        self
        """
        self._check_parameters()
        started = hasattr(self, "weights_")
        samples = unit_norm_samples(X, self.n_features_in_ if started else None)
        with self._unchanged_on_failure():
            if not started:
                self._set_state(self._initial_weights(samples), None)
            self._learn(samples, np.ones(len(samples)))
        return self

    @contextlib.contextmanager
    def _unchanged_on_failure(self) -> Iterator[None]:
        """Put the learned state back if learning does not come to its end."""
        before = {name: getattr(self, name) for name in _STATE if hasattr(self, name)}
        before = {
            name: np.copy(value) if np.ndim(value) else value for name, value in before.items()
        }
        try:
            yield
        except BaseException:
            for name in _STATE:
                self.__dict__.pop(name, None)
            self.__dict__.update(before)
            raise

    def _learn(self, samples: FloatArray, rate_factors: FloatArray) -> None:
        """Learn from unit-norm samples with learning rates scaled sample by sample."""
        raise NotImplementedError

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the posterior over units, shape (n_samples, n_units)."""
        raise NotImplementedError

    def predict(self, X: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the most probable unit of each sample, shape (n_samples,)."""
        return np.asarray(self.predict_proba(X).argmax(axis=1))

    def transform(self, X: Any) -> FloatArray:
        """Return the posterior over units as features, shape (n_samples, n_units)."""
        return self.predict_proba(X)

    def score_samples(self, X: Any) -> FloatArray:
        """Return the log-density of each sample, nats on the unit sphere, shape (n_samples,).

        See `softhebb_spiking.theory.log_likelihood`.
        """
        samples = self._check_samples(X)
        return theory.log_likelihood(samples, self.weights_, self.log_prior_, self.temperature)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean log-density, nats per sample: minus the cross-entropy."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1) -> FloatArray:
        """Draw from the learned density.

        Parameters
        ----------
        n_samples : int
            How many.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Points on the unit sphere.
        """
        check_is_fitted(self)
        return theory.sample_mixture(
            self.weights_,
            self.log_prior_,
            self.temperature,
            check_integer("n_samples", n_samples, 1),
            as_generator(self.random_state),
        )

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator to a safetensors file; `load_model` reads it back."""
        check_is_fitted(self)
        save_model(self, path)

    def _check_samples(self, X: Any) -> FloatArray:
        check_is_fitted(self)
        self._check_parameters()  # set_params may have changed them since
        return unit_norm_samples(X, self.n_features_in_)

    def _check_parameters(self) -> None:
        check_integer("n_units", self.n_units, 1)
        check_real("temperature", self.temperature, 0.0, low_open=True)
        check_real("learning_rate", self.learning_rate, 0.0, 1.0)
        check_real("prior_learning_rate", self.prior_learning_rate, 0.0, 1.0)
        check_integer("n_epochs", self.n_epochs, 1)
        check_choice("init", self.init, INITS)

    def _set_state(self, weights: FloatArray, log_prior: Any) -> None:
        if len(weights) != self.n_units:
            raise ValueError(
                f"initial weights must have n_units={self.n_units} rows, got shape {weights.shape}."
            )
        prior = np.full(self.n_units, -np.log(self.n_units))
        if log_prior is not None:
            given = np.asarray(log_prior)
            prior = as_float_matrix("log_prior", given[np.newaxis])[0] if given.ndim == 1 else given
            if prior.shape != (self.n_units,):
                raise ValueError(f"log_prior must have shape ({self.n_units},), got {prior.shape}.")
        self.weights_ = weights.copy()
        self.log_prior_ = prior.copy()
        self.n_features_in_ = weights.shape[1]
        self.n_samples_seen_ = 0
        self.__dict__.pop("weight_scales_", None)  # of other weights

    def _initial_weights(self, samples: FloatArray) -> FloatArray:
        """Return initial weights of shape (n_units, n_features).

        "data": the direction of the data mean, moved some way towards a random sample each;
        starting close together lets no unit be left behind at low temperature. "random":
        uniform positive entries, unit norm.
        """
        generator = as_generator(self.random_state)
        if self.init == "random":
            return theory.unit_rows(generator.uniform(size=(self.n_units, samples.shape[1])))
        mean = theory.unit_rows(samples.mean(axis=0, keepdims=True))
        too_few = len(samples) < self.n_units
        chosen = generator.choice(len(samples), size=self.n_units, replace=too_few)
        if too_few:  # units that start alike would stay alike for ever
            noise = theory.unit_rows(generator.uniform(size=(self.n_units, samples.shape[1])))
            return theory.unit_rows(samples[chosen] + _SPREAD_OF_DATA_INIT * noise)
        return theory.unit_rows(mean + _SPREAD_OF_DATA_INIT * (samples[chosen] - mean))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags
