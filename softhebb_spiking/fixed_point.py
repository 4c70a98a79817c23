"""Numbers as a neuromorphic chip holds them; nothing else in the package rounds.

A `Format` says how a quantity becomes an integer. The tables give powers and logarithms of base 2,
which cost a shift and a look-up; an octave is a factor of two, one nat is log2(e) octaves.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking.validation import FloatArray, IntArray

OCTAVES_PER_NAT = math.log2(math.e)
MANTISSA_BITS = 15  # mantissas of powers lie in [2**15, 2**16)


class FixedPointOverflow(UserWarning):
    """A number did not fit its format and was clipped or wrapped."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """Integers of a number of bits that stand for multiples of 2**exponent.

    Parameters
    ----------
    bits : int
        Bits of the magnitude; a sign comes on top.
    exponent : int
        The least significant bit is worth 2**exponent.
    signed : bool
        Whether negative numbers can be held.
    saturating : bool
        Whether a number too large becomes the largest, or wraps around.

    Examples
    --------
    >>> weight = Format(bits=8, exponent=-10, signed=False)
    >>> weight.largest
    0.2490234375
    >>> int(weight.to_integer("a weight", 0.1)), weight.to_float(102)
    (102, 0.099609375)
    """

    bits: int
    exponent: int = 0
    signed: bool = True
    saturating: bool = True

    @property
    def max_integer(self) -> int:
        """The largest integer."""
        return int(2**self.bits - 1)

    @property
    def min_integer(self) -> int:
        """The smallest integer."""
        return -(2**self.bits) if self.signed else 0

    @property
    def largest(self) -> float:
        """The largest number."""
        return math.ldexp(self.max_integer, self.exponent)

    @property
    def smallest(self) -> float:
        """The smallest number; the most negative one, if there are any."""
        return math.ldexp(self.min_integer, self.exponent)

    def fit(self, integers: Any) -> Any:
        """Return integers brought into range, by saturation or by wrapping around."""
        if self.saturating:
            return np.clip(integers, self.min_integer, self.max_integer)
        span = self.max_integer - self.min_integer + 1
        return (np.asarray(integers) - self.min_integer) % span + self.min_integer

    def to_integer(self, name: str, values: Any) -> Any:
        """Return the nearest integers; what does not fit is brought into range with a warning.

        Parameters
        ----------
        name : str
            What is converted, for the warning.
        values : float or array_like
            Finite numbers.

        Returns
        -------
        ndarray of int64
            Of the same shape.

        Warns
        -----
        FixedPointOverflow
            With the number of values that did not fit, the one furthest out, and the range.
        """
        # In place where it can be: a layer has millions of weights.
        scaled = np.asarray(np.ldexp(np.asarray(values, np.float64), -self.exponent))
        np.rint(scaled, out=scaled)
        outside = (scaled < self.min_integer) | (scaled > self.max_integer)
        if outside.any():
            self._warn(name, np.asarray(values)[outside], np.size(values))
        # Beyond the float's own integers nothing can be told apart, so clip before the cast.
        np.clip(scaled, -(2.0**62), 2.0**62, out=scaled)
        integers = scaled.astype(np.int64)
        del scaled
        return self.fit(integers)

    def _warn(self, name: str, lost: FloatArray, n_values: int) -> None:
        centre = 0.5 * (self.largest + self.smallest)
        furthest = lost[np.argmax(np.abs(lost - centre))]
        nearest = self.largest if furthest > centre else self.smallest
        fate = "the nearest that fits" if self.saturating else "wrapped around; the nearest is"
        warnings.warn(
            f"{name}: {lost.size} of {n_values} values do not fit {self}; {furthest:.6g} became "
            f"{fate} {nearest:.6g}.",
            FixedPointOverflow,
            stacklevel=4,
        )

    def to_float(self, integers: Any) -> Any:
        """Return what the integers stand for; exact."""
        values = np.array(integers, np.float64)
        return np.ldexp(values, self.exponent, out=values)[()]  # a scalar of a scalar

    def __str__(self) -> str:
        sign = "signed" if self.signed else "unsigned"
        return (
            f"{self.bits + self.signed} bits, {sign}, in steps of 2^{self.exponent} "
            f"([{self.smallest:.6g}, {self.largest:.6g}])"
        )


def rounded(value: float, *, up: bool) -> float:
    """Return a positive number to four digits, rounded up or down, for messages."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 3)
    steps = math.ceil(value / unit) if up else math.floor(value / unit)
    return float(f"{steps * unit:.4g}")


