"""What the models of populations share: random draws of their neurons, and messages to the pool."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking.encoding import spike_thresholds
from softhebb_spiking.fixed_point import random_halves
from softhebb_spiking.philox import (
    COMPARE_STREAM,
    NEURON_STREAM,
    uniform_words,
)
from softhebb_spiking.processes.presentation import SpikeTable
from softhebb_spiking.validation import FloatArray, IntArray


def spike_probabilities(
    log_intensities: FloatArray, h: float, total_rate: float, population_size: int
) -> FloatArray:
    """Return ρ_k = min(1, (r/M) exp(u_k/τ + b_k − h)), without overflow.

    Parameters
    ----------
    log_intensities : ndarray of shape (n_units,)
        u_k/τ + b_k, nats.
    h : float
        Inhibition, nats.
    total_rate : float
        r, spikes per step.
    population_size : int
        M, neurons.

    Returns
    -------
    ndarray of shape (n_units,)
        Probability of a spike per step of each neuron in the population.
    """
    saturation = math.log(population_size / total_rate)
    excess = np.minimum(log_intensities - h, saturation + 1.0)
    return np.asarray(np.minimum(1.0, total_rate / population_size * np.exp(excess)))


def intensity_messages(log_intensities: FloatArray) -> FloatArray:
    """Return e^v as exponents and mantissas of base 2, which no drive can overflow.

    Parameters
    ----------
    log_intensities : ndarray of shape (n_units,)
        v = u_k/τ + b_k − h, nats.

    Returns
    -------
    ndarray of shape (2, n_units)
        Exponents in row 0, mantissas in [1, 2) in row 1.
    """
    exponents, fractions = np.divmod(log_intensities / math.log(2.0), 1.0)
    return np.stack([exponents, np.exp2(fractions)])


class NeuronPopulations:
    """The random draws of K populations of M neurons, or given spikes in their place.

    Each neuron compares a random number of its own with the probability of its population.
    """

    def __init__(self, proc_params: Any) -> None:
        params = proc_params["params"]
        self._shape = (params.n_units, params.population_size)
        # numba compiles another version for numbers that do not fit 63 bits.
        self._seed: Any = np.uint64(proc_params["seed"])
        self._first_sample: int = proc_params["first_sample"]
        given = proc_params["output_spikes"]
        self._given: SpikeTable | None = None
        if given is not None:
            self._given = SpikeTable(given, params.n_units, params.presentation_steps)

    def words(self, stream: int, sample: int, step: int, n: int) -> NDArray[np.uint32]:
        """Return n random words of a stream for this step."""
        words: NDArray[np.uint32] = uniform_words(
            self._seed, stream, self._first_sample + sample, step, n
        )
        return words

    def counts(self, sample: int, step: int, probabilities: FloatArray) -> NDArray[np.int32]:
        """Return how many neurons of each population fire, shape (n_units,)."""
        if self._given is not None:
            return self._given.counts(sample, step)
        n_neurons = self._shape[0] * self._shape[1]
        words = self.words(NEURON_STREAM, sample, step, n_neurons)
        return self._count_below(words, spike_thresholds(probabilities))

    def counts_below(self, sample: int, step: int, thresholds: IntArray) -> NDArray[np.int32]:
        """Return the same for integer thresholds of 16-bit random numbers."""
        if self._given is not None:
            return self._given.counts(sample, step)
        n_neurons = self._shape[0] * self._shape[1]
        words = self.words(COMPARE_STREAM, sample, step, (n_neurons + 1) // 2)
        return self._count_below(random_halves(words)[:n_neurons], thresholds)

    def _count_below(self, words: NDArray[Any], thresholds: NDArray[Any]) -> NDArray[np.int32]:
        fired = words.reshape(self._shape) < thresholds[:, None]
        return np.asarray(np.count_nonzero(fired, axis=1), np.int32)


def rate_of(rates: NDArray[Any], sample: int) -> Any:
    """Return the rate of a sample: a single rate holds for all, beyond the last it is 0."""
    if rates.ndim == 0:
        return rates.item()
    return rates[sample].item() if sample < len(rates) else 0
