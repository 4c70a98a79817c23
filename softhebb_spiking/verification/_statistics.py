"""Statistics of the ladder: pure functions of counts, posteriors and updates."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import binom

from softhebb_spiking.theory import unit_rows
from softhebb_spiking.validation import FloatArray, IntArray


def total_variation(p: FloatArray, q: FloatArray) -> FloatArray:
    """Return ½ Σ_k |p_k − q_k| along the last axis."""
    return np.asarray(0.5 * np.abs(p - q).sum(axis=-1))


def sampling_floor(y: FloatArray, n_spikes: IntArray) -> FloatArray:
    """Return E[TV(counts/N, y)] if N spikes were drawn independently from y.

    By De Moivre's formula for the mean absolute deviation of a binomial,
    E|n − Ny| = 2 m (1 − y) P(n = m), m = ⌊Ny⌋ + 1.

    Parameters
    ----------
    y : ndarray of shape (n_samples, n_units)
        Posteriors.
    n_spikes : ndarray of shape (n_samples,)
        Spikes N of each sample; a silent sample counts as one with a single spike.

    Returns
    -------
    ndarray of shape (n_samples,)
    """
    n = np.maximum(n_spikes[:, np.newaxis], 1)
    m = np.floor(n * y) + 1.0
    deviation = 2.0 * m * (1.0 - y) * binom.pmf(m, n, y)
    return np.asarray(0.5 * (deviation / n).sum(axis=1))


def cosine(a: FloatArray, b: FloatArray) -> float:
    """Return the cosine between two arrays of the same shape."""
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def slope_through_origin(target: FloatArray, measured: FloatArray) -> float:
    """Return the least-squares slope of measured = slope · target."""
    return float((measured * target).sum() / (target * target).sum())


def match_units(weights: FloatArray, reference: FloatArray) -> tuple[IntArray, FloatArray]:
    """Match each unit to one of the reference, one to one, by the greatest total cosine.

    Returns
    -------
    order : ndarray of shape (n_units,)
        weights[order[k]] belongs to reference[k].
    cosines : ndarray of shape (n_units,)
        Their cosines.
    """
    cosines = unit_rows(reference) @ unit_rows(weights).T
    rows, columns = linear_sum_assignment(-cosines)
    return np.asarray(columns), np.asarray(cosines[rows, columns])


def normalized_counts(counts: IntArray) -> FloatArray:
    """Return spike counts as a posterior, rows summing to 1; uniform where there is no spike."""
    totals = counts.sum(axis=1, keepdims=True)
    return np.where(totals > 0, counts / np.maximum(totals, 1), 1.0 / counts.shape[1])
