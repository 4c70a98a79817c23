"""From samples to input spikes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking._cache import cached_njit
from softhebb_spiking.params import NetworkParams
from softhebb_spiking.philox import (
    INPUT_STREAM,
    STEPS_OF_BLOCK,
    bytes_of_steps,
    low_bits_of_input,
)
from softhebb_spiking.validation import FloatArray, IntArray


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


@cached_njit()
def input_thresholds(samples: FloatArray, max_probability: float) -> NDArray[np.uint64]:
    """Return the spike thresholds of inputs that show samples.

    Compiled, because numpy would go through all samples many times.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, n_features)
        Non-negative, with a positive entry in each row.
    max_probability : float
        Probability of the strongest input, in (0, 1].

    Returns
    -------
    ndarray of shape (n_samples, n_features), uint64
        Those of `input_probabilities`, see `spike_thresholds`.
    """
    thresholds = np.empty(samples.shape, np.uint64)
    for sample in range(samples.shape[0]):
        row, peak = samples[sample], samples[sample].max()
        for i in range(row.size):
            thresholds[sample, i] = np.uint64(np.rint(max_probability * row[i] / peak * 2.0**32))
    return thresholds


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


@cached_njit(inline="always")
def is_below(
    high_byte: int, threshold: np.uint64, seed: int, sample: int, step: int, index: int
) -> bool:
    """Tell whether the word of an input lies below its threshold, given the word's high byte."""
    of_threshold = threshold >> np.uint64(24)
    if high_byte != of_threshold:
        return bool(high_byte < of_threshold)
    rest = threshold & np.uint64(0xFFFFFF)
    return bool(low_bits_of_input(seed, sample, step, index) < rest)


@cached_njit()
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
    active = np.flatnonzero(thresholds).astype(np.int32)
    words = np.empty((4, active.size), np.uint32)
    drawn = np.empty((STEPS_OF_BLOCK, active.size), np.uint8)
    indices = np.empty(n_steps * active.size, np.int64)
    starts = np.zeros(n_steps + 1, np.int64)
    n_spikes = 0
    for step in range(n_steps):
        lane = step % STEPS_OF_BLOCK
        if lane == 0:
            bytes_of_steps(seed, INPUT_STREAM, sample, step // STEPS_OF_BLOCK, active, words, drawn)
        for p in range(active.size):
            i = active[p]
            if is_below(drawn[lane, p], thresholds[i], seed, sample, step, i):
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
    thresholds = input_thresholds(samples, params.max_probability)
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
