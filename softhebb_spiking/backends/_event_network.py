"""What both floating-point kernels of the event rung work on, and what they do alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking._compiled import kernel
from softhebb_spiking.backends._event_draws import BLOCK_UNITS, Intensities, Spikes
from softhebb_spiking.backends._event_inputs import NEGLIGIBLE
from softhebb_spiking.params import INHIBITIONS, NetworkParams
from softhebb_spiking.validation import FloatArray, IntArray

FEEDBACK, GRADED, EXACT = range(3)
INHIBITION_CODES = dict(zip(INHIBITIONS, (FEEDBACK, GRADED, EXACT), strict=True))
_SMALLEST_SCALE = 1e-6


class Kernel(NamedTuple):
    """A compiled presentation, and what it works on."""

    present: Callable[..., bool]
    new_scratch: Callable[[NetworkParams, Any], Any]  # of one thread, for a type of numbers
    n_drives: int  # rows of drives


class Constants(NamedTuple):
    """Numbers of a network in the form the kernel wants them."""

    inhibition: int
    inhibition_gain: float
    population_size: int
    total_rate: float
    settle_steps: int
    n_steps: int  # with settling
    decay: float
    surplus: float  # of candidates
    log_neuron_rate: float
    concentration: np.floating[Any]  # these in the precision of the weights
    unit_decay: np.floating[Any]


class Layer(NamedTuple):
    """What all threads share; weights are `scales · columns`, in their precision."""

    columns: FloatArray  # by input; a row may go on beyond the last unit
    scales: FloatArray
    log_prior: FloatArray
    bias: FloatArray  # the log prior in the precision of the weights
    u: FloatArray  # drives, of some steps
    intensities: Intensities
    spikes: Spikes
    pool: FloatArray  # inhibition h to come, trend, the h of this step
    arrivals: IntArray


class Task(NamedTuple):
    """What is shown, and at which rates it is learned; one entry or row for each sample."""

    thresholds: NDArray[np.uint64]
    gains: FloatArray
    learning_rates: FloatArray
    prior_learning_rates: FloatArray
    seed: int
    first_sample: int


@kernel()
def units_of_thread(n_units, thread, n_threads):  # type: ignore[no-untyped-def]
    """Return the first unit that a thread owns, and one past the last."""
    share = -(-n_units // (BLOCK_UNITS * n_threads)) * BLOCK_UNITS
    return min(thread * share, n_units), min((thread + 1) * share, n_units)


@kernel()
def shrink(columns, scales, k, factor):  # type: ignore[no-untyped-def]
    """Multiply the weights of a unit by a factor, and nearly always only their scale."""
    scales[k] *= factor
    if abs(scales[k]) < _SMALLEST_SCALE:
        _write_out(columns, k, scales[k])
        scales[k] = 1.0


@kernel()
def _write_out(columns, k, scale):  # type: ignore[no-untyped-def]
    """Multiply the scale of a column into it."""
    for i in range(columns.shape[0]):
        product = columns[i, k] * scale
        columns[i, k] = product if abs(product) > NEGLIGIBLE else 0.0


@kernel()
def learn_log_prior(spikes, log_prior, bias, n_events, rate, first, last):  # type: ignore[no-untyped-def]
    """Apply b_k ← min(0, b_k + η (n_k e^(−b_k) − N)) to a range of units."""
    total = 0
    for event in range(n_events):
        total += spikes.counts[event]
    for event in range(n_events):  # before −N is added: b is that of the step's beginning
        k = spikes.units[event]
        if first <= k < last:
            log_prior[k] += rate * spikes.counts[event] * math.exp(-log_prior[k])
    for k in range(first, last):
        log_prior[k] = min(0.0, log_prior[k] - rate * total)
        bias[k] = log_prior[k]