# Bits that Loihi, and Lava's models of it, give to each quantity.
WEIGHT_BITS = 8
TRACE_BITS = 7
STATE_BITS = 23  # and a sign: 24-bit currents, drives and log-intensities
DECAY_BITS = 12
DECAY = Format(bits=DECAY_BITS, exponent=-DECAY_BITS, signed=False)
TRACE = Format(bits=TRACE_BITS, signed=False)
STATE = Format(bits=STATE_BITS)
ACCUMULATOR = Format(bits=15)  # of a learning rule, before its result is rounded to a weight
# Inhibition and log-intensity in octaves; the log prior has finer steps, since it learns slowly.
LOG_FRACTION_BITS = 12
PRIOR_FRACTION_BITS = 18
LOG = Format(bits=STATE_BITS, exponent=-LOG_FRACTION_BITS)
LOG_PRIOR = Format(bits=STATE_BITS, exponent=-PRIOR_FRACTION_BITS)
GAIN_FRACTION_BITS = 8
GAIN = Format(bits=10, exponent=-GAIN_FRACTION_BITS, signed=False)
MULTIPLIER_BITS = 16
COMPARE_BITS = 16  # of the random number each neuron compares with its spike probability
DOSE_BITS = 24
RATE_FRACTION_BITS = 16
GROWTH_FRACTION_BITS = 8
PRIOR_RATE_BITS = 32
GROWTH = Format(bits=30, exponent=-GROWTH_FRACTION_BITS)  # times a prior rate, within 64 bits

# Of stock LIF neurons and synapses, whose signs are held apart.
SYNAPSE = Format(bits=WEIGHT_BITS, signed=False)
MAX_SYNAPSE_EXPONENT = 7
LIF_THRESHOLD = Format(bits=17, signed=False)
LIF_BIAS = Format(bits=12)

# What a learning rule and its engine can hold.
MIN_EXPONENT, MAX_EXPONENT = -7, 8
MAX_RULE_MANTISSA = 7
MAX_EPOCH = 63

LIMITS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "weight": (0, 2**WEIGHT_BITS - 1),
        "trace": (0, 2**TRACE_BITS - 1),
        "state": (-(2**STATE_BITS), 2**STATE_BITS - 1),
        "decay": (0, 2**DECAY_BITS - 1),
        "rule exponent": (MIN_EXPONENT, MAX_EXPONENT),
        "rule mantissa": (-MAX_RULE_MANTISSA - 1, MAX_RULE_MANTISSA),
        "learning epoch": (1, MAX_EPOCH),
    }
)


def shared_exponent(sizes: FloatArray, form: Format, largest: int) -> int:
    """Return the smallest exponent in [0, largest] with which numbers fit a format.

    Parameters
    ----------
    sizes : ndarray
        Non-negative numbers, in units of 2**form.exponent.
    form : Format
        Its bits count.
    largest : int
        Beyond it nothing fits better; what is then too large is for `Format.to_integer` to tell.
    """
    top = float(np.max(sizes, initial=0.0))
    # The half-way number above the largest integer, which is odd, is rounded to even: out of range.
    needed = max(math.frexp(top / (form.max_integer + 0.5))[1], 0)
    return min(needed, largest)


@dataclass(frozen=True, kw_only=True)
class Multiplier:
    """A positive factor as an integer and a right shift: x ↦ (x · mantissa) >> shift.

    Attributes
    ----------
    mantissa, shift : int
        The factor is mantissa · 2**−shift, to `MULTIPLIER_BITS` bits.
    """

    mantissa: int
    shift: int

    @classmethod
    def nearest(cls, factor: float) -> Multiplier:
        """Return the multiplier nearest to a factor above 0 and below 2**16."""
        shift = MULTIPLIER_BITS - 1 - math.floor(math.log2(factor))
        return cls(mantissa=round(math.ldexp(factor, shift)), shift=shift)

    @property
    def value(self) -> float:
        """The factor."""
        return math.ldexp(self.mantissa, -self.shift)


def exp2_table(table_bits: int) -> IntArray:
    """Return 2**15 · 2**f at the middles f of 2**table_bits equal parts of [0, 1).

    Parameters
    ----------
    table_bits : int
        Binary logarithm of the size.

    Returns
    -------
    ndarray of shape (2**table_bits,), int64
        Mantissas in [2**15, 2**16).
    """
    middles = (np.arange(2**table_bits) + 0.5) / 2**table_bits
    return np.asarray(np.rint(np.exp2(MANTISSA_BITS + middles)), np.int64)


def exp2_error_bound(table_bits: int) -> float:
    """Return the largest relative error of a power read from `exp2_table`, before any shift.

    Half a part of the table, and half a unit of the mantissa, which is at least 2**15.
    """
    return float(2.0 ** (2.0 ** -(table_bits + 1)) - 1.0 + 2.0 ** -(MANTISSA_BITS + 1))


