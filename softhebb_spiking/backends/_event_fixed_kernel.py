"""The compiled steps of the event rung in integers, bit for bit those of the Lava models.

Work follows spikes here too: currents are summed over inputs that fired, random numbers are drawn
for populations that can fire at all, and weights are touched where a population learns. Numbers
that no one asks for cost nothing, because the generator is keyed by what a number is for.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from softhebb_spiking.backends._event_kernel import EXACT, FEEDBACK, GRADED
from softhebb_spiking.philox import (
    COMPARE_STREAM,
    DOSE_STREAM,
    PAYLOAD_STREAM,
    PRIOR_STREAM,
    SYNAPSE_STREAM,
    TRACE_STREAM,
    philox_4x32,
)
from softhebb_spiking.validation import IntArray

_STATE_MAX = 2**23 - 1
_STATE_MIN = -(2**23)
_ACCUMULATOR_MAX = 2**15 - 1
_ACCUMULATOR_MIN = -(2**15) - 1  # as Lava has it


class IntegerConstants(NamedTuple):
    """The integers of a network in the form the kernel wants them."""

    inhibition: int
    population_size: int
    settle_steps: int
    decay: int
    octaves_mantissa: int
    octaves_shift: int
    neuron_rate_log: int
    pool_gain: int
    target_log: int
    exp2_table: IntArray
    log2_table: IntArray
    table_bits: int
    epoch: int
    y1_quantum: int
    max_quanta: int
    hebb_shift: int
    decay_mantissa: int
    decay_shift: int
    y2_mantissa: int
    y2_shift: int
    shared: bool
    x1_floor: IntArray
    x1_threshold: IntArray
    y_floor: IntArray
    y_threshold: IntArray


class IntegerState(NamedTuple):
    """What persists, and scratch that is made once: `columns` is `weights` transposed."""

    weights: NDArray[np.uint8]
    columns: NDArray[np.uint8]
    log_prior: IntArray
    u: IntArray
    log_intensity: IntArray
    current: NDArray[np.int32]
    pending: IntArray
    x1: IntArray
    overflows: IntArray


class SharedRandoms(NamedTuple):
    """Lava's random numbers of each epoch of one presentation, as integers."""

    weight: IntArray
    x: IntArray
    y: IntArray


class FixedProbes(NamedTuple):
    """What is recorded in each step that is read; arrays of length 0 are not filled."""

    drive: IntArray
    inhibition: IntArray
    psp: IntArray


