"""The learning rule in numbers that a chip's learning engine can hold.

    dw = 2^a · x1 · y1 − m · 2^b · y1 · y2 · w

is what a three-factor rule of Loihi, and Lava's `LearningDense`, can compute of SoftHebb. The
constants follow from three demands: one update has the size η', the fixed point of the norm is 1,
and the first product is not rounded. `docs/fixed_point.md` derives them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from softhebb_spiking.fixed_point import (
    MAX_EXPONENT,
    MAX_RULE_MANTISSA,
    MIN_EXPONENT,
    TRACE,
    Format,
    Multiplier,
    rounded,
)
from softhebb_spiking.params import FixedPointParams, NetworkParams

# Lava shifts a product right by the bits of its factors that exceed the accumulator's.
X1_Y1_SHIFT = 3
Y1_Y2_W_SHIFT = 12
ACCUMULATOR_FRACTION_BITS = 7  # of a weight's least bit, before stochastic rounding
_LARGEST_DRIVE = 1.4  # the drive fluctuates above 1; y2 must hold it
_BURST = 4.0  # times the total rate, the most spikes of a population in a step worth the room


@dataclass(frozen=True, kw_only=True)
class LearningConstants:
    """The three-factor rule in numbers that its engine can hold, and what it achieves.

    Attributes
    ----------
    epoch : int
        Steps between updates (t_epoch).
    y1_quantum : int
        y1 of one update; a multiple of 8, so that x1 · y1 loses no bit in its shift.
    hebb_exponent : int
        a of 2^a · x1 · y1.
    decay_mantissa, decay_exponent : int
        m and b of m · 2^b · y1 · y2 · w.
    y2_multiplier : Multiplier
        From the integer drive to y2.
    step : float
        η', the size of one update that these constants make.
    dose_per_rate : float
        Updates per output spike and unit of learning rate.
    equilibrium_norm : float
        Norm at which growth and decay balance, without the rounding of products.
    """

    epoch: int
    y1_quantum: int
    hebb_exponent: int
    decay_mantissa: int
    decay_exponent: int
    y2_multiplier: Multiplier
    step: float
    dose_per_rate: float
    equilibrium_norm: float

    @property
    def rule(self) -> str:
        """The rule in Lava's notation."""
        return (
            f"2^{self.hebb_exponent}*u0*x1*y1 - "
            f"{self.decay_mantissa}*2^{self.decay_exponent}*u0*y1*y2*w"
        )

    @property
    def max_quanta(self) -> int:
        """The most updates that y1 can ask for at a time."""
        return TRACE.max_integer // self.y1_quantum


def learning_constants(
    network: NetworkParams,
    params: FixedPointParams,
    weight: Format,
    trace: Format,
    drive_unit: float,
    learning_rate: float,
) -> LearningConstants:
    """Return the rule for a network; `docs/fixed_point.md` has the two equations solved here.

    Parameters
    ----------
    network, params
        The network, and how it is held.
    weight, trace : Format
        Of weights and traces.
    drive_unit : float
        Drive u that one unit of the integer drive stands for.
    learning_rate : float
        The largest η to be learned with.

    Raises
    ------
    ValueError
        If an update is too large for the rule's exponents.
    """
    per_spike = 1.0 / (network.total_rate * network.n_steps)
    busiest = min(network.population_size, _BURST * network.total_rate) * params.learning_epoch
    # One unit of the trace is worth `ratio` units of weight.
    ratio = math.ldexp(1.0, trace.exponent - weight.exponent)
    wanted = params.learning_step or 0.0  # never None, see FixedPointParams
    exponent, y1 = _quantum(wanted, learning_rate * per_spike * busiest, ratio)
    step = math.ldexp(y1 / ratio, exponent - X1_Y1_SHIFT)
    # The norm is 1 if 2^(a − 3) / ratio = m S 2^(b − 12), with y2 = S u.
    drive_scale, mantissa, decay_exponent = _decay_product(math.ldexp(1.0 / ratio, exponent))
    if drive_scale == 0.0:
        raise ValueError(
            f"trace_exponent={trace.exponent} does not fit weight_exponent={weight.exponent}: the "
            f"decay would need a rule exponent above {MAX_EXPONENT}. The nearest trace_exponent "
            f"that fits is {_nearest_trace_exponent(weight)}."
        )
    multiplier = Multiplier.nearest(drive_scale * drive_unit)
    achieved = multiplier.value / drive_unit
    decay_step = mantissa * achieved * math.ldexp(1.0, decay_exponent - Y1_Y2_W_SHIFT) * y1
    return LearningConstants(
        epoch=params.learning_epoch,
        y1_quantum=y1,
        hebb_exponent=exponent,
        decay_mantissa=mantissa,
        decay_exponent=decay_exponent,
        y2_multiplier=multiplier,
        step=step,
        dose_per_rate=per_spike / step,
        equilibrium_norm=math.sqrt(step / decay_step),
    )


def _quantum(wanted_step: float, largest_change: float, ratio: float) -> tuple[int, int]:
    """Return a and y1 with η' = y1 2^(a − 3) / ratio, η' at least as wanted and a the least.

    y1 is a multiple of 8, and has room for as many updates at a time as the busiest population
    may ask for.
    """
    exponents = range(MIN_EXPONENT, MAX_EXPONENT + 1)
    # Rather several small updates at a time than a single large one.
    for step in (wanted_step, max(wanted_step, largest_change)):
        for exponent in exponents:
            per_y1 = math.ldexp(1.0 / ratio, exponent - X1_Y1_SHIFT)
            y1 = 8 * max(1, math.ceil(step / per_y1 / 8.0))
            n_updates = max(1, math.ceil(largest_change / (y1 * per_y1)))
            if y1 * n_updates <= TRACE.max_integer:
                return exponent, y1
    largest = rounded(math.ldexp(120.0 / ratio, MAX_EXPONENT - X1_Y1_SHIFT), up=False)
    raise ValueError(
        f"updates of {max(wanted_step, largest_change):.4g} (learning_step={wanted_step:.4g}, and "
        f"{largest_change:.4g} for the learning rate and the busiest population) need a rule "
        f"exponent above {MAX_EXPONENT}; the largest that fits is {largest:.4g}."
    )


def _decay_product(hebb_scale: float) -> tuple[float, int, int]:
    """Return S, m and b with m · S · 2^(b − 9) = 2^a / ratio and S as fine as 7 bits allow."""
    finest = TRACE.max_integer / _LARGEST_DRIVE
    best = (0.0, 1, MIN_EXPONENT)
    for exponent in range(MIN_EXPONENT, MAX_EXPONENT + 1):
        for mantissa in range(1, MAX_RULE_MANTISSA + 1):
            scale = math.ldexp(hebb_scale, Y1_Y2_W_SHIFT - X1_Y1_SHIFT - exponent) / mantissa
            if best[0] < scale <= finest:
                best = (scale, mantissa, exponent)
    return best


def _nearest_trace_exponent(weight: Format) -> int:
    """Return the lowest exponent of traces whose rule still has a product for the decay."""
    exponent = weight.exponent
    while _decay_product(math.ldexp(1.0, weight.exponent - exponent + MIN_EXPONENT))[0] > 0.0:
        exponent -= 1
    return exponent + 1
