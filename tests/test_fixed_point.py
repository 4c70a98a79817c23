"""Formats, multipliers, tables and random bits of the integers, each against exact arithmetic."""

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softhebb_spiking import fixed_point as fp
from softhebb_spiking.fixed_point import FixedPointOverflow, Format, Multiplier

ROUND_OFF = 1e-12  # of a few float64 operations on numbers of order 1 to 1e3

formats = st.builds(
    Format,
    bits=st.integers(1, 32),
    exponent=st.integers(-40, 10),
    signed=st.booleans(),
    saturating=st.booleans(),
)


def quietly(call: Callable[[], Any]) -> Any:
    """What a call returns; any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return call()


def overflow(call: Callable[[], Any]) -> tuple[Any, str]:
    """What a call returns, and the text of its one warning."""
    with pytest.warns(FixedPointOverflow) as caught:
        result = call()
    assert len(caught) == 1
    return result, str(caught[0].message)


def whatever_fits(call: Callable[[], Any]) -> Any:
    """What a call returns, whether or not it warns of an overflow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FixedPointOverflow)
        return call()


# --- formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signed", "limits", "numbers"), [(True, (-8, 7), (-2.0, 1.75)), (False, (0, 7), (0.0, 1.75))]
)
def test_limits_of_three_bits_in_quarters(
    signed: bool, limits: tuple[int, int], numbers: tuple[float, float]
) -> None:
    held = Format(bits=3, exponent=-2, signed=signed)
    assert (held.min_integer, held.max_integer) == limits
    assert (held.smallest, held.largest) == numbers


def test_a_format_describes_itself() -> None:
    assert str(Format(bits=3, exponent=-2)) == "4 bits, signed, in steps of 2^-2 ([-2, 1.75])"
    unsigned = Format(bits=8, exponent=-10, signed=False)
    assert str(unsigned) == "8 bits, unsigned, in steps of 2^-10 ([0, 0.249023])"


def test_formats_of_the_chip() -> None:
    """As docs/fixed_point.md lists them."""
    assert (fp.TRACE.min_integer, fp.TRACE.max_integer) == (0, 127)
    assert (fp.DECAY.min_integer, fp.DECAY.max_integer, fp.DECAY.exponent) == (0, 4095, -12)
    assert (fp.STATE.min_integer, fp.STATE.max_integer) == (-8388608, 8388607)
    assert (fp.LOG.exponent, fp.LOG_PRIOR.exponent) == (-12, -18)
    assert (fp.LOG_PRIOR.smallest, fp.LOG.smallest) == (-32.0, -2048.0)
    assert fp.LIMITS["weight"] == (0, 255)
    assert fp.LIMITS["rule exponent"] == (-7, 8)
    assert fp.LIMITS["rule mantissa"] == (-8, 7)
    assert fp.LIMITS["learning epoch"] == (1, 63)
    with pytest.raises(TypeError):
        fp.LIMITS["weight"] = (0, 1)  # type: ignore[index]


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("saturating", [True, False])
@pytest.mark.parametrize("bits", [1, 7, 12])
def test_every_integer_survives_the_round_trip(bits: int, signed: bool, saturating: bool) -> None:
    held = Format(bits=bits, exponent=-bits - 3, signed=signed, saturating=saturating)
    integers = np.arange(held.min_integer, held.max_integer + 1)
    assert integers.size == 2 ** (bits + signed)
    back = quietly(lambda: held.to_integer("q", held.to_float(integers)))
    assert back.dtype == np.int64
    np.testing.assert_array_equal(back, integers)
    np.testing.assert_array_equal(held.fit(integers), integers)


