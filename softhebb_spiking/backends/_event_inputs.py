"""The input spikes of the event rung, in steps: listed where they are, not one test per input."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking._compiled import (
    LANES,
    bits_below,
    bits_equal,
    count_bits,
    inlined_kernel,
    kernel,
    lowest_bit,
    padded,
)
from softhebb_spiking.encoding import is_below
from softhebb_spiking.philox import INPUT_STREAM, STEPS_OF_BLOCK, bytes_of_steps
from softhebb_spiking.validation import IntArray

# Values that decay go to zero here: processors are slow with denormal numbers.
NEGLIGIBLE = 1e-30
_BITS_AT_ONCE = 8


class Inputs(NamedTuple):
    """One thread's scratch: the inputs that the sample drives, by position among them."""

    active: NDArray[np.int32]
    position: NDArray[np.int32]  # of every input
    thresholds: NDArray[np.uint64]
    high: NDArray[np.uint8]  # high bytes of thresholds, and beyond the last position
    words: NDArray[np.uint32]
    drawn: NDArray[np.uint8]  # high bytes of the words of sixteen steps
    fired: NDArray[np.int32]  # positions
    rows: NDArray[np.int32]  # the inputs at these positions


class Given(NamedTuple):
    """Spikes of one sample that are not drawn; empty arrays where they are."""

    input_starts: IntArray
    inputs: IntArray
    output_counts: IntArray


def new_inputs(n_features: int) -> Inputs:
    """Return scratch for so many inputs."""
    with_lanes = n_features + LANES
    return Inputs(
        active=padded(with_lanes, np.int32),
        position=padded(n_features, np.int32),
        thresholds=padded(n_features, np.uint64),
        high=padded(with_lanes, np.uint8),
        words=padded(4 * n_features, np.uint32).reshape(4, n_features),
        drawn=padded(STEPS_OF_BLOCK * with_lanes, np.uint8).reshape(STEPS_OF_BLOCK, with_lanes),
        fired=padded(with_lanes, np.int32),
        rows=padded(with_lanes, np.int32),
    )


def nothing_given() -> Given:
    """Return what stands for spikes that are all drawn."""
    nothing = np.empty(0, np.int64)
    return Given(input_starts=nothing, inputs=nothing, output_counts=np.empty((0, 0), np.int64))


@kernel()
def start_sample(inputs, thresholds, given):  # type: ignore[no-untyped-def]
    """List the inputs that can fire; return how many."""
    n_active = 0
    given_inputs = given.input_starts.size > 0
    if given_inputs:
        inputs.position[:] = -1
        for i in given.inputs:
            inputs.position[i] = 0
    for i in range(thresholds.size):
        # Given spikes find the inputs at the places that drawn ones have: sums then round alike.
        if thresholds[i] > 0 or (given_inputs and inputs.position[i] == 0):
            inputs.active[n_active] = i
            inputs.position[i] = n_active
            inputs.thresholds[n_active] = thresholds[i]
            inputs.high[n_active] = min(thresholds[i] >> np.uint64(24), np.uint64(255))
            n_active += 1
    return n_active


@inlined_kernel()
def receive_inputs(inputs, n_active, given, seed, number, step):  # type: ignore[no-untyped-def]
    """List the inputs that fire in a step; return how many."""
    if given.input_starts.size:
        spikes = given.inputs[given.input_starts[step] : given.input_starts[step + 1]]
        for j in range(spikes.size):
            inputs.rows[j] = spikes[j]
            inputs.fired[j] = inputs.position[spikes[j]]
        return spikes.size
    lane = _draw_bytes(inputs, n_active, seed, number, step)
    return _list_spikes(inputs, inputs.drawn[lane], n_active, seed, number, step)


@inlined_kernel()
def _draw_bytes(inputs, n_active, seed, number, step):  # type: ignore[no-untyped-def]
    """Return which row of `drawn` has the high bytes of a step; sixteen steps are drawn at once."""
    lane = step % STEPS_OF_BLOCK
    if lane == 0:
        active, block = inputs.active[:n_active], step // STEPS_OF_BLOCK
        bytes_of_steps(seed, INPUT_STREAM, number, block, active, inputs.words, inputs.drawn)
    return lane


@inlined_kernel()
def _list_spikes(inputs, drawn, n_active, seed, number, step):  # type: ignore[no-untyped-def]
    """List the inputs with words below their thresholds, of which `drawn` are the high bytes."""
    high, active, fired, rows = inputs.high, inputs.active, inputs.fired, inputs.rows
    n_fired = 0
    for start in range(0, n_active, LANES):
        bits, ties = bits_below(drawn, high, start), bits_equal(drawn, high, start)
        if n_active - start < LANES:
            valid = np.uint32((1 << (n_active - start)) - 1)
            bits, ties = bits & valid, ties & valid
        while ties != 0:
            p = lowest_bit(ties)
            ties &= np.uint32(ties - np.uint32(1))
            threshold = inputs.thresholds[start + p]
            if is_below(drawn[start + p], threshold, seed, number, step, active[start + p]):
                bits |= np.uint32(1 << p)
        n_bits = count_bits(bits)
        for done in range(0, n_bits, _BITS_AT_ONCE):
            # As many each time: what is written beyond the last bit is overwritten, and a loop of
            # a fixed length costs less than to mispredict where it ends.
            for j in range(_BITS_AT_ONCE):
                p = start + (lowest_bit(bits) & (LANES - 1))
                bits &= np.uint32(bits - np.uint32(1))
                fired[n_fired + done + j] = p
                rows[n_fired + done + j] = active[p]
        n_fired += n_bits
    return n_fired


@inlined_kernel()
def follow_psp(decay, gain, inputs, psp, n_active, n_fired):  # type: ignore[no-untyped-def]
    """Apply s ← d s + g [fired] to inputs that are listed."""
    nothing, negligible = psp.dtype.type(0.0), psp.dtype.type(NEGLIGIBLE)
    for p in range(n_active):
        decayed = decay * psp[p]
        psp[p] = decayed if decayed > negligible else nothing
    for j in range(n_fired):
        psp[inputs.fired[j]] += gain


@inlined_kernel()
def draw_and_follow_psp(decay, gain, inputs, psp, n_active, seed, number, step):  # type: ignore[no-untyped-def]
    """Draw the spikes of a step and apply s ← d s + g [fired], without a list of them."""
    lane = _draw_bytes(inputs, n_active, seed, number, step)
    drawn, high = inputs.drawn[lane], inputs.high
    nothing, negligible = psp.dtype.type(0.0), psp.dtype.type(NEGLIGIBLE)
    for p in range(n_active):
        decayed = decay * psp[p]
        decayed = decayed if decayed > negligible else nothing
        psp[p] = decayed + (gain if drawn[p] < high[p] else nothing)
    for start in range(0, n_active, LANES):
        ties = bits_equal(drawn, high, start)
        if n_active - start < LANES:
            ties &= np.uint32((1 << (n_active - start)) - 1)
        while ties != 0:
            p = start + lowest_bit(ties)
            ties &= np.uint32(ties - np.uint32(1))
            if is_below(drawn[p], inputs.thresholds[p], seed, number, step, inputs.active[p]):
                psp[p] += gain
