"""The compiled steps of the event rung in integers, bit for bit those of the Lava models.

Work follows spikes here too: currents are summed over inputs that fired, random numbers are drawn
for populations that can fire at all, and weights are touched where a population learns. Numbers
that no one asks for cost nothing, because the generator is keyed by what a number is for.

What is done for all units is done in 32 bits, of which a vector holds more than of 64: a product
with a number v of 24 bits is split into those with v >> 12 and v & 4095. Each result is cast,
because numba widens.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking._compiled import (
    LANES,
    bits_at_least,
    inlined_kernel,
    kernel,
    lowest_bit,
    shift_right,
)
from softhebb_spiking.backends._event_draws import (
    BLOCK_UNITS,
    Spikes,
    add_spikes,
    close_step,
    count_spikes,
)
from softhebb_spiking.backends._event_fixed_learning import (
    add_pending,
    end_epoch,
    learn_log_prior,
)
from softhebb_spiking.backends._event_inputs import receive_inputs, start_sample
from softhebb_spiking.backends._event_integers import (
    STATE_MAX,
    STATE_MIN,
    TRACE_MAX,
    log2,
    mantissa,
)
from softhebb_spiking.backends._event_network import EXACT, FEEDBACK, GRADED
from softhebb_spiking.backends._event_record import record_inputs, record_outputs
from softhebb_spiking.philox import (
    COMPARE_STREAM,
    PAYLOAD_STREAM,
    STEPS_OF_BLOCK,
    bytes_of_steps,
    draw_blocks,
)
from softhebb_spiking.validation import IntArray

# A population can fire if its threshold, of 16 bits, is not 0.
_LOWEST_RATE_LOG = -17 << 12
# A mantissa of 16 bits adds nothing to a sum whose largest term is more octaves above it.
_OCTAVES_IN_SUM = 15
_ROWS_IN_16_BITS = 256
UNITS_DRAWN_AT_ONCE = 64


class IntegerTask(NamedTuple):
    """What is shown, and how much of it is learned; one entry or row for each sample."""

    thresholds: NDArray[np.uint64]
    half_payloads: IntArray
    doses: IntArray
    prior_rates: IntArray
    seed: int
    first_sample: int


class IntegerUnits(NamedTuple):
    """One thread's units, and scratch."""

    u: NDArray[np.int32]
    log_intensity: NDArray[np.int32]
    largest: NDArray[np.int32]  # of each block of units
    current: NDArray[np.int32]
    sums: NDArray[np.uint16]
    spikes: Spikes
    in_play: IntArray
    thresholds: IntArray
    blocks: NDArray[np.int32]  # of random numbers to compare with thresholds
    words: NDArray[np.uint32]
    halves: NDArray[np.uint16]  # the same memory, 16 bits by 16 bits
    overflows: IntArray


class Payloads(NamedTuple):
    """One thread's inputs that fired, by payload: rounded down, rounded up."""

    down: NDArray[np.int32]
    up: NDArray[np.int32]
    words: NDArray[np.uint32]
    drawn: NDArray[np.uint8]  # random bytes of sixteen steps


@kernel(nogil=True)
def present_fixed(  # type: ignore[no-untyped-def]
    net, state, units, traces, inputs, payloads, task, begin, end, given, record, randoms, counts
):
    """Show samples begin … end − 1, each with the reset step after it, and count their spikes.

    With spikes that are given, or to be recorded, or with shared random numbers, it is one sample.
    """
    for sample in range(begin, end):
        n_active = start_sample(inputs, task.thresholds[sample], given)
        _silence(units, traces)
        tracing = task.doses[sample] > 0 or record.psp.size > 0
        h = 0
        trend = 0
        number, half_payload = task.first_sample + sample, task.half_payloads[sample]
        for step in range(net.n_steps):
            _integrate(net, state, units)
            if net.inhibition == EXACT:
                h = _log2_sum(net, units, 0)
            _fire(net, units, h, given, task.seed, number, step)
            n_spikes = close_step(units.spikes)
            correction = _pool_correction(net, units, h, n_spikes)
            n_fired = receive_inputs(inputs, n_active, given, task.seed, number, step)
            lane = step % STEPS_OF_BLOCK
            if lane == 0:
                _draw_payloads(inputs, payloads, n_active, task.seed, number, step)
            drawn = payloads.drawn[lane]
            _receive(state, units, traces, inputs, payloads, n_fired, drawn, half_payload, tracing)
            _learn(net, state, units, traces, tracing, task, sample, step, randoms, counts)
            if record.wanted:
                _record(net, units, traces, inputs, n_fired, step, h, record)
            if n_spikes > 0 and task.prior_rates[sample] > 0 and step >= net.settle_steps:
                rate, spikes = task.prior_rates[sample], units.spikes
                learn_log_prior(
                    net, state, spikes, spikes.n_events[0], rate, task.seed, number, step
                )
            trend = (net.decay * trend + (4096 - net.decay) * correction) >> 12
            h = min(max(h + correction + trend, STATE_MIN), STATE_MAX)
        if tracing and (net.n_steps + 1) % net.epoch == 0:
            _integrate(net, state, units)
            end_epoch(net, state, traces, units.u, randoms, task.seed, number, net.n_steps)


