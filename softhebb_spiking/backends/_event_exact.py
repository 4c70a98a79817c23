"""The compiled presentation with exact inhibition, in floating point.

The normaliser is known in the step itself, so Σ ρ is known beforehand, and with it in which steps
there can be a spike. Only there drives are wanted, and between two spikes no weight changes: the
drives of a block of steps are one product of traces with weights. A population that fires in the
block changes its own weights alone; its later drives are mended by what the change is worth.

Within a block traces s̃ count from its beginning, t₀; what came before lives on in the drives and
the traces of that moment: u(t) = d^(t−t₀) u(t₀) + W s̃(t − 1), s(t) = d^(t+1−t₀) s(t₀ − 1) + s̃(t).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking._compiled import inlined_kernel, kernel, padded, wait_for_all
from softhebb_spiking.backends._event_draws import (
    add_spikes,
    close_step,
    count_spikes,
    draw_candidates,
    draw_four_numbers,
    find_intensities,
    log_normalizer,
    set_rates,
)
from softhebb_spiking.backends._event_inputs import (
    draw_and_follow_psp,
    follow_psp,
    receive_inputs,
    start_sample,
)
from softhebb_spiking.backends._event_network import (
    Kernel,
    learn_log_prior,
    shrink,
    units_of_thread,
)
from softhebb_spiking.backends._event_product import ROWS_BEYOND, multiply_rows
from softhebb_spiking.backends._event_record import record_inputs, record_outputs
from softhebb_spiking.encoding import psp_decay
from softhebb_spiking.params import NetworkParams
from softhebb_spiking.validation import FloatArray, IntArray

BLOCK_STEPS = 128  # a multiple of the four whose numbers of candidates are drawn together
_N_ROWS = BLOCK_STEPS + 1 + ROWS_BEYOND
_N_SLOTS = 64


class Rows(NamedTuple):
    """The steps of a block that are looked at, one row each; one more row for the next block."""

    steps: IntArray
    candidates: IntArray
    before: FloatArray  # traces s̃ without the inputs of the step
    after: FloatArray  # and with them


class Learned(NamedTuple):
    """Weights of the units that learned in a block, at active inputs, until they are put back."""

    slot_of_unit: NDArray[np.int32]  # −1 where nothing was learned
    unit_of_slot: NDArray[np.int32]
    n_slots: IntArray
    weights: FloatArray
    change: FloatArray


class Scratch(NamedTuple):
    """What one thread needs beside the inputs."""

    rows: Rows
    learned: Learned
    trace: FloatArray  # s̃, by position among active inputs
    earlier: FloatArray  # s(t₀ − 1)
    powers: FloatArray  # of d
    candidates: IntArray  # in four steps
    barriers: IntArray  # how many were passed


def new_scratch(net: NetworkParams, dtype: Any) -> Scratch:
    """Return scratch for a network."""

    def traces(n_rows: int) -> FloatArray:
        return np.asarray(padded(n_rows * net.n_features, dtype).reshape(n_rows, net.n_features))

    return Scratch(
        rows=Rows(
            steps=padded(_N_ROWS, np.int64),
            candidates=padded(_N_ROWS, np.int64),
            before=traces(_N_ROWS),
            after=traces(_N_ROWS),
        ),
        learned=Learned(
            slot_of_unit=padded(net.n_units, np.int32) - np.int32(1),
            unit_of_slot=padded(_N_SLOTS, np.int32),
            n_slots=padded(1, np.int64),
            weights=traces(_N_SLOTS),
            change=padded(net.n_features, dtype),
        ),
        trace=padded(net.n_features, dtype),
        earlier=padded(net.n_features, dtype),
        powers=(psp_decay(net) ** np.arange(BLOCK_STEPS + 1)).astype(dtype),
        candidates=padded(4, np.int64),
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
        scratch.earlier[:n_active] = 0.0
        for start in range(0, net.n_steps, BLOCK_STEPS):
            n_rows = _follow_inputs(
                net, inputs, scratch, task, given, record, sample, n_active, start
            )
            goes_on = start + BLOCK_STEPS < net.n_steps
            n_drives = n_rows + 1 if goes_on else n_rows
            _find_drives(layer, inputs, scratch, n_active, n_drives, first, last, start)
            for row in range(n_rows):
                if not _fire_together(
                    net, layer, scratch, task, given, sample, row, first, last, n_threads
                ):
                    return False
                _follow_spikes(
                    net, layer, inputs, scratch, task, record, spike_counts, sample, n_active,
                    n_drives, row, first, last, start,
                )  # fmt: skip
            _put_back(layer, inputs, scratch.learned, n_active)
            if goes_on:
                _copy(layer.u[n_rows, first:last], layer.u[_N_ROWS, first:last])
                for p in range(n_active):
                    scratch.earlier[p] *= scratch.powers[BLOCK_STEPS]
                    scratch.earlier[p] += scratch.trace[p]
    return True


@kernel()
def _follow_inputs(net, inputs, scratch, task, given, record, sample, n_active, start):  # type: ignore[no-untyped-def]
    """Let the inputs of a block fire; fill a row for each step to look at; return how many."""
    rows, trace = scratch.rows, scratch.trace
    gain, number = trace.dtype.type(task.gains[sample]), task.first_sample + sample
    probed = record.drive.size + record.inhibition.size + record.psp.size > 0
    trace[:n_active] = 0.0
    n_rows = 0
    for step in range(start, min(start + BLOCK_STEPS, net.n_steps)):
        n_candidates = _number_of_candidates(net, scratch, task, given, number, step)
        is_read = step >= net.settle_steps
        is_row = (n_candidates > 0 and (is_read or record.wanted)) or (probed and is_read)
        if is_row:
            rows.steps[n_rows], rows.candidates[n_rows] = step, n_candidates
            _copy(trace[:n_active], rows.before[n_rows])
        if record.wanted or given.input_starts.size:
            n_fired = receive_inputs(inputs, n_active, given, task.seed, number, step)
            follow_psp(net.unit_decay, gain, inputs, trace, n_active, n_fired)
            record_inputs(record, inputs, n_fired, step)
        else:
            draw_and_follow_psp(
                net.unit_decay, gain, inputs, trace, n_active, task.seed, number, step
            )
        if is_row:
            if task.learning_rates[sample] > 0.0 or record.psp.size:
                _copy(trace[:n_active], rows.after[n_rows])
            n_rows += 1
    rows.steps[n_rows] = start + BLOCK_STEPS
    _copy(trace[:n_active], rows.before[n_rows])
    return n_rows


@kernel()
def _copy(source, target):  # type: ignore[no-untyped-def]
    """Copy to the beginning of another array, which numba would first copy elsewhere."""
    for p in range(source.size):
        target[p] = source[p]


@inlined_kernel()
def _number_of_candidates(net, scratch, task, given, number, step):  # type: ignore[no-untyped-def]
    """Return how many candidates of spikes a step has; of given spikes, the spikes."""
    if given.output_counts.size:
        return given.output_counts[step].sum()
    if step % 4 == 0:
        mean = net.surplus * net.total_rate
        draw_four_numbers(mean, task.seed, number, step, scratch.candidates)
    return scratch.candidates[step % 4]


@kernel()
def _find_drives(layer, inputs, scratch, n_active, n_drives, first, last, start):  # type: ignore[no-untyped-def]
    """Set the drives of the rows of a block for a range of units."""
    rows, u = scratch.rows, layer.u
    multiply_rows(layer.columns, inputs.active, n_active, rows.before, n_drives, first, last, u)
    scales, at_start = layer.scales[first:last], u[_N_ROWS, first:last]
    for row in range(n_drives):
        drives, power = u[row, first:last], scratch.powers[rows.steps[row] - start]
        if start == 0:
            for k in range(drives.size):
                drives[k] *= scales[k]
        else:
            for k in range(drives.size):
                drives[k] = scales[k] * drives[k] + power * at_start[k]


@inlined_kernel()
def _fire_together(net, layer, scratch, task, given, sample, row, first, last, n_threads):  # type: ignore[no-untyped-def]
    """Let the populations fire; False if a thread is lost.

    Each thread finds the rates of its units, and the thread that has the first unit draws.
    """
    find_intensities(net.concentration, layer.u[row], layer.bias, first, last, layer.intensities)
    if not wait_for_all(layer.arrivals, n_threads, scratch.barriers):
        return False
    if first == 0:
        _fire(net, layer, scratch.rows, task, given, sample, row)
    return wait_for_all(layer.arrivals, n_threads, scratch.barriers)


@inlined_kernel()
def _fire(net, layer, rows, task, given, sample, row):  # type: ignore[no-untyped-def]
    """Draw n_k ~ Binomial(M, ρ_k), ρ_k = min(1, (r/M) exp(u_k/τ + b_k − h)), or take them."""
    spikes, intensities, step = layer.spikes, layer.intensities, rows.steps[row]
    spikes.n_events[0] = 0
    normalizer = log_normalizer(intensities)
    layer.pool[2] = normalizer
    if given.output_counts.size:
        for k in range(layer.bias.size):
            add_spikes(spikes, k, given.output_counts[step, k])
    else:
        set_rates(intensities, net.log_neuron_rate - normalizer)
        draw_candidates(
            rows.candidates[row],
            intensities,
            net.population_size,
            net.surplus,
            task.seed,
            task.first_sample + sample,
            step,
            spikes,
        )
    close_step(spikes)


@inlined_kernel()
def _follow_spikes(  # type: ignore[no-untyped-def]
    net, layer, inputs, scratch, task, record, spike_counts, sample, n_active, n_drives, row,
    first, last, start,
):  # fmt: skip
    """Count, learn from and record the spikes of a row."""
    n_events, step = layer.spikes.n_events[0], scratch.rows.steps[row]
    if n_events > 0 and step >= net.settle_steps:
        if first == 0:
            count_spikes(layer.spikes, n_events, spike_counts[sample])
        rate = task.learning_rates[sample]
        for event in range(n_events if rate > 0.0 else 0):
            k = layer.spikes.units[event]
            if first <= k < last:
                eta = layer.u.dtype.type(rate * layer.spikes.counts[event])
                _learn(layer, inputs, scratch, n_active, n_drives, row, k, eta, start)
        rate = task.prior_learning_rates[sample]
        if rate > 0.0:
            learn_log_prior(layer.spikes, layer.log_prior, layer.bias, n_events, rate, first, last)
    if record.wanted:
        record_outputs(record, layer.spikes, n_events, step)
        if step >= net.settle_steps:
            _probe(layer, inputs, scratch, n_active, row, step - net.settle_steps, start, record)


@kernel()
def _learn(layer, inputs, scratch, n_active, n_drives, row, k, eta, start):  # type: ignore[no-untyped-def]
    """Apply w_k ← w_k + η n_k (s − u_k w_k), and mend the drives of unit k from here on."""
    rows, learned, powers = scratch.rows, scratch.learned, scratch.powers
    slot = learned.slot_of_unit[k]
    if slot < 0:
        if learned.n_slots[0] == learned.unit_of_slot.size:
            _put_back(layer, inputs, learned, n_active)
        slot = _take_out(layer, inputs, learned, n_active, k)
    u, step = layer.u[row, k], rows.steps[row]
    w, change = learned.weights[slot, :n_active], learned.change[:n_active]
    after, earlier = rows.after[row, :n_active], scratch.earlier[:n_active]
    power = powers[step + 1 - start]
    for p in range(n_active):
        change[p] = eta * (after[p] + power * earlier[p] - u * w[p])
        w[p] += change[p]
    shrink(layer.columns, layer.scales, k, 1.0 - eta * u)
    worth = _dot(change, after)
    for later in range(row + 1, n_drives):
        lag = rows.steps[later] - 1 - step
        layer.u[later, k] += _dot(change, rows.before[later, :n_active]) - powers[lag] * worth


@kernel(fastmath={"reassoc", "nsz", "contract"})
def _dot(a, b):  # type: ignore[no-untyped-def]
    """Return a sum of products in lanes, in an order that the compiler chose once."""
    total = a.dtype.type(0.0)
    for p in range(a.size):
        total += a[p] * b[p]
    return total


@kernel()
def _take_out(layer, inputs, learned, n_active, k):  # type: ignore[no-untyped-def]
    """Copy the weights of a unit at active inputs into a slot, and return it."""
    slot = learned.n_slots[0]
    learned.n_slots[0] += 1
    learned.slot_of_unit[k] = slot
    learned.unit_of_slot[slot] = k
    for p in range(n_active):
        learned.weights[slot, p] = layer.scales[k] * layer.columns[inputs.active[p], k]
    return slot


@kernel()
def _put_back(layer, inputs, learned, n_active):  # type: ignore[no-untyped-def]
    """Write the weights of the slots back and empty them."""
    n_slots = learned.n_slots[0]
    for slot in range(n_slots):
        k = learned.unit_of_slot[slot]
        learned.slot_of_unit[k] = -1
        of_scale = learned.weights.dtype.type(1.0) / layer.scales[k]
        for p in range(n_active):
            learned.weights[slot, p] *= of_scale
    for p in range(n_active):
        row = layer.columns[inputs.active[p]]
        for slot in range(n_slots):
            row[learned.unit_of_slot[slot]] = learned.weights[slot, p]
    learned.n_slots[0] = 0


@kernel()
def _probe(layer, inputs, scratch, n_active, row, reading, start, record):  # type: ignore[no-untyped-def]
    """Write down what is probed of a row."""
    if record.drive.size:
        for k in range(layer.bias.size):
            record.drive[reading, k] = layer.u[row, k]
    if record.inhibition.size:
        record.inhibition[reading] = layer.pool[2]
    if record.psp.size:
        power = scratch.powers[scratch.rows.steps[row] + 1 - start]
        for p in range(n_active):
            s = scratch.rows.after[row, p] + power * scratch.earlier[p]
            record.psp[reading, inputs.active[p]] = s


# The last row of drives is u(t₀).
EXACT_KERNEL = Kernel(present, new_scratch, n_drives=_N_ROWS + 1)