@given(formats, st.data())
@settings(deadline=None, max_examples=200)
def test_round_trip_and_rounding_of_any_format(held: Format, data: st.DataObject) -> None:
    integer = data.draw(st.integers(held.min_integer, held.max_integer))
    assert Fraction(float(held.to_float(integer))) == integer * Fraction(2) ** held.exponent
    assert quietly(lambda: held.to_integer("q", held.to_float(integer))) == integer
    value = data.draw(st.floats(held.smallest, held.largest))
    nearest = quietly(lambda: held.to_integer("q", value))
    # Scaling by a power of two is exact and so is rounding, hence exactly half a unit.
    error = Fraction(float(held.to_float(nearest))) - Fraction(value)
    assert abs(error) <= Fraction(2) ** held.exponent / 2


@given(formats, st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=8))
@settings(deadline=None, max_examples=200)
def test_integers_out_of_range_are_clipped_or_wrap(held: Format, integers: list[int]) -> None:
    low, high = held.min_integer, held.max_integer
    fitted = held.fit(np.array(integers))
    if held.saturating:
        assert fitted.tolist() == [min(max(value, low), high) for value in integers]
    else:
        span = 2 ** (held.bits + 1) if held.signed else 2**held.bits
        lost = np.array([int(one) - value for one, value in zip(fitted, integers, strict=True)])
        assert not (lost % span).any()
        assert low <= fitted.min() <= fitted.max() <= high


@given(formats.filter(lambda held: held.saturating), st.lists(st.floats(-1e9, 1e9), min_size=2))
@settings(deadline=None, max_examples=200)
def test_order_is_preserved(held: Format, values: list[float]) -> None:
    integers = whatever_fits(lambda: held.to_integer("q", np.sort(values)))
    assert (np.diff(integers) >= 0).all()
    assert held.min_integer <= integers[0] <= integers[-1] <= held.max_integer


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_numbers_far_out_saturate(sign: float) -> None:
    held = Format(bits=7, exponent=-3)
    integer, _ = overflow(lambda: held.to_integer("q", sign * 1e200))
    assert integer == (127 if sign > 0 else -128)


def test_what_the_overflow_warning_says_of_a_saturating_format() -> None:
    held = Format(bits=3, exponent=-2, signed=False)  # [0, 1.75]
    values = np.array([[0.5, 2.5, 7.25], [-0.5, 1.0, 1.75]])
    integers, message = overflow(lambda: held.to_integer("the current", values))
    assert integers.tolist() == [[2, 7, 7], [0, 4, 7]]
    assert message == (
        "the current: 3 of 6 values do not fit 3 bits, unsigned, in steps of 2^-2 ([0, 1.75]); "
        "7.25 became the nearest that fits 1.75."
    )


def test_the_furthest_may_be_below_the_range() -> None:
    held = Format(bits=3, exponent=-2)  # [-2, 1.75], centre -0.125
    integers, message = overflow(lambda: held.to_integer("q", [3.0, -3.5]))
    assert integers.tolist() == [7, -8]
    assert "q: 2 of 2 values" in message
    assert "-3.5 became the nearest that fits -2." in message
    # From the centre of [0, 1.75], −3 is further than 4, though it is smaller.
    unsigned = Format(bits=3, exponent=-2, signed=False)
    _, message = overflow(lambda: unsigned.to_integer("q", [4.0, -3.0]))
    assert "-3 became the nearest that fits 0." in message


def test_what_the_overflow_warning_says_of_a_wrapping_format() -> None:
    held = Format(bits=3, exponent=0, saturating=False)  # -8 … 7
    integer, message = overflow(lambda: held.to_integer("a sum", 9.0))
    assert integer == -7
    assert message == (
        "a sum: 1 of 1 values do not fit 4 bits, signed, in steps of 2^0 ([-8, 7]); "
        "9 became wrapped around; the nearest is 7."
    )


def test_the_furthest_is_the_one_furthest_from_the_middle_of_the_range() -> None:
    held = Format(bits=3, exponent=-2)  # [-2, 1.75], so that 3 is further out than -3
    _, message = overflow(lambda: held.to_integer("q", [-3.0, 3.0]))
    assert "2 of 2 values" in message
    assert "3 became the nearest that fits 1.75" in message