@kernel()
def _silence(units, traces):  # type: ignore[no-untyped-def]
    units.u[:] = 0
    units.current[:] = 0
    traces.x1[:] = 0
    for pending in range(traces.n_pending[0]):
        traces.pending[traces.pending_units[pending]] = 0
    traces.n_pending[0] = 0


@kernel()
def _integrate(net, state, units):  # type: ignore[no-untyped-def]
    """Let the drives decay, add the currents, and find the log-intensities in octaves."""
    units.overflows[0] += _advance(net.decay, units.u, units.current)
    if net.octaves_shift >= 12:
        _octaves(net, units.u, state.bias, units.log_intensity)
    else:
        _octaves_of_steep_layer(net, units.u, state.bias, units.log_intensity)
    _find_largest(units.log_intensity, units.largest)


@kernel()
def _advance(decay, u, current):  # type: ignore[no-untyped-def]
    """Apply u ← (u · decay >> 12) + a; return how many were clipped."""
    factor, most = np.int32(decay), np.int32(STATE_MAX)
    overflows = np.int32(0)
    for k in range(u.size):
        high, low = np.int32(u[k] >> 12), np.int32(u[k] & 4095)
        decayed = np.int32(np.int32(high * factor) + np.int32(np.int32(low * factor) >> 12))
        drive = np.int32(decayed + current[k])
        overflows = np.int32(overflows + np.int32(drive > most))
        u[k] = drive if drive < most else most
    return overflows


@kernel()
def _find_largest(values, largest):  # type: ignore[no-untyped-def]
    """Find the largest value of each block of units."""
    for block in range(largest.size):
        start = block * BLOCK_UNITS
        of_block = values[start : min(start + BLOCK_UNITS, values.size)]
        most = of_block[0]
        for k in range(of_block.size):
            most = of_block[k] if of_block[k] > most else most
        largest[block] = most


@kernel()
def _octaves(net, u, bias, log_intensity):  # type: ignore[no-untyped-def]
    """Set V_k = (u_k · mantissa >> shift) + bias_k."""
    factor, shift = np.int32(net.octaves_mantissa), np.int32(net.octaves_shift - 12)
    for k in range(u.size):
        high, low = np.int32(u[k] >> 12), np.int32(u[k] & 4095)
        product = np.int32(np.int32(high * factor) + np.int32(np.int32(low * factor) >> 12))
        log_intensity[k] = np.int32(shift_right(product, shift) + bias[k])


@kernel()
def _octaves_of_steep_layer(net, u, bias, log_intensity):  # type: ignore[no-untyped-def]
    """Set the same in 64 bits, for a shift that does not take the low part away."""
    for k in range(u.size):
        octaves = (np.int64(u[k]) * net.octaves_mantissa) >> net.octaves_shift
        log_intensity[k] = octaves + bias[k]


@inlined_kernel()
def _list_from(units, lowest):  # type: ignore[no-untyped-def]
    """List the units whose log-intensity is not below a bound; return how many."""
    values, n_units = units.log_intensity, units.log_intensity.size
    bound = np.int32(max(lowest, -(2**31)))
    n = 0
    for block in range(units.largest.size):
        if units.largest[block] >= bound:
            for start in range(block * BLOCK_UNITS, (block + 1) * BLOCK_UNITS, LANES):
                bits = bits_at_least(values, bound, start)
                if n_units - start < LANES:
                    bits &= np.uint32((1 << max(n_units - start, 0)) - 1)
                while bits != 0:
                    units.in_play[n] = start + lowest_bit(bits)
                    bits &= np.uint32(bits - np.uint32(1))
                    n += 1
    return n


