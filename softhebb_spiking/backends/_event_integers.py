"""Numbers of the integer kernels: constants, weights, and powers and logarithms from tables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking._compiled import kernel
from softhebb_spiking.validation import IntArray

TRACE_MAX = 127
STATE_MAX = 2**23 - 1
STATE_MIN = -(2**23)


class IntegerConstants(NamedTuple):
    """The integers of a network in the form the kernels want them."""

    inhibition: int
    population_size: int
    settle_steps: int
    n_steps: int  # with settling
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


class IntegerWeights(NamedTuple):
    """What is learned; `columns` is `weights` transposed, `bias` the log prior over 64."""

    weights: NDArray[np.uint8]
    columns: NDArray[np.uint8]
    log_prior: IntArray
    bias: NDArray[np.int32]


@kernel()
def mantissa(net, value, fraction_bits):  # type: ignore[no-untyped-def]
    """Return the mantissa of 2^(value / 2^fraction_bits), in [2¹⁵, 2¹⁶)."""
    return net.exp2_table[(value >> (fraction_bits - net.table_bits)) & (net.exp2_table.size - 1)]


@kernel()
def log2(net, number):  # type: ignore[no-untyped-def]
    """Return log2 of a positive integer, in units of 2⁻¹² octaves."""
    octave = 0
    while number >> (octave + 1):
        octave += 1
    index = ((number << net.table_bits) >> octave) - net.log2_table.size
    return (octave << 12) + net.log2_table[index]
