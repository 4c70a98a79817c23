"""What the rate and the spiking estimator have in common: both learn the same mixture."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from softhebb_spiking import theory
from softhebb_spiking._blas import one_blas_thread
from softhebb_spiking._checkpoint_keeper import CheckpointKeeper
from softhebb_spiking._memory import check_memory
from softhebb_spiking.checkpoint import Checkpoint
from softhebb_spiking.initialization import INITS, initial_weights
from softhebb_spiking.params import MIN_TEMPERATURE
from softhebb_spiking.samples import (
    CHUNK_SAMPLES,
    ArraySamples,
    Samples,
    as_samples,
    is_stream,
)
from softhebb_spiking.serialization import save_model
from softhebb_spiking.training import Callback, Schedule, learn_in_chunks
from softhebb_spiking.validation import (
    FloatArray,
    as_float_matrix,
    as_generator,
    check_choice,
    check_integer,
    check_real,
    unit_norm_samples,
)

_LEARNED = ("weights_", "log_prior_", "n_features_in_", "n_samples_seen_", "weight_scales_")
_STATE = (*_LEARNED, "feature_names_in_")

MixtureT = TypeVar("MixtureT", bound="SoftHebbMixture")


class SoftHebbMixture(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
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
        n_samples: int | None = None,
        checkpoint: Checkpoint | None = None,
        callback: Callback | None = None,
    ) -> MixtureT:
        """Learn from samples without labels, in the order given.

        The learning rates fall linearly to zero over all samples of all epochs. Samples are taken
        in chunks of about a thousand: no floating-point copy of all of them is made.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features), or iterable of arrays
            Non-negative samples of any real type, scaled to unit norm inside: an array, a memory
            map, a sparse matrix, or batches of any size that come one after the other.
        y : ignored
            For the scikit-learn interface.
        initial_weights : array_like of shape (n_units, n_features), optional
            Start here instead of at `init`.
        initial_log_prior : array_like of shape (n_units,), optional
            Start here instead of at a uniform prior.
        n_samples : int, optional
            How many samples batches will give in one epoch; they need it, since learning rates
            fall over it.
        checkpoint : Checkpoint, optional
            Where and when the state is written, and whether learning goes on from there.
        callback : callable, optional
            Called with a `Progress` after each chunk; what it raises stops the training.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data are not accepted; of arrays before anything is computed. The
            learned state is then what it was before the call.
        MemoryError
            If the layer is too large for the memory that is available.
        FloatingPointError
            If updates overshoot so far that weights diverge.
        OSError
            If a checkpoint cannot be written.
        """
        self._check_parameters()
        samples = as_samples(X, n_samples=n_samples, n_epochs=self.n_epochs)
        if samples.n_samples is None:
            raise ValueError(
                "fit on batches needs n_samples=..., how many samples they give in one epoch, "
                "because learning rates fall to zero over them; partial_fit does not need it."
            )
        if initial_weights is not None:
            initial_weights = as_float_matrix("initial_weights", initial_weights)
        initial = initial_weights, initial_log_prior
        keeper = None
        if checkpoint is not None:
            keeper = CheckpointKeeper(checkpoint, self, samples, initial, _LEARNED)
        schedule = Schedule(n_epochs=self.n_epochs, n_samples=samples.n_samples, falling=True)
        with self._unchanged_on_failure():
            for name in _STATE:
                self.__dict__.pop(name, None)
            self._check_features(X, reset=True)
            if keeper is not None and keeper.found is not None:
                self.__dict__.update(keeper.found.state)
            elif initial_weights is not None:
                self._check_initial_weights(initial_weights, samples)
                self._set_state(*initial)
            learn_in_chunks(
                self,
                samples,
                schedule,
                initial_log_prior=initial_log_prior,
                callback=callback,
                keeper=keeper,
            )
        return self

    def partial_fit(
        self: MixtureT, X: Any, y: Any = None, *, callback: Callback | None = None
    ) -> MixtureT:
        """Go on learning from samples, with the learning rates as they are given.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features), or iterable of such arrays
            Non-negative samples, as for `fit`.
        y : ignored
            For the scikit-learn interface.
        callback : callable, optional
            Called with a `Progress` after each chunk.

        Returns
        -------
        self
        """
        self._check_parameters()
        samples = as_samples(X)
        schedule = Schedule(n_samples=samples.n_samples, falling=False)
        with self._unchanged_on_failure():
            self._check_features(X, reset=not hasattr(self, "weights_"))
            learn_in_chunks(self, samples, schedule, callback=callback)
        return self

    def _check_initial_weights(self, weights: FloatArray, samples: Samples) -> None:
        n_features = samples.shape[-1]
        if n_features is not None and weights.shape[1] != n_features:
            raise ValueError(
                f"initial_weights have {weights.shape[1]} features, but X has "
                f"{n_features} features; pass weights of shape "
                f"({self.n_units}, {n_features})."
            )

    def _begin(self, samples: ArraySamples, log_prior: Any) -> None:
        check_memory(self.n_units, samples.shape[1], samples.n_samples)
        generator = as_generator(self.random_state)
        self._set_state(initial_weights(self.init, samples, self.n_units, generator), log_prior)

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

    def _chunk_samples(self) -> int:
        """Return how many samples are learned from at once."""
        return CHUNK_SAMPLES

    def _learning_key(self) -> int:
        """Return the key of the random numbers of one training."""
        return 0

    def _learn(self, samples: FloatArray, rate_factors: FloatArray, key: int) -> int | None:
        """Learn from unit-norm samples with learning rates scaled sample by sample.

        Returns
        -------
        int or None
            Output spikes, of spiking networks.
        """
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

        def density(chunk: FloatArray, _: int) -> FloatArray:
            with one_blas_thread():
                return theory.log_likelihood(
                    chunk, self.weights_, self.log_prior_, self.temperature
                )

        return self._map_chunks(X, density)

    def _map_chunks(self, X: Any, function: Callable[[FloatArray, int], FloatArray]) -> FloatArray:
        """Return `function` of unit-norm samples and the number of the first, chunk by chunk."""
        samples = self._array_samples(X)
        results, start = [], 0
        for raw in samples.raw_chunks(CHUNK_SAMPLES):
            results.append(function(unit_norm_samples(raw, first_row=start), start))
            start += len(raw)
        return results[0] if len(results) == 1 else np.concatenate(results)

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

    def _array_samples(self, X: Any) -> ArraySamples:
        """Return samples to be read, checked against what was learned from."""
        check_is_fitted(self)
        self._check_parameters()  # set_params may have changed them since
        samples = ArraySamples(X)
        self._check_features(X, reset=False)
        return samples

    def _check_samples(self, X: Any) -> FloatArray:
        return unit_norm_samples(self._array_samples(X).rows(slice(None)))

    def _check_features(self, X: Any, *, reset: bool) -> None:
        """Keep the number and names of features, or compare them, as scikit-learn does."""
        if not is_stream(X):
            validate_data(self, X, reset=reset, skip_check_array=True)

    @property
    def _n_features_out(self) -> int:
        return len(self.weights_)

    def _check_parameters(self) -> None:
        check_integer("n_units", self.n_units, 1)
        check_real("temperature", self.temperature, MIN_TEMPERATURE)
        check_real("learning_rate", self.learning_rate, 0.0, 1.0)
        check_real("prior_learning_rate", self.prior_learning_rate, 0.0, 1.0)
        check_integer("n_epochs", self.n_epochs, 1)
        check_choice("init", self.init, INITS)

    def _set_state(self, weights: FloatArray, log_prior: Any) -> None:
        if len(weights) != self.n_units:
            raise ValueError(
                f"initial weights must have n_units={self.n_units} rows, got shape {weights.shape}."
            )
        if not math.isfinite(np.einsum("ki,ki->", weights, weights)):
            raise ValueError("weights are too large: the squares of their norms overflow.")
        prior = np.full(self.n_units, -math.log(self.n_units))  # numpy's depends on the processor
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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.input_tags.sparse = True
        return tags