@njit(cache=True)
def present_fixed(  # type: ignore[no-untyped-def]
    net,
    state,
    starts,
    indices,
    half_payload,
    counts,
    clamped,
    dose,
    prior_rate,
    seed,
    sample,
    randoms,
    probes,
):
    """Show one sample and make the reset step; fills `counts` and probes."""
    state.u[:] = 0
    state.current[:] = 0
    state.pending[:] = 0
    state.x1[:] = 0
    h = 0
    trend = 0
    n_steps = starts.size - 1
    for step in range(n_steps + 1):
        reading = step >= net.settle_steps and step < n_steps
        _integrate(net, state)
        if net.inhibition == EXACT:
            h = _log2_sum(net, state.log_intensity, 0)
        if step < n_steps:
            if not clamped:
                _fire(net, state.log_intensity, h, counts[step], seed, sample, step)
            correction = _pool_correction(net, state.log_intensity, h, counts[step])
            fired = indices[starts[step] : starts[step + 1]]
            _receive(state, fired, half_payload, seed, sample, step)
        else:
            state.current[:] = 0
        if reading:
            for k in range(counts.shape[1]):
                state.pending[k] += counts[step, k] * dose
        if (step + 1) % net.epoch == 0:
            _learn(net, state, randoms, (step + 1) // net.epoch - 1, seed, sample, step)
        if reading:
            _probe(probes, step - net.settle_steps, state, h)
            _learn_log_prior(net, state.log_prior, counts[step], prior_rate, seed, sample, step)
        if step < n_steps:
            trend = (net.decay * trend + (4096 - net.decay) * correction) >> 12
            h = min(max(h + correction + trend, _STATE_MIN), _STATE_MAX)


@njit(cache=True)
def _integrate(net, state):  # type: ignore[no-untyped-def]
    """Let the drives decay, add the currents, and find the log-intensities in octaves."""
    u, current, log_intensity = state.u, state.current, state.log_intensity
    for k in range(u.size):
        u[k] = ((u[k] * net.decay) >> 12) + current[k]
        if u[k] > _STATE_MAX:
            u[k] = _STATE_MAX
            state.overflows[0] += 1
        octaves = (u[k] * net.octaves_mantissa) >> net.octaves_shift
        log_intensity[k] = octaves + (state.log_prior[k] >> 6)


@njit(cache=True, inline="always")
def _mantissa(net, value, fraction_bits):  # type: ignore[no-untyped-def]
    return net.exp2_table[(value >> (fraction_bits - net.table_bits)) & (net.exp2_table.size - 1)]


@njit(cache=True)
def _log2(net, number):  # type: ignore[no-untyped-def]
    """Return log2 of a positive integer, in units of 2⁻¹² octaves."""
    octave = 0
    while number >> (octave + 1):
        octave += 1
    index = ((number << net.table_bits) >> octave) - net.log2_table.size
    return (octave << 12) + net.log2_table[index]


@njit(cache=True)
def _log2_sum(net, log_intensity, h):  # type: ignore[no-untyped-def]
    """Return log2 Σ_k 2^(V_k − h), from mantissas aligned to the largest."""
    largest = (log_intensity.max() - h) >> 12
    total = 0
    for k in range(log_intensity.size):
        value = log_intensity[k] - h
        total += _mantissa(net, value, 12) >> min(largest - (value >> 12), 31)
    return ((largest - 15) << 12) + _log2(net, total)


@njit(cache=True)
def _fire(net, log_intensity, h, counts, seed, sample, step):  # type: ignore[no-untyped-def]
    """Count the neurons of each population whose random number lies below their threshold."""
    for k in range(log_intensity.size):
        value = log_intensity[k] - h + net.neuron_rate_log
        exponent = value >> 12
        if exponent < -17:
            continue
        threshold = 1 << 16
        if exponent < 0:
            shift = -1 - exponent
            threshold = (_mantissa(net, value, 12) + ((1 << shift) >> 1)) >> shift
        if threshold > 0:
            counts[k] = _count_below(
                threshold, k * net.population_size, net.population_size, seed, sample, step
            )


@njit(cache=True)
def _count_below(threshold, first, n, seed, sample, step):  # type: ignore[no-untyped-def]
    """Count the 16-bit random numbers first … first + n − 1 that lie below a threshold."""
    count = 0
    for block in range(first >> 3, (first + n + 7) >> 3):
        four = philox_4x32(np.uint64(seed), COMPARE_STREAM, sample, step, block)
        index = block << 3
        for word in four:
            low, high = np.int64(word) & 0xFFFF, np.int64(word) >> 16
            count += (low < threshold) & (first <= index) & (index < first + n)
            count += (high < threshold) & (first <= index + 1) & (index + 1 < first + n)
            index += 2
    return count


@njit(cache=True)
def _pool_correction(net, log_intensity, h, counts):  # type: ignore[no-untyped-def]
    """Return κ e: by how many octaves the pool corrects its inhibition after this step."""
    if net.inhibition == FEEDBACK:
        return (net.pool_gain * (_log2(net, 2 * counts.sum() + 1) - net.target_log)) >> 8
    if net.inhibition == GRADED:
        return _log2_sum(net, log_intensity, h)
    return 0


@njit(cache=True)
def _receive(state, fired, half_payload, seed, sample, step):  # type: ignore[no-untyped-def]
    """Sum the currents of the inputs that fired, and add their spikes to the traces."""
    current = state.current
    current[:] = 0
    for i in fired:
        four = philox_4x32(np.uint64(seed), PAYLOAD_STREAM, sample, step >> 4, i)
        half = (half_payload + _byte(four, step)) >> 8
        payload = np.int32(2 * half)
        row = state.columns[i]
        for k in range(current.size):
            current[k] += payload * np.int32(row[k])
        state.x1[i] = min(127, state.x1[i] + half)


@njit(cache=True)
def _learn(net, state, randoms, epoch, seed, sample, step):  # type: ignore[no-untyped-def]
    """End an epoch: traces decay, and populations with updates to make learn."""
    if net.shared:
        _decay_traces_shared(net, state.x1, randoms.x[epoch])
    else:
        _decay_traces(net, state.x1, seed, sample, step)
    for k in range(state.pending.size):
        if state.pending[k] > 0:
            word = philox_4x32(np.uint64(seed), DOSE_STREAM, sample, step, k >> 2)[k & 3]
            quanta = min(net.max_quanta, (state.pending[k] + np.int64(word >> np.uint64(8))) >> 24)
            state.pending[k] = 0
            if quanta > 0:
                y1 = quanta * net.y1_quantum
                y2 = (state.u[k] * net.y2_mantissa + ((1 << net.y2_shift) >> 1)) >> net.y2_shift
                y2 = min(y2, 127)
                if net.shared:
                    for _ in range(net.epoch):
                        y1 = net.y_floor[y1] + (randoms.y[epoch] < net.y_threshold[y1])
                        y2 = net.y_floor[y2] + (randoms.y[epoch] < net.y_threshold[y2])
                    _learn_unit_shared(net, state, k, y1, y2, randoms.weight[epoch])
                else:
                    _learn_unit(net, state, k, y1, y2, seed, sample, step)


@njit(cache=True)
def _decay_traces_shared(net, x1, random):  # type: ignore[no-untyped-def]
    for i in range(x1.size):
        for _ in range(net.epoch):
            x1[i] = net.x1_floor[x1[i]] + (random < net.x1_threshold[x1[i]])


@njit(cache=True)
def _decay_traces(net, x1, seed, sample, step):  # type: ignore[no-untyped-def]
    """Let the traces decay, each rounded by a random byte of its own."""
    block = 0
    four = philox_4x32(np.uint64(seed), TRACE_STREAM, sample, step, block)
    for i in range(x1.size):
        if x1[i] > 0:
            if i >> 4 != block:
                block = i >> 4
                four = philox_4x32(np.uint64(seed), TRACE_STREAM, sample, step, block)
            noise = _byte(four, i) << 4
            for _ in range(net.epoch):
                x1[i] = (x1[i] * net.decay + noise) >> 12


@njit(cache=True, inline="always")
def _byte(four, index):  # type: ignore[no-untyped-def]
    """Return byte `index & 15` of a block of random words, lowest first."""
    word = np.int64(four[(index & 15) >> 2])
    return (word >> (8 * (index & 3))) & 0xFF


@njit(cache=True, inline="always")
def _accumulate(net, w, x1, y1, y2):  # type: ignore[no-untyped-def]
    """Return a weight with its change, in units of 2⁻⁷, as Lava's rule accumulates it."""
    growth = ((x1 * y1) >> 3) << net.hebb_shift
    total = (w << 7) + min(growth, _ACCUMULATOR_MAX)
    total = min(total, _ACCUMULATOR_MAX)
    decay = ((-net.decay_mantissa * y1 * y2 * w) >> 12) << net.decay_shift
    return max(total + max(decay, _ACCUMULATOR_MIN), 0)


@njit(cache=True)
def _learn_unit(net, state, k, y1, y2, seed, sample, step):  # type: ignore[no-untyped-def]
    """Change the weights of a unit, each rounded by a random number of its own."""
    n = state.x1.size
    first_block = k * ((n + 15) >> 4)
    block = 0
    four = philox_4x32(np.uint64(seed), SYNAPSE_STREAM, sample, step, first_block)
    for i in range(n):
        w = np.int64(state.weights[k, i])
        if w == 0 and state.x1[i] == 0:
            continue
        total = _accumulate(net, w, state.x1[i], y1, y2)
        if i >> 4 != block:
            block = i >> 4
            four = philox_4x32(np.uint64(seed), SYNAPSE_STREAM, sample, step, first_block + block)
        new = min(255, (total + (_byte(four, i) & 127)) >> 7)
        if new != w:
            state.weights[k, i] = new
            state.columns[i, k] = new


@njit(cache=True)
def _learn_unit_shared(net, state, k, y1, y2, random):  # type: ignore[no-untyped-def]
    """Change the weights of a unit, all rounded by one random number of 7 bits."""
    for i in range(state.x1.size):
        w = np.int64(state.weights[k, i])
        if w == 0 and state.x1[i] == 0:
            continue
        total = _accumulate(net, w, state.x1[i], y1, y2)
        new = min(255, (total >> 7) + (random < (total & 127)))
        if new != w:
            state.weights[k, i] = new
            state.columns[i, k] = new


@njit(cache=True)
def _learn_log_prior(net, log_prior, counts, rate, seed, sample, step):  # type: ignore[no-untyped-def]
    """Apply B ← min(0, B + η (n 2^(−B) − N)), rounded by a random number for each unit."""
    if rate == 0:
        return
    total = counts.sum() << 8
    four = philox_4x32(np.uint64(seed), PRIOR_STREAM, sample, step, 0)
    for k in range(log_prior.size):
        if k & 3 == 0:
            four = philox_4x32(np.uint64(seed), PRIOR_STREAM, sample, step, k >> 2)
        gain = -total
        if counts[k] > 0:
            gain += counts[k] * _inverse_prior(net, log_prior[k])
        growth = min(max(gain, -(2**30)), 2**30 - 1)
        change = (rate * growth + np.int64(four[k & 3] >> np.uint64(8))) >> 24
        log_prior[k] = min(0, max(log_prior[k] + change, _STATE_MIN))


@njit(cache=True)
def _inverse_prior(net, log_prior):  # type: ignore[no-untyped-def]
    """Return 2^(−B) in units of 2⁻⁸, below 2²⁴."""
    mantissa = _mantissa(net, -log_prior, 18)
    shift = 7 - (-log_prior >> 18)
    if shift >= 0:
        return (mantissa + ((1 << shift) >> 1)) >> shift
    return min(mantissa << min(-shift, 16), 2**24 - 1)


@njit(cache=True)
def _probe(probes, reading, state, h):  # type: ignore[no-untyped-def]
    if probes.drive.size:
        probes.drive[reading] = state.u
    if probes.inhibition.size:
        probes.inhibition[reading] = h
    if probes.psp.size:
        probes.psp[reading] = state.x1