def test_a_warning_points_at_where_a_conversion_was_asked_for() -> None:
    """The conversions of a network are asked for by name, one call above `to_integer`."""

    def weights(values: list[float]) -> Any:
        return Format(bits=3).to_integer("weights", values)

    with pytest.warns(FixedPointOverflow) as caught:
        weights([100.0])
    assert caught[0].filename == __file__
    assert caught[0].lineno > weights.__code__.co_firstlineno + 1


def test_numbers_of_half_precision_are_scaled_in_full_precision() -> None:
    held = Format(bits=24, exponent=-20)
    assert quietly(lambda: held.to_integer("q", np.float16([1.0, 0.5]))).tolist() == [2**20, 2**19]


@pytest.mark.parametrize(
    ("value", "below", "above"),
    [(0.123456, 0.1234, 0.1235), (1.2344e9, 1.234e9, 1.235e9), (1.0, 1.0, 1.0), (5.0, 5.0, 5.0)],
)
def test_numbers_in_messages_are_rounded_to_the_side_that_fits(
    value: float, below: float, above: float
) -> None:
    assert fp.rounded(value, up=False) == below
    assert fp.rounded(value, up=True) == above


@pytest.mark.parametrize(
    ("largest_size", "exponent"),
    [
        (0.0, 0),
        (0.1, 0),
        (255.0, 0),
        (255.4, 0),
        (255.5, 1),
        (510.9, 1),
        (511.0, 2),
        (1e4, 6),
        (1e9, 7),
    ],
)
def test_a_shared_exponent_is_the_smallest_with_which_all_fit(
    largest_size: float, exponent: int
) -> None:
    """What rounds to 255 · 2^e fits e, and 255.5 rounds to 256; 7 is the largest there is."""
    sizes = np.array([0.0, largest_size / 3, largest_size])
    assert fp.shared_exponent(sizes, fp.SYNAPSE, 7) == exponent
    assert fp.shared_exponent(np.array([]), fp.SYNAPSE, 7) == 0
    if largest_size < 255.5 * 2**7:
        held = replace(fp.SYNAPSE, exponent=exponent)
        quietly(lambda: held.to_integer("sizes", sizes))


def test_what_rounds_into_the_range_fits() -> None:
    """Halves go to the even integer: −8.5 to −8, which fits, and 7.5 to 8, which does not."""
    held = Format(bits=3)
    assert quietly(lambda: held.to_integer("q", 7.4999)) == 7
    assert quietly(lambda: held.to_integer("q", -8.5)) == -8
    assert overflow(lambda: held.to_integer("q", 7.5))[0] == 7


@given(formats, st.lists(st.floats(-1.5, 1.5), min_size=1, max_size=6))
@settings(deadline=None, max_examples=200)
def test_a_warning_counts_what_does_not_fit(held: Format, relative: list[float]) -> None:
    values = np.array(relative) * max(held.largest, -held.smallest)
    # In exact arithmetic, a half goes to the even integer.
    rounded = [round(Fraction(value) / Fraction(2) ** held.exponent) for value in values.tolist()]
    n_lost = sum(not held.min_integer <= one <= held.max_integer for one in rounded)
    if n_lost == 0:
        assert quietly(lambda: held.to_integer("q", values)).tolist() == rounded
    else:
        _, message = overflow(lambda: held.to_integer("q", values))
        assert f"q: {n_lost} of {len(values)} values do not fit {held};" in message


# --- multipliers ---------------------------------------------------------------------------------


@given(st.floats(-40.0, 15.99))
@settings(deadline=None, max_examples=300)
def test_multipliers_are_right_to_sixteen_bits(octaves: float) -> None:
    factor = 2.0**octaves
    found = Multiplier.nearest(factor)
    assert 2**15 <= found.mantissa <= 2**16
    assert found.shift >= 0  # of a right shift
    exact = Fraction(found.mantissa) / Fraction(2) ** found.shift
    assert Fraction(found.value) == exact
    # Half a unit of a mantissa of at least 2^15.
    assert abs(exact - Fraction(factor)) <= Fraction(factor) / 2**16