@kernel()
def _log2_sum(net, units, h):  # type: ignore[no-untyped-def]
    """Return log2 Σ_k 2^(V_k − h), from mantissas aligned to the largest."""
    log_intensity = units.log_intensity
    most = units.largest[0]
    for block in range(1, units.largest.size):
        most = max(most, units.largest[block])
    largest = (np.int64(most) - h) >> 12
    total = 0
    for j in range(_list_from(units, h + ((largest - _OCTAVES_IN_SUM) << 12))):
        value = np.int64(log_intensity[units.in_play[j]]) - h
        total += mantissa(net, value, 12) >> (largest - (value >> 12))
    return ((largest - 15) << 12) + log2(net, total)


@kernel()
def _fire(net, units, h, given, seed, sample, step):  # type: ignore[no-untyped-def]
    """Count the neurons of each population whose random number lies below their threshold."""
    units.spikes.n_events[0] = 0
    if given.output_counts.size:
        for k in range(units.u.size):
            add_spikes(units.spikes, k, given.output_counts[step, k])
        return
    log_intensity = units.log_intensity
    n_in_play = 0
    for j in range(_list_from(units, h - net.neuron_rate_log + _LOWEST_RATE_LOG)):
        k = units.in_play[j]
        threshold = _threshold(net, np.int64(log_intensity[k]) - h + net.neuron_rate_log)
        units.in_play[n_in_play] = k
        units.thresholds[n_in_play] = threshold
        n_in_play += threshold > 0
    for first in range(0, n_in_play, UNITS_DRAWN_AT_ONCE):
        last = min(first + UNITS_DRAWN_AT_ONCE, n_in_play)
        _compare(units, first, last, net.population_size, seed, sample, step)


@kernel()
def _threshold(net, rate_log):  # type: ignore[no-untyped-def]
    """Return 2¹⁶ times a neuron's rate, rounded."""
    exponent = rate_log >> 12
    if exponent >= 0:
        return 1 << 16
    shift = -1 - exponent
    return (mantissa(net, rate_log, 12) + ((1 << shift) >> 1)) >> shift


@kernel()
def _compare(units, first, last, population_size, seed, sample, step):  # type: ignore[no-untyped-def]
    """Draw a number of 16 bits for each neuron of some populations, and count those below."""
    n_blocks = 0
    for j in range(first, last):
        neuron = units.in_play[j] * population_size
        for block in range(neuron >> 3, (neuron + population_size + 7) >> 3):
            units.blocks[n_blocks] = block
            n_blocks += 1
    draw_blocks(seed, COMPARE_STREAM, sample, step, 0, units.blocks[:n_blocks], units.words)
    block = 0
    for j in range(first, last):
        neuron = units.in_play[j] * population_size
        start = 8 * block + (neuron & 7)
        numbers, threshold = units.halves[start : start + population_size], units.thresholds[j]
        count = 0
        for n in range(numbers.size):
            count += numbers[n] < threshold
        add_spikes(units.spikes, units.in_play[j], count)
        block += ((neuron + population_size + 7) >> 3) - (neuron >> 3)


@kernel()
def _pool_correction(net, units, h, n_spikes):  # type: ignore[no-untyped-def]
    """Return κ e: by how many octaves the pool corrects its inhibition after this step."""
    if net.inhibition == FEEDBACK:
        return (net.pool_gain * (log2(net, 2 * n_spikes + 1) - net.target_log)) >> 8
    if net.inhibition == GRADED:
        return _log2_sum(net, units, h)
    return 0


@kernel()
def _draw_payloads(inputs, payloads, n_active, seed, number, step):  # type: ignore[no-untyped-def]
    """Draw the bytes that round the payloads of sixteen steps."""
    active, block = inputs.active[:n_active], step // STEPS_OF_BLOCK
    bytes_of_steps(seed, PAYLOAD_STREAM, number, block, active, payloads.words, payloads.drawn)


