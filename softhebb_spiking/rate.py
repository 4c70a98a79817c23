"""The reference: SoftHebb's equations on rates, nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from softhebb_spiking import theory
from softhebb_spiking._blas import one_blas_thread
from softhebb_spiking.mixture import SoftHebbMixture
from softhebb_spiking.samples import CHUNK_SAMPLES
from softhebb_spiking.validation import FloatArray, check_integer


class SoftHebb(SoftHebbMixture):
    """Online Bayesian mixture learning by a soft winner-take-all layer [1]_.

    For every sample, y = softmax(u/τ + b) with u_k = w_k · x, then Δw_k = η y_k (x − u_k w_k)
    and Δb_k = η_b (y_k e^(−b_k) − 1).

    Parameters
    ----------
    n_units : int
        Units K.
    temperature : float
        Softmax temperature τ.
    learning_rate : float
        η of each sample, in [0, 1].
    prior_learning_rate : float
        η_b of each sample; 0 keeps the prior as it is.
    batch_size : int
        Samples whose updates are computed at the same weights and added up; 1 is the online rule
        of the paper exactly. Two things keep larger batches stable: if the summed responsibility
        of a unit times η exceeds 1, its step is limited to the posterior-weighted mean, and the
        log prior follows the flow of its rule instead of one long step.
    n_epochs : int
        Passes of `fit` over the data.
    init : {"data", "random"}
        Initial weights: near the data mean, or positive at random.
    random_state : int, Generator, RandomState or None
        For initial weights and `sample`.

    Attributes
    ----------
    weights_ : ndarray of shape (n_units, n_features)
        Weights; their norms tend to 1.
    log_prior_ : ndarray of shape (n_units,)
        Log prior, nats.
    n_features_in_, n_samples_seen_ : int
        Features, and samples learned from so far.

    References
    ----------
    .. [1] Moraitis et al., Neuromorph. Comput. Eng. 2 044017, 2022 (arXiv 2107.05747).

    Examples
    --------
    >>> from softhebb_spiking import SoftHebb, load_dataset
    >>> digits = load_dataset("digits")
    >>> model = SoftHebb(n_units=20, random_state=0).fit(digits.X_train)
    >>> model.predict_proba(digits.X_test).shape
    (360, 20)
    """

    def __init__(
        self,
        n_units: int = 100,
        *,
        temperature: float = 0.02,
        learning_rate: float = 0.1,
        prior_learning_rate: float = 0.0,
        batch_size: int = 10,
        n_epochs: int = 1,
        init: str = "data",
        random_state: Any = None,
    ) -> None:
        self.n_units = n_units
        self.temperature = temperature
        self.learning_rate = learning_rate
        self.prior_learning_rate = prior_learning_rate
        self.batch_size = batch_size
        self.n_epochs = n_epochs
        self.init = init
        self.random_state = random_state

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the posterior y = softmax(u/τ + b).

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Non-negative samples; scaled to unit norm inside.

        Returns
        -------
        ndarray of shape (n_samples, n_units)
            Rows sum to 1.
        """

        def posterior(chunk: FloatArray, _: int) -> FloatArray:
            with one_blas_thread():
                u = theory.drive(chunk, self.weights_)
            return theory.posterior(u, self.log_prior_, self.temperature)

        return self._map_chunks(X, posterior)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_integer("batch_size", self.batch_size, 1)

    def _chunk_samples(self) -> int:
        """Return whole batches, so that chunks cut none."""
        return -(-CHUNK_SAMPLES // self.batch_size) * int(self.batch_size)

    def _learn(self, samples: FloatArray, rate_factors: FloatArray, key: int) -> None:
        self.weights_ = self.weights_.copy()  # others may have the old ones
        with one_blas_thread():
            for start in range(0, len(samples), self.batch_size):
                batch = slice(start, start + self.batch_size)
                self._learn_batch(samples[batch], rate_factors[batch, np.newaxis])
                self.n_samples_seen_ += len(samples[batch])
        if not np.isfinite(self.weights_).all():
            raise FloatingPointError(
                f"the weights diverged: start from weights of norm 1, or lower learning_rate="
                f"{self.learning_rate:g}."
            )

    def _learn_batch(self, X: FloatArray, rate_factors: FloatArray) -> None:
        u = theory.drive(X, self.weights_)
        y = theory.posterior(u, self.log_prior_, self.temperature)
        scaled = self.learning_rate * rate_factors * y
        step = theory.weight_update(X, u, scaled, self.weights_)
        self.weights_ += step / np.maximum(1.0, scaled.sum(axis=0))[:, np.newaxis]
        if self.prior_learning_rate > 0.0:
            self._learn_log_prior(y, self.prior_learning_rate * rate_factors)

    def _learn_log_prior(self, y: FloatArray, rates: FloatArray) -> None:
        """Apply the rule to one sample as the paper has it, to a batch by its exact flow."""
        if self.batch_size == 1:
            step = rates[0] * theory.log_prior_update(y, self.log_prior_)
            self.log_prior_ = np.minimum(0.0, self.log_prior_ + step)  # no prior exceeds 1
        elif rates.sum() > 0.0:
            mean_y = np.average(y, axis=0, weights=rates[:, 0])
            self.log_prior_ = theory.log_prior_flow(mean_y, self.log_prior_, rates.sum())