def test_multipliers_by_hand() -> None:
    assert Multiplier.nearest(1.0) == Multiplier(mantissa=32768, shift=15)
    assert Multiplier.nearest(0.75) == Multiplier(mantissa=49152, shift=16)
    assert Multiplier.nearest(40000.0) == Multiplier(mantissa=40000, shift=0)
    assert Multiplier(mantissa=49152, shift=16).value == 0.75


# --- powers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("table_bits", range(13))
def test_powers_of_two_within_their_bound(table_bits: int) -> None:
    table = fp.exp2_table(table_bits)
    assert table.shape == (2**table_bits,)
    assert (table >= 2**15).all()
    assert (table < 2**16).all()
    bound = fp.exp2_error_bound(table_bits)
    x = np.arange(-5 * 4096, 4 * 4096)  # nine octaves, all 4096 fractions of each
    mantissas, exponents = fp.power_of_two(x, 12, table)
    np.testing.assert_array_equal(exponents, np.floor(x / 4096))
    error = np.abs(np.ldexp(mantissas.astype(float), exponents - 15) / np.exp2(x / 4096) - 1.0)
    assert error.max() <= bound + ROUND_OFF
    assert error.max() > 0.5 * bound


def test_the_bound_of_powers_by_hand() -> None:
    """2^(1/128) − 1 = 0.005430 and 2^−16 = 0.0000153; one entry is off by up to √2 − 1."""
    assert fp.exp2_error_bound(6) == pytest.approx(0.005445, abs=1e-6)
    assert fp.exp2_error_bound(0) == pytest.approx(0.414229, abs=1e-6)


@pytest.mark.parametrize("fraction_bits", [12, 18])
def test_powers_of_any_fraction(fraction_bits: int) -> None:
    x = np.random.default_rng(0).integers(-(2**23), 2**23, 20_000) >> (18 - fraction_bits)
    table = fp.exp2_table(6)
    mantissas, exponents = fp.power_of_two(x, fraction_bits, table)
    # Compared in octaves, since 2^x may leave the range of floats: log2(1 + bound) at most.
    octaves = np.log2(mantissas / 2.0**15) + exponents - np.ldexp(x.astype(float), -fraction_bits)
    bound = -math.log2(1.0 - fp.exp2_error_bound(6))
    assert np.abs(octaves).max() <= bound + ROUND_OFF


@pytest.mark.parametrize("table_bits", [0, 1, 6, 12])
def test_probability_thresholds(table_bits: int) -> None:
    table = fp.exp2_table(table_bits)
    logs = np.concatenate([np.arange(-25 * 4096, 2 * 4096), [-(2**23), -(2**22), 2**23 - 1]])
    thresholds = fp.probability_thresholds(logs, table)
    exact = 65536.0 * np.exp2(np.clip(logs / 4096, -1000.0, 0.0))
    # The table's relative error, and half a unit from rounding; exact is not rounded.
    error = np.abs(thresholds - exact)
    allowed = np.where(logs < 0, exact * fp.exp2_error_bound(table_bits) + 0.5, 0.0)
    assert (error <= allowed + ROUND_OFF * 65536).all()
    assert (np.diff(thresholds[:-3]) >= 0).all()
    assert (thresholds[logs >= 0] == 65536).all()
    assert (thresholds[logs < 0] < 65536).all()
    assert thresholds[-3:].tolist() == [0, 0, 65536]
    # Less than half a unit of 2^−16 is none, whatever the table: 2^−19 √2 < 2^−17.
    assert (thresholds[logs < -18 * 4096] == 0).all()
    assert (thresholds[logs >= -16 * 4096] > 0).all()


