"""The compiled steps with inhibition from spikes, in floating point.

With `feedback` and `graded` the inhibition of a step follows from the step before, so that all
rates are found in every step. A step costs one row of the weight matrix per input spike, and one
column, at the inputs that the sample drives, per population that fires. The decay of a whole
column on learning is one multiplication, because a column is stored as `scale_k · v_k`.

Several threads may present the same samples together, each owning a range of units. All of them go
through the same steps; the first one draws the output spikes and leads the pool. What a thread
computes of a unit does not depend on who owns it, so results do not depend on their number.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from softhebb_spiking._compiled import inlined_kernel, kernel, padded, wait_for_all
from softhebb_spiking.backends._event_draws import (
    add_spikes,
    close_step,
    count_spikes,
    draw_alone,
    draw_candidates,
    draw_number,
    find_intensities,
    log_normalizer,
    set_rates,
)
from softhebb_spiking.backends._event_inputs import (
    NEGLIGIBLE,
    follow_psp,
    receive_inputs,
    start_sample,
)
from softhebb_spiking.backends._event_network import (
    GRADED,
    Kernel,
    learn_log_prior,
    shrink,
    units_of_thread,
)
from softhebb_spiking.backends._event_record import record_inputs, record_outputs
from softhebb_spiking.params import NetworkParams
from softhebb_spiking.validation import FloatArray, IntArray

# A population above this is drawn alone: candidates would often be thrown away.
LARGEST_SHARED_RHO = 0.25
_UNITS_AT_ONCE = 1024
_UNITS_PER_SINGLE_UPDATE = 8


class Scratch(NamedTuple):
    """What one thread needs beside the inputs."""

    psp: FloatArray  # by position
    current: FloatArray
    growth: FloatArray  # of a unit's weights for a PSP of 1, zero between steps
    barriers: IntArray  # how many were passed


def new_scratch(net: NetworkParams, dtype: Any) -> Scratch:
    """Return scratch for a network."""
    return Scratch(
        psp=padded(net.n_features, dtype),
        current=padded(net.n_units, dtype),
        growth=padded(net.n_units, dtype),
        barriers=padded(1, np.int64),
    )


@kernel(nogil=True)
def present(  # type: ignore[no-untyped-def]
    net, layer, inputs, scratch, task, begin, end, given, record, spike_counts, thread, n_threads
):
    """Show samples begin … end − 1 and count their spikes; False if another thread is lost.

    With spikes that are given, or to be recorded, it is one sample and one thread.
    """
    first, last = units_of_thread(layer.bias.size, thread, n_threads)
    scratch.barriers[0] = 0
    for sample in range(begin, end):
        n_active = start_sample(inputs, task.thresholds[sample], given)
        scratch.psp[:n_active] = 0.0
        layer.u[0, first:last] = 0.0
        for step in range(net.n_steps):
            u, next_u = layer.u[step & 1], layer.u[1 - (step & 1)]
            n_events = _fire_together(
                net, layer, u, scratch, task, given, sample, step, first, last, n_threads
            )
            if n_events < 0:
                return False
            n_fired = receive_inputs(
                inputs, n_active, given, task.seed, task.first_sample + sample, step
            )
            if task.learning_rates[sample] > 0.0 or record.psp.size:
                follow_psp(
                    net.unit_decay, task.gains[sample], inputs, scratch.psp, n_active, n_fired
                )
            _advance_units(
                net, layer, inputs, scratch, n_fired, task.gains[sample], u, next_u, first, last
            )
            if n_events > 0 and step >= net.settle_steps:
                if thread == 0:
                    count_spikes(layer.spikes, n_events, spike_counts[sample])
                _learn(layer, u, inputs, scratch, task, sample, n_active, n_events, first, last)
            if record.wanted:
                _record(net, layer, u, inputs, scratch, n_active, n_fired, n_events, step, record)
    return True


@inlined_kernel()
def _advance_units(net, layer, inputs, scratch, n_fired, gain, u, next_u, first, last):  # type: ignore[no-untyped-def]
    """Set the drive of the next step, d u + a with a_k = g Σ_fired w_ki, for a range of units."""
    decay, height = net.unit_decay, u.dtype.type(gain)
    for start in range(first, last, _UNITS_AT_ONCE):
        stop = min(start + _UNITS_AT_ONCE, last)
        # Compilers make vectors only of loops from 0 on.
        now, then, scales = u[start:stop], next_u[start:stop], layer.scales[start:stop]
        current = scratch.current[: now.size]
        if n_fired == 0:
            nothing, negligible = u.dtype.type(0.0), u.dtype.type(NEGLIGIBLE)
            for k in range(now.size):
                decayed = decay * now[k]
                then[k] = decayed if abs(decayed) > negligible else nothing
        else:
            _sum_rows(layer.columns, inputs.rows, n_fired, start, stop, current)
            for k in range(now.size):
                then[k] = decay * now[k] + height * scales[k] * current[k]


@kernel()
def _sum_rows(columns, rows, n_rows, start, stop, total):  # type: ignore[no-untyped-def]
    """Sum a range of the rows of the inputs that fired, eight rows at a time."""
    total[:] = 0.0
    j = 0
    while j + 8 <= n_rows:
        a = columns[rows[j], start:stop]
        b = columns[rows[j + 1], start:stop]
        c = columns[rows[j + 2], start:stop]
        d = columns[rows[j + 3], start:stop]
        e = columns[rows[j + 4], start:stop]
        f = columns[rows[j + 5], start:stop]
        g = columns[rows[j + 6], start:stop]
        h = columns[rows[j + 7], start:stop]
        for k in range(total.size):
            total[k] += ((a[k] + b[k]) + (c[k] + d[k])) + ((e[k] + f[k]) + (g[k] + h[k]))
        j += 8
    while j + 4 <= n_rows:
        a = columns[rows[j], start:stop]
        b = columns[rows[j + 1], start:stop]
        c = columns[rows[j + 2], start:stop]
        d = columns[rows[j + 3], start:stop]
        for k in range(total.size):
            total[k] += (a[k] + b[k]) + (c[k] + d[k])
        j += 4
    while j < n_rows:
        a = columns[rows[j], start:stop]
        for k in range(total.size):
            total[k] += a[k]
        j += 1


@inlined_kernel()
def _fire_together(  # type: ignore[no-untyped-def]
    net, layer, u, scratch, task, given, sample, step, first, last, n_threads
):
    """Let the populations fire; return how many did, −1 if a thread is lost.

    Each thread finds the rates of its units, and the thread that has the first unit draws.
    """
    outputs_given = given.output_counts.size > 0
    leads = first == 0
    if step == 0 and leads:
        layer.pool[:] = 0.0
    if net.inhibition == GRADED or not outputs_given:
        find_intensities(net.concentration, u, layer.bias, first, last, layer.intensities)
        if not wait_for_all(layer.arrivals, n_threads, scratch.barriers):
            return -1
    if leads:
        _fire(net, layer, task, given, sample, step)
    if not wait_for_all(layer.arrivals, n_threads, scratch.barriers):
        return -1
    return layer.spikes.n_events[0]


@kernel()
def _fire(net, layer, task, given, sample, step):  # type: ignore[no-untyped-def]
    """Draw the output spikes of a step, or take the given ones, and let the pool follow."""
    spikes, pool = layer.spikes, layer.pool
    spikes.n_events[0] = 0
    if given.output_counts.size:
        for k in range(layer.bias.size):
            add_spikes(spikes, k, given.output_counts[step, k])
    else:
        _draw(net, layer, task, sample, step)
    n_spikes = close_step(spikes)
    pool[2] = pool[0]
    if net.inhibition == GRADED:
        correction = log_normalizer(layer.intensities) - pool[0]
    else:
        correction = net.inhibition_gain * math.log((n_spikes + 0.5) / (net.total_rate + 0.5))
    pool[1] = net.decay * pool[1] + (1.0 - net.decay) * correction
    pool[0] += correction + pool[1]


@kernel()
def _draw(net, layer, task, sample, step):  # type: ignore[no-untyped-def]
    """Draw n_k ~ Binomial(M, ρ_k), ρ_k = min(1, (r/M) exp(u_k/τ + b_k − h))."""
    intensities, spikes, number = layer.intensities, layer.spikes, task.first_sample + sample
    set_rates(intensities, net.log_neuron_rate - layer.pool[0])
    expected = draw_alone(
        intensities, net.population_size, LARGEST_SHARED_RHO, task.seed, number, step, spikes
    )
    # Weights that have diverged must not make endless work.
    mean = net.population_size * net.surplus * min(expected, float(layer.bias.size))
    draw_candidates(
        draw_number(mean, task.seed, number, step),
        intensities,
        net.population_size,
        net.surplus,
        task.seed,
        number,
        step,
        spikes,
    )


@kernel()
def _learn(layer, u, inputs, scratch, task, sample, n_active, n_events, first, last):  # type: ignore[no-untyped-def]
    rate = task.learning_rates[sample]
    if rate > 0.0:
        _learn_columns(
            layer.columns, layer.scales, layer.spikes, u, inputs.active, scratch.psp,
            scratch.growth, n_active, n_events, rate, first, last,
        )  # fmt: skip
    rate = task.prior_learning_rates[sample]
    if rate > 0.0:
        learn_log_prior(layer.spikes, layer.log_prior, layer.bias, n_events, rate, first, last)


@kernel()
def _learn_columns(  # type: ignore[no-untyped-def]
    columns, scales, spikes, u, active, psp, growth, n_active, n_events, learning_rate, first, last
):
    """Apply w_k ← w_k + η n_k (s − u_k w_k) to the populations that fired in a range of units."""
    units, counts = spikes.units, spikes.counts
    for event in range(n_events):
        k = units[event]
        if first <= k < last:
            eta = learning_rate * counts[event]
            shrink(columns, scales, k, 1.0 - eta * u[k])
            growth[k] = eta / scales[k]
    if n_events * _UNITS_PER_SINGLE_UPDATE > last - first:
        _grow_rows(columns, active, psp, n_active, growth, first, last)
    for event in range(n_events):
        k = units[event]
        if first <= k < last:
            if n_events * _UNITS_PER_SINGLE_UPDATE <= last - first:
                _grow_column(columns, active, psp, n_active, growth[k], k)
            growth[k] = 0.0


@kernel()
def _grow_rows(columns, active, psp, n_active, growth, first, last):  # type: ignore[no-untyped-def]
    """Add growth times PSP to a range of units, of which many fired; the others' growth is 0."""
    of_units = growth[first:last]
    for p in range(n_active):
        row, s = columns[active[p], first:last], psp[p]
        if s > 0.0:
            for k in range(of_units.size):
                row[k] += of_units[k] * s


@kernel()
def _grow_column(columns, active, psp, n_active, growth, k):  # type: ignore[no-untyped-def]
    for p in range(n_active):
        columns[active[p], k] += growth * psp[p]


@kernel()
def _record(net, layer, u, inputs, scratch, n_active, n_fired, n_events, step, record):  # type: ignore[no-untyped-def]
    """Write down what is wanted of a step."""
    record_inputs(record, inputs, n_fired, step)
    record_outputs(record, layer.spikes, n_events, step)
    if step >= net.settle_steps:
        _probe(layer, u, inputs, scratch, n_active, step - net.settle_steps, record)


@kernel()
def _probe(layer, u, inputs, scratch, n_active, reading, record):  # type: ignore[no-untyped-def]
    if record.drive.size:
        for k in range(layer.bias.size):
            record.drive[reading, k] = u[k]
    if record.inhibition.size:
        record.inhibition[reading] = layer.pool[2]
    if record.psp.size:
        for p in range(n_active):
            record.psp[reading, inputs.active[p]] = scratch.psp[p]


# Drives are of this step and the next, which take turns.
STEPWISE_KERNEL = Kernel(present, new_scratch, n_drives=2)
