"""How well a mean over seeds is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from softhebb_spiking.validation import FloatArray

CONFIDENCE = 0.95


def students_interval(values: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return mean over seeds and both ends of Student's interval of 95 %.

    The interval assumes that seeds scatter normally; with one seed it is unbounded.

    Parameters
    ----------
    values : array_like of shape (n_seeds, ...)
        What was found with each seed.

    Returns
    -------
    mean, low, high : ndarray of shape (...)
    """
    numbers = np.asarray(values, dtype=np.float64)
    mean, n = numbers.mean(axis=0), len(numbers)
    if n < 2:
        return mean, np.full_like(mean, -np.inf), np.full_like(mean, np.inf)
    half = stats.t.ppf(0.5 + 0.5 * CONFIDENCE, n - 1) * stats.sem(numbers, axis=0)
    return mean, mean - half, mean + half