def test_probability_thresholds_by_hand() -> None:
    """One entry 2^0.5: 65536 · 2^−0.5 = 46341, halved with each octave, halves up."""
    logs = np.array([-1, -4096, -4097, -8192, -3 * 4096, -17 * 4096, -18 * 4096, -19 * 4096])
    thresholds = fp.probability_thresholds(logs, fp.exp2_table(0))
    # 46341 / 2^16 = 0.707 for L = -17, /2^17 = 0.354 for L = -18.
    assert thresholds.tolist() == [46341, 46341, 23171, 23171, 11585, 1, 0, 0]


@pytest.mark.parametrize("table_bits", [0, 1, 6, 12])
def test_inverse_priors(table_bits: int) -> None:
    table = fp.exp2_table(table_bits)
    random = np.random.default_rng(1).integers(-(2**23), 1, 20_000)
    priors = np.sort(np.concatenate([random, [-(2**23), -(2**22) - 1, -1, 0]]))
    inverse = fp.inverse_priors(priors, table)
    exact = np.exp2(8.0 - np.ldexp(priors.astype(float), -18))
    # The table's error, and half a unit where the mantissa is shifted right.
    allowed = exact * fp.exp2_error_bound(table_bits) + 0.5
    capped = inverse == 2**24 - 1
    assert (np.abs(inverse - exact)[~capped] <= allowed[~capped] + ROUND_OFF * 2**24).all()
    # A capped one may be the table's own 2^24, no less.
    assert (exact[capped] + allowed[capped] >= 2**24).all()
    assert capped[priors <= -16 * 2**18].all()  # 2^−16 and less
    assert inverse.max() == 2**24 - 1
    assert (np.diff(inverse) <= 0).all()


def test_inverse_priors_by_hand() -> None:
    """With one entry 2^0.5, 1/π = 2^(⌊−B⌋ + 0.5): 362.04 of 2^−8, doubling with each octave."""
    octave = 2**18
    priors = -octave * np.array([0, 1, 7, 8, 15, 16, 31])
    inverse = fp.inverse_priors(priors, fp.exp2_table(0))
    # The mantissa is 46341: (46341 + 64) >> 7, >> 6, >> 0, << 1, << 8, and the cap.
    assert inverse.tolist() == [362, 724, 46341, 92682, 11863296, 16777215, 16777215]


# --- logarithms ----------------------------------------------------------------------------------

LARGE = [2**20 - 1, 2**20, 2**20 + 1, 123_456_789, 2**31 - 1, 2**32 - 1, 10**15, 2**53 + 1, 2**62]
STEP = 2.0**-12  # octaves


@pytest.mark.parametrize("table_bits", [0, 1, 3, 6, 10, 12])
def test_logarithms_of_integers(table_bits: int) -> None:
    table = fp.log2_table(table_bits)
    numbers = [*range(1, 5001), *LARGE]
    found = np.array([fp.log2_integer(number, table) for number in numbers])
    error = found * STEP - np.array([math.log2(number) for number in numbers])
    bound = fp.log2_error_bound(table_bits)
    # Dropped bits make it too low; the entry itself is rounded to half a step.
    assert error.max() <= STEP / 2 + ROUND_OFF
    assert error.min() >= -bound - STEP / 2 - ROUND_OFF
    exact = np.array(numbers) < 2 ** (table_bits + 1)
    assert np.abs(error[exact]).max() <= STEP / 2 + ROUND_OFF
    if table_bits < 10:  # above, 5000 numbers do not come near the worst
        assert error.min() < -0.5 * bound
    assert (np.diff(found) >= 0).all()


def test_tables_are_integers() -> None:
    assert fp.log2_table(5).dtype == fp.exp2_table(5).dtype == np.int64


def test_logarithms_by_hand() -> None:
    """log2(3) · 4096 = 6492.02; without a table only the octave is known."""
    assert fp.log2_integer(3, fp.log2_table(6)) == 6492
    assert [fp.log2_integer(n, fp.log2_table(0)) for n in (1, 2, 3, 4, 7)] == [
        0,
        4096,
        4096,
        8192,
        8192,
    ]
    assert fp.log2_error_bound(0) == 1.0
    assert fp.log2_error_bound(6) == pytest.approx(0.0223678, abs=1e-7)


