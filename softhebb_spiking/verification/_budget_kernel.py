"""The network in integers with each of its roundings on a switch of its own.

Numbers are float64 in the units of the integers, where whole numbers up to 2⁵³ are exact. With all
switches on this is the arithmetic of the chip, bit for bit; with all off it is the network of
`docs/model.md` in floating point. It is written for this purpose alone, for spike feedback, and
shares neither code nor shortcuts with the engines.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from softhebb_spiking._cache import cached_njit
from softhebb_spiking.backends._event_draws import binomial_quantile
from softhebb_spiking.philox import (
    COMPARE_STREAM,
    DOSE_STREAM,
    PAYLOAD_STREAM,
    POPULATION_STREAM,
    PRIOR_STREAM,
    SYNAPSE_STREAM,
    TRACE_STREAM,
    philox_4x32,
)
from softhebb_spiking.validation import FloatArray

_UNITS_PER_OCTAVE = 4096.0


class Switches(NamedTuple):
    """Which roundings are on.

    Attributes
    ----------
    weights : bool
        Currents see weights of 8 bits; learning keeps the rest of them.
    traces : bool
        Payloads and traces are integers, decays have 12 bits, y2 has 7.
    exponential : bool
        Powers of 2 come from the table.
    inhibition : bool
        Log-intensities, log prior and the pool are integers.
    compare : bool
        Each neuron compares a 16-bit random number.
    stochastic : bool
        Updates are whole, products are shifted, and weights are rounded at random.
    """

    weights: bool
    traces: bool
    exponential: bool
    inhibition: bool
    compare: bool
    stochastic: bool


class RealConstants(NamedTuple):
    """What the integers stand for before they were rounded."""

    decay: float
    octaves_per_unit: float
    neuron_rate_log: float
    pool_gain: float
    target_log: float
    y2_per_unit: float


class BudgetState(NamedTuple):
    """Weights in units of their least bit, and log prior in units of its."""

    weights: FloatArray
    log_prior: FloatArray


@cached_njit()
def show(  # type: ignore[no-untyped-def]
    on,
    net,
    real,
    state,
    starts,
    indices,
    half_payload,
    counts,
    dose,
    prior_rate,
    seed,
    sample,
    randoms,
):
    """Show one sample; fills `counts`."""
    K, n = state.weights.shape
    u, current, due, x1 = np.zeros(K), np.zeros(K), np.zeros(K), np.zeros(n)
    h, trend = 0.0, 0.0
    n_steps = starts.size - 1
    for step in range(n_steps + 1):
        u = _integrate(on, net, real, u, current)
        current[:] = 0.0
        if step < n_steps:
            log_intensity = _log_intensities(on, net, real, u, state.log_prior)
            _fire(on, net, real, log_intensity, h, counts[step], seed, sample, step)
            fired = indices[starts[step] : starts[step + 1]]
            _receive(on, state.weights, fired, half_payload, current, x1, seed, sample, step)
            h, trend = _pool(on, net, real, h, trend, counts[step].sum())
        is_read = net.settle_steps <= step < n_steps
        if is_read:
            due += counts[step] * dose
        if (step + 1) % net.epoch == 0:
            epoch = (step + 1) // net.epoch - 1
            _decay(on, net, real, x1, randoms.x[epoch], seed, sample, step)
            _learn_all(on, net, real, state.weights, due, u, x1, randoms, epoch, seed, sample, step)
        if is_read and prior_rate > 0.0:
            _learn_prior(on, net, state.log_prior, counts[step], prior_rate, seed, sample, step)


@cached_njit()
def _integrate(on, net, real, u, current):  # type: ignore[no-untyped-def]
    if on.traces:
        return np.minimum(np.floor(u * net.decay / 4096.0) + current, 2.0**23 - 1)
    return u * real.decay + current


@cached_njit()
def _receive(  # type: ignore[no-untyped-def]
    on, weights, fired, half_payload, current, x1, seed, sample, step
):
    """Sum currents, and add spikes to the traces."""
    for i in fired:
        half = _half_payload(on, half_payload, seed, sample, step, i)
        for k in range(current.size):
            current[k] += 2.0 * half * _seen(on, weights[k, i])
        x1[i] += half
        if on.traces:
            x1[i] = min(127.0, x1[i])


@cached_njit()
def _seen(on, weight):  # type: ignore[no-untyped-def]
    return min(255.0, max(0.0, np.rint(weight))) if on.weights else weight


@cached_njit()
def _half_payload(on, half_payload, seed, sample, step, i):  # type: ignore[no-untyped-def]
    """Return what a spike adds to the trace; half_payload is in units of 2⁻⁸."""
    if not on.traces:
        return half_payload / 256.0
    word = philox_4x32(np.uint64(seed), PAYLOAD_STREAM, sample, step // 16, i)[step % 16 // 4]
    byte = (int(word) >> (8 * (step % 4))) % 256
    return np.floor((half_payload + float(byte)) / 256.0)


@cached_njit()
def _log_intensities(on, net, real, u, log_prior):  # type: ignore[no-untyped-def]
    """Return u/τ + b in units of 2⁻¹² octaves."""
    if on.inhibition:
        octaves = np.floor(u * net.octaves_mantissa / 2.0**net.octaves_shift)
        return octaves + np.floor(log_prior / 64.0)
    return u * real.octaves_per_unit + log_prior / 64.0


@cached_njit()
def _power(on, net, octaves):  # type: ignore[no-untyped-def]
    """Return 2 to the power of a number of octaves, by the table if that is on."""
    whole = math.floor(octaves)
    if not on.exponential:
        return 2.0**octaves
    part = int(np.floor((octaves - whole) * net.exp2_table.size))
    return net.exp2_table[part] * 2.0 ** (whole - 15)


@cached_njit()
def _fire(on, net, real, log_intensity, h, counts, seed, sample, step):  # type: ignore[no-untyped-def]
    M = net.population_size
    offset = net.neuron_rate_log if on.inhibition else real.neuron_rate_log
    for k in range(counts.size):
        octaves = (log_intensity[k] - h + offset) / _UNITS_PER_OCTAVE
        if octaves < -40.0:
            continue
        rho = 1.0 if octaves >= 0.0 else min(1.0, _power(on, net, octaves))
        if on.compare:
            threshold = int(np.floor(rho * 65536.0 + 0.5))
            four = philox_4x32(np.uint64(seed), COMPARE_STREAM, sample, step, k * M // 8)
            for m in range(k * M, (k + 1) * M):
                if m % 8 == 0:
                    four = philox_4x32(np.uint64(seed), COMPARE_STREAM, sample, step, m // 8)
                half = (int(four[(m % 8) // 2]) >> (16 * (m % 2))) % 65536
                counts[k] += half < threshold
        elif rho > 2.0**-33:
            four = philox_4x32(np.uint64(seed), POPULATION_STREAM, sample, step, k // 4)
            counts[k] = binomial_quantile(four[k % 4], M, rho)


@cached_njit()
def _decay(on, net, real, x1, random, seed, sample, step):  # type: ignore[no-untyped-def]
    """Let the traces decay at the end of an epoch."""
    four = philox_4x32(np.uint64(seed), TRACE_STREAM, sample, step, 0)
    for i in range(x1.size):
        if on.traces and not net.shared and i > 0 and i % 16 == 0:
            four = philox_4x32(np.uint64(seed), TRACE_STREAM, sample, step, i // 16)
        for _ in range(net.epoch):
            if not on.traces:
                x1[i] *= real.decay
            elif net.shared:
                v = int(x1[i])
                x1[i] = float(net.x1_floor[v] + (random < net.x1_threshold[v]))
            else:
                byte = (int(four[(i % 16) // 4]) >> (8 * (i % 4))) % 256
                x1[i] = np.floor((x1[i] * net.decay + 16.0 * byte) / 4096.0)


@cached_njit()
def _learn_all(  # type: ignore[no-untyped-def]
    on, net, real, weights, due, u, x1, randoms, epoch, seed, sample, step
):
    """Let every population learn that has updates due."""
    for k in range(due.size):
        if due[k] > 0.0:
            _learn(
                on,
                net,
                real,
                weights[k],
                k,
                due[k],
                u[k],
                x1,
                seed,
                sample,
                step,
                randoms.weight[epoch],
                randoms.y[epoch],
            )
            due[k] = 0.0


@cached_njit()
def _post_traces(  # type: ignore[no-untyped-def]
    on, net, real, k, due, u, seed, sample, step, y_random
):
    """Return y1 and y2 as the synapses see them."""
    y2 = u * real.y2_per_unit
    if on.traces:
        y2 = min(127.0, math.floor(u * net.y2_mantissa / 2.0**net.y2_shift + 0.5))
    y1 = due / 2.0**24 * net.y1_quantum
    if on.stochastic:
        word = philox_4x32(np.uint64(seed), DOSE_STREAM, sample, step, k // 4)[k % 4]
        quanta = math.floor((due + float(int(word) >> 8)) / 2.0**24)
        y1 = min(quanta, net.max_quanta) * net.y1_quantum
    if net.shared and on.traces and on.stochastic:
        for _ in range(net.epoch):
            y1 = float(net.y_floor[int(y1)] + (y_random < net.y_threshold[int(y1)]))
            y2 = float(net.y_floor[int(y2)] + (y_random < net.y_threshold[int(y2)]))
    return y1, y2


@cached_njit()
def _learn(  # type: ignore[no-untyped-def]
    on, net, real, w, k, due, u, x1, seed, sample, step, random, y_random
):
    """Change the weights of unit k; `due` is in units of 2⁻²⁴ updates."""
    y1, y2 = _post_traces(on, net, real, k, due, u, seed, sample, step, y_random)
    if y1 == 0.0:
        return
    first_block = k * ((x1.size + 15) // 16)
    four = philox_4x32(np.uint64(seed), SYNAPSE_STREAM, sample, step, first_block)
    for i in range(x1.size):
        growth = x1[i] * y1 / 8.0
        decay = -net.decay_mantissa * y1 * y2 * w[i] / 4096.0
        if not on.stochastic:
            change = growth * 2.0**net.hebb_shift + decay * 2.0**net.decay_shift
            w[i] = min(255.0, max(0.0, w[i] + change / 128.0))
            continue
        if on.weights:
            growth, decay = math.floor(growth), math.floor(decay)
        total = 128.0 * w[i] + min(growth * 2.0**net.hebb_shift, 32767.0)
        total = min(total, 32767.0) + max(decay * 2.0**net.decay_shift, -32769.0)
        total = max(total, 0.0)
        if net.shared:
            noise = 127.0 - random
        else:
            if i > 0 and i % 16 == 0:
                block = first_block + i // 16
                four = philox_4x32(np.uint64(seed), SYNAPSE_STREAM, sample, step, block)
            noise = float((int(four[(i % 16) // 4]) >> (8 * (i % 4))) % 128)
        w[i] = min(255.0, math.floor((total + noise) / 128.0))


@cached_njit()
def _learn_prior(on, net, log_prior, counts, rate, seed, sample, step):  # type: ignore[no-untyped-def]
    total = 256.0 * counts.sum()
    for k in range(log_prior.size):
        growth = 0.0
        if counts[k] > 0:
            growth = counts[k] * _inverse_prior(on, net, log_prior[k])
        change = rate * (growth - total) / 2.0**24
        if on.inhibition:
            word = philox_4x32(np.uint64(seed), PRIOR_STREAM, sample, step, k // 4)[k % 4]
            noise = float(int(word) >> 8) / 2.0**24
            growth = min(2.0**30 - 1, max(-(2.0**30), growth - total))
            # Beyond 2⁵³ the product would no longer be exact.
            product = np.int64(rate) * np.int64(growth)
            change = (product + np.int64(noise * 2.0**24)) >> 24
        log_prior[k] = min(0.0, max(log_prior[k] + change, -(2.0**23)))


@cached_njit()
def _inverse_prior(on, net, log_prior):  # type: ignore[no-untyped-def]
    """Return 2^(−B) in units of 2⁻⁸."""
    inverse = 256.0 * _power(on, net, -log_prior / 2.0**18)
    return min(math.floor(inverse + 0.5), 2.0**24 - 1) if on.inhibition else inverse


@cached_njit()
def _pool(on, net, real, h, trend, total):  # type: ignore[no-untyped-def]
    """Return h and its trend after a step with `total` output spikes."""
    if not on.inhibition:
        log_total = _UNITS_PER_OCTAVE * math.log2(2.0 * total + 1.0)
        correction = real.pool_gain * (log_total - real.target_log)
        trend = real.decay * trend + (1.0 - real.decay) * correction
        return h + correction + trend, trend
    number = 2 * int(total) + 1
    octave = int(np.floor(math.log2(number)))
    part = (number * net.log2_table.size) // 2**octave - net.log2_table.size
    error = octave * 4096 + net.log2_table[part] - net.target_log
    correction = math.floor(net.pool_gain * error / 256.0)
    trend = math.floor((net.decay * trend + (4096 - net.decay) * correction) / 4096.0)
    return min(2.0**23 - 1, max(-(2.0**23), h + correction + trend)), trend
