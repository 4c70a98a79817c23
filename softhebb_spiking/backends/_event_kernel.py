"""The compiled steps of the event rung.

A presentation costs one row of the weight matrix per input spike and one column per population
that fires. The decay of a whole column on learning is one multiplication, because a column is
stored as `scale_k · v_k`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from softhebb_spiking.encoding import POPULATION_STREAM, philox_4x32
from softhebb_spiking.validation import FloatArray

# A population that is expected to emit fewer spikes than this in a step is not worth a draw:
# the random word has 32 bits.
_LOG_NEGLIGIBLE_RATE = -33.0 * math.log(2.0)
_SMALLEST_SCALE = 1e-6

FEEDBACK, GRADED, EXACT = range(3)


class Constants(NamedTuple):
    """Numbers of a network in the form the kernel wants them."""

    concentration: float
    inhibition: int
    inhibition_gain: float
    population_size: int
    total_rate: float
    settle_steps: int
    decay: float


class Probes(NamedTuple):
    """What is recorded in each step that is read; arrays of length 0 are not filled."""

    drive: FloatArray
    inhibition: FloatArray
    psp: FloatArray


@njit(cache=True)
def present(  # type: ignore[no-untyped-def]
    net,
    columns,
    scales,
    log_prior,
    starts,
    indices,
    gain,
    counts,
    clamped,
    learning_rate,
    prior_learning_rate,
    seed,
    sample,
    probes,
):
    """Show one sample: the steps of `docs/model.md`, in its order; fills `counts` and probes."""
    n_units = log_prior.size
    u = np.zeros(n_units)
    current = np.zeros(n_units)
    psp = np.zeros(columns.shape[0])
    active = np.unique(indices)
    h = 0.0
    trend = 0.0
    for step in range(starts.size - 1):
        reading = step - net.settle_steps
        for k in range(n_units):
            u[k] = net.decay * u[k] + current[k]
        if net.inhibition == EXACT:
            h = _log_normalizer(u, log_prior, net.concentration)
        if not clamped:
            _draw_counts(net, u, log_prior, h, counts[step], seed, sample, step)
        # The pool hears of this step before the step's learning changes the log prior.
        correction = _pool_correction(net, counts[step], u, log_prior, h)
        trend = net.decay * trend + (1.0 - net.decay) * correction
        fired = indices[starts[step] : starts[step + 1]]
        for i in active:
            psp[i] *= net.decay
        for i in fired:
            psp[i] += gain
        _sum_currents(columns, scales, fired, gain, current)
        if reading >= 0:
            _probe(probes, reading, u, h, psp)
            _learn_columns(columns, scales, counts[step], learning_rate, u, psp, active)
            _learn_log_prior(log_prior, counts[step], prior_learning_rate)
        h += correction + trend


@njit(cache=True)
def _pool_correction(net, counts, u, log_prior, h):  # type: ignore[no-untyped-def]
    """Return κ e: by how many nats the pool corrects its inhibition after this step."""
    if net.inhibition == FEEDBACK:
        ratio = (counts.sum() + 0.5) / (net.total_rate + 0.5)
        return net.inhibition_gain * math.log(ratio)
    if net.inhibition == GRADED:
        return _log_normalizer(u, log_prior, net.concentration) - h
    return 0.0  # exact: h is set anew in every step


@njit(cache=True)
def _log_normalizer(u, log_prior, concentration):  # type: ignore[no-untyped-def]
    """Return log Σ_k exp(u_k/τ + b_k)."""
    largest = -np.inf
    for k in range(u.size):
        largest = max(largest, concentration * u[k] + log_prior[k])
    total = 0.0
    for k in range(u.size):
        exponent = concentration * u[k] + log_prior[k] - largest
        if exponent > -40.0:  # below, the term is lost in the rounding of the sum
            total += math.exp(exponent)
    return largest + math.log(total)


@njit(cache=True)
def _draw_counts(net, u, log_prior, h, counts, seed, sample, step):  # type: ignore[no-untyped-def]
    """Draw n_k ~ Binomial(M, ρ_k), ρ_k = min(1, (r/M) exp(u_k/τ + b_k − h))."""
    log_total_rate = math.log(net.total_rate)
    for k in range(u.size):
        log_rate = log_total_rate + net.concentration * u[k] + log_prior[k] - h
        if log_rate > _LOG_NEGLIGIBLE_RATE:
            rho = min(1.0, math.exp(log_rate) / net.population_size)
            four = philox_4x32(np.uint64(seed), POPULATION_STREAM, sample, step, k // 4)
            counts[k] = binomial_quantile(four[k % 4], net.population_size, rho)


@njit(cache=True)
def binomial_quantile(word, n, p):  # type: ignore[no-untyped-def]
    """Return the Binomial(n, p) quantile at (word + ½) / 2³², by summing its probabilities.

    Parameters
    ----------
    word : uint64
        Uniform in [0, 2³²).
    n : int
        Trials, at most 1024.
    p : float
        Probability, in [0, 1].

    Returns
    -------
    int
        A Binomial(n, p) variate if `word` is uniform.
    """
    if p >= 1.0:
        return n
    if p > 0.5:  # summing from the likely end keeps (1 − p)^n inside the float range
        return n - binomial_quantile(np.uint64(0xFFFFFFFF) - word, n, 1.0 - p)
    uniform = (float(word) + 0.5) * 2.0**-32
    odds = p / (1.0 - p)
    probability = math.exp(n * math.log1p(-p))
    cumulative = probability
    k = 0
    while cumulative < uniform and k < n:
        k += 1
        probability *= odds * (n - k + 1) / k
        cumulative += probability
    return k


@njit(cache=True)
def _sum_currents(columns, scales, fired, gain, current):  # type: ignore[no-untyped-def]
    """Set a_k = g Σ_fired w_ki: one row of the transposed weights per spike."""
    current[:] = 0.0
    for i in fired:
        row = columns[i]
        for k in range(current.size):
            current[k] += row[k]
    for k in range(current.size):
        current[k] *= gain * scales[k]


@njit(cache=True)
def _learn_columns(  # type: ignore[no-untyped-def]
    columns, scales, counts, learning_rate, u, psp, active
):
    """Let every population that fired learn, at the rate times its spikes."""
    if learning_rate > 0.0:
        for k in range(counts.size):
            if counts[k] > 0:
                eta = learning_rate * counts[k]
                _learn_column(columns, scales, k, eta, u[k], psp, active)


@njit(cache=True)
def _learn_column(columns, scales, k, eta, u_k, psp, active):  # type: ignore[no-untyped-def]
    """Apply w_k ← w_k + η (s − u_k w_k), the decay through the scale of the column."""
    keep = 1.0 - eta * u_k
    if abs(scales[k] * keep) < _SMALLEST_SCALE:
        for i in range(columns.shape[0]):
            columns[i, k] *= scales[k] * keep
        scales[k] = 1.0
    else:
        scales[k] *= keep
    step = eta / scales[k]
    for i in active:
        columns[i, k] += step * psp[i]


@njit(cache=True)
def _learn_log_prior(log_prior, counts, rate):  # type: ignore[no-untyped-def]
    """Apply b_k ← min(0, b_k + η (n_k e^(−b_k) − N))."""
    if rate == 0.0:
        return
    total = counts.sum()
    for k in range(log_prior.size):
        growth = counts[k] * math.exp(-log_prior[k]) if counts[k] > 0 else 0.0
        log_prior[k] = min(0.0, log_prior[k] + rate * (growth - total))


@njit(cache=True)
def _probe(probes, reading, u, h, psp):  # type: ignore[no-untyped-def]
    if probes.drive.size:
        probes.drive[reading] = u
    if probes.inhibition.size:
        probes.inhibition[reading] = h
    if probes.psp.size:
        probes.psp[reading] = psp