@inlined_kernel()
def _receive(  # type: ignore[no-untyped-def]
    state, units, traces, inputs, payloads, n_fired, drawn, half_payload, tracing
):
    """Sum the currents of the inputs that fired, and add their spikes to the traces.

    Half a payload has 8 bits behind the point, rounded by a random byte: it takes one of two
    values, so the weights are summed by payload before they are multiplied.
    """
    half, rest = half_payload >> 8, half_payload & 255
    n_down = n_up = 0
    for j in range(n_fired):
        is_up = rest + drawn[inputs.fired[j]] > 255
        i = inputs.rows[j]
        payloads.down[n_down] = i
        payloads.up[n_up] = i
        n_up += is_up
        n_down += not is_up
        if tracing:
            traces.x1[i] = min(TRACE_MAX, traces.x1[i] + half + is_up)
    units.current[:] = 0
    if half > 0:  # else only spikes that are rounded up add anything
        _add_rows(state.columns, payloads.down[:n_down], 2 * half, units.sums, units.current)
    _add_rows(state.columns, payloads.up[:n_up], 2 * half + 2, units.sums, units.current)


@kernel()
def _add_rows(columns, rows, payload, sums, current):  # type: ignore[no-untyped-def]
    """Add payload · Σ of the rows to the currents, as many rows at a time as fit 16 bits."""
    for first in range(0, rows.size, _ROWS_IN_16_BITS):
        _sum_rows(columns, rows[first : min(first + _ROWS_IN_16_BITS, rows.size)], sums)
        _add_product(payload, sums, current)


@kernel()
def _add_product(payload, sums, current):  # type: ignore[no-untyped-def]
    factor = np.int32(payload)
    for k in range(current.size):
        current[k] = np.int32(current[k] + np.int32(factor * np.int32(sums[k])))


@kernel()
def _sum_rows(columns, rows, total):  # type: ignore[no-untyped-def]
    """Sum rows of bytes, eight rows at a time."""
    total[:] = 0
    j = 0
    while j + 8 <= rows.size:
        a, b, c, d = (
            columns[rows[j]],
            columns[rows[j + 1]],
            columns[rows[j + 2]],
            columns[rows[j + 3]],
        )
        e, f = columns[rows[j + 4]], columns[rows[j + 5]]
        g, h = columns[rows[j + 6]], columns[rows[j + 7]]
        for k in range(total.size):
            first = np.uint16(np.uint16(a[k]) + np.uint16(b[k])) + np.uint16(
                np.uint16(c[k]) + np.uint16(d[k])
            )
            second = np.uint16(np.uint16(e[k]) + np.uint16(f[k])) + np.uint16(
                np.uint16(g[k]) + np.uint16(h[k])
            )
            total[k] += np.uint16(np.uint16(first) + np.uint16(second))
        j += 8
    while j + 3 <= rows.size:
        a, b, c = columns[rows[j]], columns[rows[j + 1]], columns[rows[j + 2]]
        for k in range(total.size):
            pair = np.uint16(np.uint16(a[k]) + np.uint16(b[k]))
            total[k] += np.uint16(pair + np.uint16(c[k]))
        j += 3
    while j < rows.size:
        a = columns[rows[j]]
        for k in range(total.size):
            total[k] += np.uint16(a[k])
        j += 1


@kernel()
def _learn(net, state, units, traces, tracing, task, sample, step, randoms, counts):  # type: ignore[no-untyped-def]
    """Count the spikes of a step, note what they teach, and end an epoch."""
    spikes, n_events = units.spikes, units.spikes.n_events[0]
    if n_events > 0 and step >= net.settle_steps:
        count_spikes(spikes, n_events, counts[sample])
        for event in range(n_events):
            amount = spikes.counts[event] * task.doses[sample]
            add_pending(traces, spikes.units[event], amount)
    if tracing and (step + 1) % net.epoch == 0:
        number = task.first_sample + sample
        end_epoch(net, state, traces, units.u, randoms, task.seed, number, step)


@kernel()
def _record(net, units, traces, inputs, n_fired, step, h, record):  # type: ignore[no-untyped-def]
    """Write down what is wanted of a step."""
    spikes = units.spikes
    record_inputs(record, inputs, n_fired, step)
    record_outputs(record, spikes, spikes.n_events[0], step)
    if step >= net.settle_steps:
        _probe(units, traces, step - net.settle_steps, h, record)


@kernel()
def _probe(units, traces, reading, h, record):  # type: ignore[no-untyped-def]
    if record.drive.size:
        for k in range(units.u.size):
            record.drive[reading, k] = units.u[k]
    if record.inhibition.size:
        record.inhibition[reading] = h
    if record.psp.size:
        for i in range(traces.x1.size):
            record.psp[reading, i] = traces.x1[i]
