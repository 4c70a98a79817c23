"""Learning in integers: traces that decay, and weights of the populations with updates to make.

What is done for all inputs is done in 32 bits, of which a vector holds more than of 64; each
result is cast, because numba widens.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking._compiled import kernel
from softhebb_spiking.backends._event_integers import STATE_MIN, TRACE_MAX, mantissa
from softhebb_spiking.philox import (
    DOSE_STREAM,
    PRIOR_STREAM,
    SYNAPSE_STREAM,
    TRACE_STREAM,
    draw_blocks,
    philox_4x32,
)
from softhebb_spiking.validation import IntArray

_ACCUMULATOR_MAX = 2**15 - 1
_ACCUMULATOR_MIN = -(2**15) - 1  # as Lava has it


class Traces(NamedTuple):
    """One thread's traces and updates to make, and scratch."""

    x1: NDArray[np.int32]
    pending: IntArray
    pending_units: IntArray
    n_pending: IntArray  # of length 1
    blocks: NDArray[np.int32]  # 0, 1, …: of random bytes for all inputs
    noise_words: NDArray[np.uint32]
    noise: NDArray[np.uint8]  # the same memory, byte by byte
    row: NDArray[np.uint8]


class SharedRandoms(NamedTuple):
    """Lava's random numbers of each epoch of one presentation, as integers."""

    weight: IntArray
    x: IntArray
    y: IntArray


@kernel()
def add_pending(traces, k, amount):  # type: ignore[no-untyped-def]
    """Note an update that unit k is to make at the end of the epoch."""
    if amount == 0:
        return
    if traces.pending[k] == 0:
        traces.pending_units[traces.n_pending[0]] = k
        traces.n_pending[0] += 1
    traces.pending[k] += amount


@kernel()
def end_epoch(net, state, traces, u, randoms, seed, sample, step):  # type: ignore[no-untyped-def]
    """Let the traces decay, and the populations with updates to make learn."""
    epoch = (step + 1) // net.epoch - 1
    if net.shared:
        _decay_traces_shared(net, traces.x1, randoms.x[epoch])
    else:
        _decay_traces(net, traces, seed, sample, step)
    for pending in range(traces.n_pending[0]):
        k = traces.pending_units[pending]
        word = philox_4x32(np.uint64(seed), DOSE_STREAM, sample, step, k >> 2)[k & 3]
        quanta = min(net.max_quanta, (traces.pending[k] + np.int64(word >> np.uint64(8))) >> 24)
        traces.pending[k] = 0
        if quanta > 0:
            y1 = quanta * net.y1_quantum
            y2 = (np.int64(u[k]) * net.y2_mantissa + ((1 << net.y2_shift) >> 1)) >> net.y2_shift
            y2 = min(y2, TRACE_MAX)
            if net.shared:
                for _ in range(net.epoch):
                    y1 = net.y_floor[y1] + (randoms.y[epoch] < net.y_threshold[y1])
                    y2 = net.y_floor[y2] + (randoms.y[epoch] < net.y_threshold[y2])
            _learn_unit(net, state, traces, k, y1, y2, randoms, epoch, seed, sample, step)
    traces.n_pending[0] = 0


@kernel()
def _decay_traces_shared(net, x1, random):  # type: ignore[no-untyped-def]
    for i in range(x1.size):
        for _ in range(net.epoch):
            x1[i] = net.x1_floor[x1[i]] + (random < net.x1_threshold[x1[i]])


@kernel()
def _decay_traces(net, traces, seed, sample, step):  # type: ignore[no-untyped-def]
    """Let the traces decay, each rounded by a random byte of its own."""
    x1, noise, decay = traces.x1, traces.noise, np.int32(net.decay)
    draw_blocks(seed, TRACE_STREAM, sample, step, 0, traces.blocks, traces.noise_words)
    for _ in range(net.epoch):
        for i in range(x1.size):  # a trace of 0 stays 0: a byte is below 2⁸
            x1[i] = np.int32(np.int32(x1[i] * decay) + np.int32(noise[i] << 4)) >> 12


@kernel()
def _learn_unit(  # type: ignore[no-untyped-def]
    net, state, traces, k, y1, y2, randoms, epoch, seed, sample, step
):
    """Change the weights of a unit, rounded by random numbers of 7 bits."""
    noise, row, weights = traces.noise, traces.row, state.weights[k]
    if net.shared:  # one for all: it rounds up where it is below the remainder
        down = np.uint8(127 - randoms.weight[epoch])
        for i in range(row.size):
            noise[i] = down
    else:
        first = k * traces.blocks.size
        draw_blocks(seed, SYNAPSE_STREAM, sample, step, first, traces.blocks, traces.noise_words)
    _round_weights(net, weights, traces.x1, y1, y2, noise, row)
    for i in range(row.size):
        if row[i] != weights[i]:
            weights[i] = row[i]
            state.columns[i, k] = row[i]


@kernel()
def _round_weights(net, weights, x1, y1, y2, noise, new):  # type: ignore[no-untyped-def]
    """Apply Lava's rule to a row of weights, in units of 2⁻⁷ as it accumulates them."""
    hebb, hebb_shift = np.int32(y1), net.hebb_shift
    drop, drop_shift = np.int32(net.decay_mantissa * y1 * y2), net.decay_shift
    largest, smallest = np.int32(_ACCUMULATOR_MAX), np.int32(_ACCUMULATOR_MIN)
    for i in range(new.size):
        w = np.int32(weights[i])
        growth = np.int32(np.int32(np.int32(x1[i] * hebb) >> 3) << hebb_shift)
        total = np.int32(np.int32(w << 7) + min(growth, largest))
        total = min(total, largest)
        decay = np.int32(np.int32(np.int32(-drop * w) >> 12) << drop_shift)
        total = np.int32(total + max(decay, smallest))
        total = max(total, np.int32(0))
        rounded = np.int32(np.int32(total + np.int32(noise[i] & 127)) >> 7)
        new[i] = min(rounded, np.int32(255))


@kernel()
def learn_log_prior(net, state, spikes, n_events, rate, seed, sample, step):  # type: ignore[no-untyped-def]
    """Apply B ← min(0, B + η (n 2^(−B) − N)), rounded by a random number for each unit."""
    log_prior = state.log_prior
    total = 0
    for event in range(n_events):
        total += spikes.counts[event]
        spikes.count_of_unit[spikes.units[event]] = spikes.counts[event]
    four = philox_4x32(np.uint64(seed), PRIOR_STREAM, sample, step, 0)
    for k in range(log_prior.size):
        if k & 3 == 0:
            four = philox_4x32(np.uint64(seed), PRIOR_STREAM, sample, step, k >> 2)
        gain = -(total << 8)
        if spikes.count_of_unit[k] > 0:
            gain += spikes.count_of_unit[k] * _inverse_prior(net, log_prior[k])
            spikes.count_of_unit[k] = 0
        growth = min(max(gain, -(2**30)), 2**30 - 1)
        change = (rate * growth + np.int64(four[k & 3] >> np.uint64(8))) >> 24
        log_prior[k] = min(0, max(log_prior[k] + change, STATE_MIN))
        state.bias[k] = log_prior[k] >> 6


@kernel()
def _inverse_prior(net, log_prior):  # type: ignore[no-untyped-def]
    """Return 2^(−B) in units of 2⁻⁸, below 2²⁴."""
    leading = mantissa(net, -log_prior, 18)
    shift = 7 - (-log_prior >> 18)
    if shift >= 0:
        return (leading + ((1 << shift) >> 1)) >> shift
    return min(leading << min(-shift, 16), 2**24 - 1)
