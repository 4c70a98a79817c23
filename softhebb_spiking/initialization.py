"""Weights to start from: near the mean of the data, or at random."""

from __future__ import annotations

import numpy as np

from softhebb_spiking import theory
from softhebb_spiking.samples import CHUNK_SAMPLES, ArraySamples
from softhebb_spiking.validation import FloatArray, unit_norm_samples

INITS = ("data", "random")
_UNITS_AT_ONCE = 500
_SPREAD_OF_DATA_INIT = 0.5


def initial_weights(
    init: str, samples: ArraySamples, n_units: int, generator: np.random.Generator
) -> FloatArray:
    """Return weights for units that have learned nothing yet.

    Parameters
    ----------
    init : {"data", "random"}
        "data": the direction of the data mean, moved some way towards a random sample each;
        starting close together lets no unit be left behind at low temperature. "random":
        uniform positive entries, unit norm.
    samples : ArraySamples
        What will be learned from, or the beginning of it.
    n_units : int
        Units K.
    generator : Generator
        Draws rows and entries.

    Returns
    -------
    ndarray of shape (n_units, n_features)
        Rows of unit norm.
    """
    shape = (n_units, samples.shape[1])
    if init == "random":
        return theory.unit_rows(generator.uniform(size=shape))
    too_few = samples.n_samples < n_units
    rows = generator.choice(samples.n_samples, size=n_units, replace=too_few)
    if too_few:  # units that start alike would stay alike for ever
        noise = theory.unit_rows(generator.uniform(size=shape))
        chosen = unit_norm_samples(samples.rows(rows))
        return theory.unit_rows(chosen + _SPREAD_OF_DATA_INIT * noise)
    mean = theory.unit_rows(_mean_sample(samples)[np.newaxis])
    weights = np.empty(shape)
    for start in range(0, n_units, _UNITS_AT_ONCE):
        part = slice(start, start + _UNITS_AT_ONCE)
        chosen = unit_norm_samples(samples.rows(rows[part]))
        weights[part] = theory.unit_rows(mean + _SPREAD_OF_DATA_INIT * (chosen - mean))
    return weights


def _mean_sample(samples: ArraySamples) -> FloatArray:
    """Return the mean of the unit-norm samples, with the bits of a mean over all rows at once."""
    total = np.zeros((1, samples.shape[1]))
    for raw in samples.raw_chunks(CHUNK_SAMPLES // 10):
        # numpy adds rows one after the other, so carrying the sum on changes no rounding.
        total = np.vstack([total, unit_norm_samples(raw)]).sum(axis=0, keepdims=True)
    return np.asarray(total[0] / samples.n_samples)
