"""From samples to input spikes, and the random numbers that every rung can draw alike.

Random numbers come from Philox4x32-10 [1]_, a bijection of a counter under a key. The key is the
seed, the counter is (index, step, sample, stream), so a number depends on *what* it is for and not
on what was drawn before it: runs repeat exactly in any order of work, on any rung.

References
----------
.. [1] Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from softhebb_spiking.params import NetworkParams
from softhebb_spiking.validation import FloatArray, IntArray

INPUT_STREAM = 0
NEURON_STREAM = 1
POPULATION_STREAM = 2
# In integers: comparisons of neurons, updates to make, and roundings.
COMPARE_STREAM = 3
DOSE_STREAM = 4
PRIOR_STREAM = 5
TRACE_STREAM = 6
SYNAPSE_STREAM = 7

_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_LOW_WORD = np.uint64(0xFFFFFFFF)
_WORD_BITS = np.uint64(32)
_ROUNDS = 10


@njit(cache=True, inline="always")
def philox_4x32(
    seed: np.uint64, stream: int, sample: int, step: int, block: int
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Return the four random 32-bit words of one counter, as uint64.

    Parameters
    ----------
    seed : uint64
        The key.
    stream, sample, step, block : int
        The counter, each below 2**32; a block holds the words of four consecutive indices.

    Returns
    -------
    tuple of four uint64
        Independent, uniform in [0, 2**32).
    """
    # Everything stays 64 bits wide: numba promotes 32-bit shifts and would lose the carries.
    key_0 = seed & _LOW_WORD
    key_1 = seed >> _WORD_BITS
    c0 = np.uint64(block) & _LOW_WORD
    c1 = np.uint64(step) & _LOW_WORD
    c2 = np.uint64(sample) & _LOW_WORD
    c3 = np.uint64(stream) & _LOW_WORD
    for _ in range(_ROUNDS):
        product_0 = _MULTIPLIER_0 * c0
        product_1 = _MULTIPLIER_1 * c2
        c0 = (product_1 >> _WORD_BITS) ^ c1 ^ key_0
        c2 = (product_0 >> _WORD_BITS) ^ c3 ^ key_1
        c1 = product_1 & _LOW_WORD
        c3 = product_0 & _LOW_WORD
        key_0 = (key_0 + _WEYL_0) & _LOW_WORD
        key_1 = (key_1 + _WEYL_1) & _LOW_WORD
    return c0, c1, c2, c3