@given(
    st.lists(
        st.tuples(st.integers(2**15, 2**16 - 1), st.integers(-60, 20)), min_size=1, max_size=40
    ),
    st.integers(0, 12),
)
@settings(deadline=None, max_examples=300)
def test_logarithm_of_a_sum(messages: list[tuple[int, int]], table_bits: int) -> None:
    mantissas, exponents = np.array(messages, np.int64).T
    found = fp.log2_sum(mantissas, exponents, fp.log2_table(table_bits)) * STEP
    exact = math.log2(sum(Fraction(m) * Fraction(2) ** (e - 15) for m, e in messages))
    # Each term but those of the largest exponent loses less than a unit in its shift, and what is
    # left is at least 2^15 units; then come the errors of the logarithm of an integer.
    shifted = int((exponents < exponents.max()).sum())
    lost = math.log2(1.0 + shifted / 2**15)
    assert found - exact <= STEP / 2 + ROUND_OFF
    assert found - exact >= -fp.log2_error_bound(table_bits) - STEP / 2 - lost - ROUND_OFF


def test_logarithms_of_sums_by_hand() -> None:
    """1 + 1 = 2, and 2 + 1 = 3; a term 2^−40 of the largest is nothing."""
    table = fp.log2_table(6)
    one = np.array([2**15, 2**15])
    assert fp.log2_sum(one, np.array([0, 0]), table) == 4096
    assert fp.log2_sum(one, np.array([1, 0]), table) == 6492
    assert fp.log2_sum(one, np.array([-3, -4]), table) == 6492 - 4 * 4096
    assert fp.log2_sum(one, np.array([0, -40]), table) == 0
    assert fp.log2_sum(one[:1], np.array([-7]), table) == -7 * 4096


# --- shifts and random bits ----------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(-(2**40), 2**40), st.integers(0, 20)), min_size=1))
@settings(deadline=None, max_examples=200)
def test_right_shifts_round_halves_up(pairs: list[tuple[int, int]]) -> None:
    values, shifts = np.array(pairs, np.int64).T
    found = fp.shift_right_rounded(values, shifts)
    expected = [math.floor(Fraction(v, 2**s) + Fraction(1, 2)) if s else v for v, s in pairs]
    assert found.tolist() == expected
    assert [fp.shift_right_rounded(v, s) for v, s in pairs] == expected  # Python's integers


def test_right_shifts_by_hand() -> None:
    values = np.array([5, 6, 7, -5, -6, -7, 9])
    assert fp.shift_right_rounded(values, 2).tolist() == [1, 2, 2, -1, -1, -2, 2]
    assert fp.shift_right_rounded(values, 0).tolist() == values.tolist()


def test_random_words_are_cut_from_below() -> None:
    words = np.array([0x04030201, 0xF8F7F6F5], np.uint32)
    halves = fp.random_halves(words)
    assert halves.dtype == np.uint16
    assert halves.tolist() == [0x0201, 0x0403, 0xF6F5, 0xF8F7]
    octets = fp.random_bytes(words)
    assert octets.dtype == np.uint8
    assert octets.tolist() == [1, 2, 3, 4, 0xF5, 0xF6, 0xF7, 0xF8]


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=9))
@settings(deadline=None, max_examples=50)
def test_random_words_lose_nothing(numbers: list[int]) -> None:
    words = np.array(numbers, np.uint32)
    before = words.copy()
    for cut, bits in ((fp.random_halves, 16), (fp.random_bytes, 8)):
        parts = cut(words)
        assert parts.size == words.size * 32 // bits
        mask = 2**bits - 1
        expected = [number >> low & mask for number in numbers for low in range(0, 32, bits)]
        assert parts.tolist() == expected
    np.testing.assert_array_equal(words, before)
