"""What numba does not offer: vector comparisons, an exponential, a barrier for compiled threads."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from softhebb_spiking._cache import cached_njit

_LOG2_E = np.float32(1.0 / math.log(2.0))
_HALF = np.float32(0.5)
_SMALLEST_EXPONENT = np.float32(-120.0)  # far from denormal numbers, which are slow
# 2^(f − ½) as a polynomial in f: |f| ≤ ½ leaves (ln 2 / 2)⁷/7! = 1.2e-7 of the value.
_C0, _C1, _C2, _C3, _C4, _C5, _C6 = (
    np.float32(2.0**-0.5 * math.log(2.0) ** n / math.factorial(n)) for n in range(7)
)

_intrinsic: Any = intrinsic

# Small arrays of two threads must not share a cache line.
_PADDING = 64

LANES = 32  # bytes that are compared at once

# Kernels get their arrays in tuples. Without this, each look into a tuple counts a reference in an
# atomic operation, which in a step of a microsecond is half of the time. Nothing is allocated.
kernel: Any = partial(cached_njit, _nrt=False)
# For what every step calls: passing the tuples takes as long as the work.
inlined_kernel: Any = partial(kernel, forceinline=True)

# A barrier is waited for some tens of seconds; then the other thread is taken to be lost.
_SPINS_BEFORE_GIVING_UP = 2**34


def padded(n: int, dtype: Any) -> Any:
    """Return an array of zeros that shares no cache line with another."""
    return np.zeros(n + 2 * _PADDING, dtype)[_PADDING : _PADDING + n]


@_intrinsic
def _float32_of_bits(typingctx: Any, bits: Any) -> Any:
    """Return the float32 that has the bits of an int32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), codegen


@_intrinsic
def _atomic_add(typingctx: Any, array: Any, value: Any) -> Any:
    """Add to the first entry of an int64 array, seen by all threads; return what it was."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", data, args[1], "seq_cst")

    return types.int64(array, types.int64), codegen


@_intrinsic
def _atomic_load(typingctx: Any, array: Any) -> Any:
    """Return the first entry of an int64 array as the other threads left it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load_atomic(data, "acquire", 8)

    return types.int64(array), codegen


def exp_nonpositive(x: Any) -> Any:
    """Return exp(x) for x ≤ 0, in the precision of x.

    In single precision it is a polynomial without branches, which compilers turn into vector
    instructions; its relative error is below 4e-7 for x > −1 and grows as |x| times the rounding
    of x; below exp(−83) it returns about 1e-36. In double precision it is `math.exp`.

    Parameters
    ----------
    x : float32 or float64
        At most 0.

    Returns
    -------
    float32 or float64
        exp(x).
    """
    raise NotImplementedError("for compiled code only")


@overload(exp_nonpositive, inline="always")
def _exp_nonpositive(x: Any) -> Any:
    if x == types.float32:

        def single(x: Any) -> Any:
            octaves = max(x * _LOG2_E, _SMALLEST_EXPONENT)
            whole = np.int32(octaves)  # towards zero, so that the rest lies in (−1, 0]
            f = octaves - np.float32(whole) + _HALF
            mantissa = _C0 + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * _C6)))))
            return mantissa * _float32_of_bits(np.int32((whole + np.int32(127)) << 23))

        return single

    def double(x: Any) -> Any:
        return math.exp(x)

    return double


def _compare_bytes(predicate: str) -> Any:
    lanes = ir.VectorType(ir.IntType(8), LANES)

    def compare(typingctx: Any, values: Any, bounds: Any, start: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            loaded = []
            for kind, value in zip(signature.args[:2], args[:2], strict=True):
                data = context.make_array(kind)(context, builder, value).data
                where = builder.bitcast(builder.gep(data, [args[2]]), lanes.as_pointer())
                loaded.append(builder.load(where, align=1))
            return builder.bitcast(builder.icmp_unsigned(predicate, *loaded), ir.IntType(LANES))

        byte_array = types.Array(types.uint8, 1, "C")
        return types.uint32(byte_array, byte_array, types.int64), codegen

    return _intrinsic(compare)


# (values, bounds, start): compare `LANES` bytes of two uint8 arrays, which must reach that far.
# Bit p tells how values[start + p] compares with bounds[start + p].
bits_below = _compare_bytes("<")
bits_equal = _compare_bytes("==")


@_intrinsic
def bits_at_least(typingctx: Any, values: Any, bound: Any, start: Any) -> Any:
    """Compare `LANES` numbers of an int32 array, which must reach that far, with an int32.

    Bit p tells whether values[start + p] ≥ bound.
    """
    number, lanes = ir.IntType(32), ir.VectorType(ir.IntType(32), LANES)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        where = builder.bitcast(builder.gep(data, [args[2]]), lanes.as_pointer())
        loaded = builder.load(where, align=4)
        first = builder.insert_element(ir.Constant(lanes, ir.Undefined), args[1], number(0))
        zeros = ir.Constant(lanes, [0] * LANES)
        bounds = builder.shuffle_vector(first, ir.Constant(lanes, ir.Undefined), zeros)
        return builder.bitcast(builder.icmp_signed(">=", loaded, bounds), ir.IntType(LANES))

    int_array = types.Array(types.int32, 1, "C")
    return types.uint32(int_array, types.int32, types.int64), codegen


@_intrinsic
def shift_right(typingctx: Any, number: Any, bits: Any) -> Any:
    """Return an int32 shifted right by fewer than 32 bits, where numba would widen both."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ashr(args[0], args[1])

    return types.int32(types.int32, types.int32), codegen


@_intrinsic
def lowest_bit(typingctx: Any, bits: Any) -> Any:
    """Return the position of the lowest bit of a uint32; anything below 64 if there is none."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        position = builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))
        return builder.zext(position, ir.IntType(64))

    return types.int64(types.uint32), codegen


@_intrinsic
def count_bits(typingctx: Any, bits: Any) -> Any:
    """Return how many bits of a uint32 are set."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.zext(builder.ctpop(args[0]), ir.IntType(64))

    return types.int64(types.uint32), codegen


@kernel()
def wait_for_all(arrivals: Any, n_threads: int, passed: Any) -> bool:
    """Wait until all threads have come to a barrier; memory is in order afterwards.

    Parameters
    ----------
    arrivals : ndarray of shape (1,), int64
        How often any thread came to a barrier so far; shared, starts at 0.
    n_threads : int
        How many come; one alone does not wait.
    passed : ndarray of shape (1,), int64
        How many barriers this thread has passed; counted here.

    Returns
    -------
    bool
        False if the others did not come for tens of seconds; then all should give up.
    """
    if n_threads == 1:
        return True
    passed[0] += 1
    expected = n_threads * passed[0]
    _atomic_add(arrivals, 1)
    spins = 0
    while _atomic_load(arrivals) < expected:
        spins += 1
        if spins > _SPINS_BEFORE_GIVING_UP:
            return False
    return True