@njit(cache=True)
def uniform_words(
    seed: int, stream: int, sample: int, step: int, n: int, first_block: int = 0
) -> NDArray[np.uint32]:
    """Return the random words of indices 0 … n−1.

    Parameters
    ----------
    seed, stream, sample, step : int
        Key and counter.
    n : int
        How many indices.
    first_block : int
        Count indices from the first one of this block of four.

    Returns
    -------
    ndarray of shape (n,), uint32
        Word i belongs to index i, whatever n is.
    """
    words = np.empty(n, np.uint32)
    for block in range((n + 3) // 4):
        four = philox_4x32(np.uint64(seed), stream, sample, step, first_block + block)
        for lane in range(min(4, n - 4 * block)):
            words[4 * block + lane] = np.uint32(four[lane])
    return words


def spike_thresholds(probabilities: FloatArray) -> NDArray[np.uint64]:
    """Return the thresholds below which a random word means a spike.

    P(word < threshold) is the probability to within 2**-33; probability 1 always spikes.
    """
    return np.asarray(np.rint(np.asarray(probabilities) * 2.0**32), np.uint64)


def psp_decay(params: NetworkParams) -> float:
    """Return d = exp(−dt/τ_psp), by which a PSP falls in one step."""
    return math.exp(-params.dt_ms / params.psp_tau_ms)


def input_probabilities(samples: FloatArray, max_probability: float) -> FloatArray:
    """Return p_i = p_max x_i / max(x) for each sample.

    Parameters
    ----------
    samples : ndarray of shape (..., n_features)
        Non-negative, with a positive entry in each row.
    max_probability : float
        Probability of the strongest input, in (0, 1].

    Returns
    -------
    ndarray of the same shape
        Spike probabilities per step.
    """
    peak = samples.max(axis=-1, keepdims=True)
    return np.asarray(max_probability * samples / peak)


def psp_rise(params: NetworkParams) -> float:
    """Return the mean of 1 − d^(j+1) over the steps j that are read.

    It is the share of its final height that the expected PSP reaches on average while the
    sample is read, since every presentation starts from silence.
    """
    decay = psp_decay(params)
    steps = np.arange(params.settle_steps, params.presentation_steps)
    return float(1.0 - (decay ** (steps + 1.0)).mean())


def psp_gain(samples: FloatArray, params: NetworkParams) -> FloatArray:
    """Return g = max(x) (1 − d) / (p_max · rise), the PSP height for which E[s] = x.

    The expectation is the mean over the steps that are read; see `psp_rise`.

    Parameters
    ----------
    samples : ndarray of shape (..., n_features)
        The samples.
    params : NetworkParams
        Gives d, p_max and the steps.

    Returns
    -------
    ndarray of shape (...)
        One gain for each sample.
    """
    scale = (1.0 - psp_decay(params)) / (params.max_probability * psp_rise(params))
    return np.asarray(samples.max(axis=-1) * scale)


@njit(cache=True)
def draw_presentation(
    thresholds: NDArray[np.uint64], n_steps: int, seed: int, sample: int
) -> tuple[IntArray, IntArray]:
    """Draw the input spikes of one presentation.

    Parameters
    ----------
    thresholds : ndarray of shape (n_features,), uint64
        From `spike_thresholds`.
    n_steps : int
        Steps of the presentation.
    seed, sample : int
        Key, and number of the sample in the stream.

    Returns
    -------
    starts : ndarray of shape (n_steps + 1,)
        Spikes of step j are `indices[starts[j]:starts[j + 1]]`.
    indices : ndarray of shape (n_spikes,)
        Inputs that fire, ascending within a step.
    """
    active = np.flatnonzero(thresholds)
    indices = np.empty(n_steps * active.size, np.int64)
    starts = np.zeros(n_steps + 1, np.int64)
    n_spikes = 0
    for step in range(n_steps):
        block = -1
        four = philox_4x32(np.uint64(seed), INPUT_STREAM, sample, step, 0)
        for i in active:
            if i // 4 != block:
                block = i // 4
                four = philox_4x32(np.uint64(seed), INPUT_STREAM, sample, step, block)
            if four[i % 4] < thresholds[i]:
                indices[n_spikes] = i
                n_spikes += 1
        starts[step + 1] = n_spikes
    return starts, indices[:n_spikes]


def draw_input_spikes(
    samples: FloatArray, params: NetworkParams, seed: int, first_sample: int = 0
) -> IntArray:
    """Return the input spikes that every rung draws for these samples.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, n_features)
        Non-negative samples.
    params : NetworkParams
        Gives p_max and the number of steps.
    seed : int
        Key of the generator.
    first_sample : int
        Number of the first sample in the stream.

    Returns
    -------
    ndarray of shape (n_spikes, 3)
        Rows (sample, step, index), sorted.
    """
    thresholds = spike_thresholds(input_probabilities(samples, params.max_probability))
    rows = []
    for sample, row in enumerate(thresholds):
        starts, indices = draw_presentation(
            row, params.presentation_steps, seed, first_sample + sample
        )
        rows.append(spike_rows(sample, starts, indices))
    return np.concatenate(rows)


def spike_rows(sample: int, starts: IntArray, indices: IntArray) -> IntArray:
    """Return the rows (sample, step, index) of one presentation, shape (n_spikes, 3)."""
    steps = np.repeat(np.arange(starts.size - 1), np.diff(starts))
    return np.column_stack([np.full(indices.size, sample), steps, indices])