def log2_table(table_bits: int, fraction_bits: int = LOG_FRACTION_BITS) -> IntArray:
    """Return log2(1 + i/2**table_bits) for each i, in units of 2**−fraction_bits octaves."""
    parts = np.arange(2**table_bits) / 2**table_bits
    return np.asarray(np.rint(np.ldexp(np.log2(1.0 + parts), fraction_bits)), np.int64)


def log2_error_bound(table_bits: int) -> float:
    """Return by how many octaves a logarithm from `log2_table` can be off, before its rounding.

    The bits of the argument behind the table's are dropped, so it is at most this too low;
    integers below 2**(table_bits + 1) have no such bits.
    """
    return float(np.log2(1.0 + 2.0**-table_bits))


def shift_right_rounded(values: Any, shifts: Any) -> Any:
    """Return values / 2**shifts, rounded to the nearest, halves up; shifts may be 0 or more."""
    return (values + ((1 << shifts) >> 1)) >> shifts


def power_of_two(exponents: Any, fraction_bits: int, table: IntArray) -> tuple[Any, Any]:
    """Return mantissa m and exponent e with 2**x ≈ m · 2**(e − 15).

    Parameters
    ----------
    exponents : ndarray of int
        x, in units of 2**−fraction_bits.
    fraction_bits : int
        At least the binary logarithm of the table's size.
    table : ndarray
        From `exp2_table`.

    Returns
    -------
    mantissas, exponents : ndarray of int64
        m in [2**15, 2**16), and e = floor(x).
    """
    table_bits = table.size.bit_length() - 1
    index = (exponents >> (fraction_bits - table_bits)) & (table.size - 1)
    return table[index], exponents >> fraction_bits


def probability_thresholds(log_probabilities: IntArray, table: IntArray) -> IntArray:
    """Return min(1, 2**L) as thresholds of a 16-bit random number.

    Parameters
    ----------
    log_probabilities : ndarray of int
        L in units of 2**−12 octaves.
    table : ndarray
        From `exp2_table`.

    Returns
    -------
    ndarray of int64
        T in [0, 2**16]; a random number below T means a spike.
    """
    mantissas, exponents = power_of_two(log_probabilities, LOG_FRACTION_BITS, table)
    shifts = np.clip(-1 - exponents, 0, COMPARE_BITS + 2)
    thresholds = shift_right_rounded(mantissas, shifts)
    return np.asarray(np.where(exponents >= 0, 1 << COMPARE_BITS, thresholds))


def inverse_priors(log_prior: IntArray, table: IntArray) -> IntArray:
    """Return 1/π = 2**−B in units of 2**−8, held below 2**24: priors below 2**−16 count as that."""
    mantissas, exponents = power_of_two(-log_prior, PRIOR_FRACTION_BITS, table)
    shifts = MANTISSA_BITS - GROWTH_FRACTION_BITS - exponents
    right = shift_right_rounded(mantissas, np.maximum(shifts, 0))
    left = mantissas << np.clip(-shifts, 0, COMPARE_BITS)
    return np.asarray(np.minimum(np.where(shifts >= 0, right, left), 2**24 - 1))


def log2_integer(number: int, table: IntArray) -> int:
    """Return log2 of a positive integer in units of 2**−12 octaves.

    Parameters
    ----------
    number : int
        At least 1.
    table : ndarray
        From `log2_table`.
    """
    table_bits = table.size.bit_length() - 1
    octave = int(number).bit_length() - 1
    index = (int(number) << table_bits >> octave) - table.size
    return int((octave << LOG_FRACTION_BITS) + table[index])


def log2_sum(mantissas: IntArray, exponents: IntArray, table: IntArray) -> int:
    """Return log2 Σ m · 2**(e − 15) in units of 2**−12 octaves.

    Parameters
    ----------
    mantissas, exponents : ndarray of int, shape (n_units,)
        Graded messages, see `power_of_two`.
    table : ndarray
        From `log2_table`.
    """
    largest = int(exponents.max())
    # A term 2**-31 of the largest is lost in any case, and a larger shift is not defined.
    total = int((mantissas >> np.minimum(largest - exponents, 31)).sum())
    return ((largest - MANTISSA_BITS) << LOG_FRACTION_BITS) + log2_integer(total, table)


def random_halves(words: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """Return 32-bit random words as twice as many 16-bit ones, low half first."""
    return np.asarray(words.astype("<u4").view("<u2"))


def random_bytes(words: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return 32-bit random words as four times as many bytes, lowest first."""
    return np.asarray(words.astype("<u4").view("<u1"))
