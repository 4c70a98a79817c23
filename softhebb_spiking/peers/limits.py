"""What the machine allows: the least that a step can do is to sum the rows of inputs that fired."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from softhebb_spiking._cache import cached_njit
from softhebb_spiking._timing import median_seconds

N_ROWS = 20
N_INPUTS = 784
_N_TRIADS = 10_000_000


@cached_njit()
def sum_floats(rows, chosen, total):  # type: ignore[no-untyped-def]
    """Sum random rows of float32, four at a time."""
    for step in range(chosen.shape[0]):
        for j in range(0, chosen.shape[1], 4):
            a, b = rows[chosen[step, j]], rows[chosen[step, j + 1]]
            c, d = rows[chosen[step, j + 2]], rows[chosen[step, j + 3]]
            for k in range(total.size):
                total[k] += (a[k] + b[k]) + (c[k] + d[k])


@cached_njit()
def sum_bytes(rows, chosen, total):  # type: ignore[no-untyped-def]
    """Sum random rows of uint8 to uint16, four at a time."""
    for step in range(chosen.shape[0]):
        total[:] = 0
        for j in range(0, chosen.shape[1], 4):
            a, b = rows[chosen[step, j]], rows[chosen[step, j + 1]]
            c, d = rows[chosen[step, j + 2]], rows[chosen[step, j + 3]]
            for k in range(total.size):
                first = np.uint16(np.uint16(a[k]) + np.uint16(b[k]))
                total[k] += np.uint16(first + np.uint16(np.uint16(c[k]) + np.uint16(d[k])))


@cached_njit()
def triad(a, b, c):  # type: ignore[no-untyped-def]
    """Apply a = b + 3 c."""
    for i in range(a.size):
        a[i] = b[i] + 3.0 * c[i]


def gather_us(n_units: int, dtype: str, n_steps: int = 3000) -> float:
    """Return microseconds to sum 20 random rows of the 784 × K weights, the median of a few."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, N_INPUTS, (n_steps, N_ROWS))
    if dtype == "float32":
        rows, total = rng.random((N_INPUTS, n_units), np.float32), np.zeros(n_units, np.float32)
        work: Callable[..., None] = sum_floats
    else:
        rows = rng.integers(0, 256, (N_INPUTS, n_units)).astype(np.uint8)
        total, work = np.zeros(n_units, np.uint16), sum_bytes
    work(rows, chosen, total)  # compiles
    return 1e6 * median_seconds(lambda: work(rows, chosen, total)) / n_steps


def triad_gb_per_s() -> float:
    """Return the memory bandwidth of a = b + 3 c on arrays far beyond the caches."""
    a, b, c = (np.ones(_N_TRIADS) for _ in range(3))
    triad(a, b, c)  # compiles
    return 3 * 8 * _N_TRIADS / median_seconds(lambda: triad(a, b, c)) / 1e9


def limits(units: list[int]) -> dict[str, Any]:
    """Return the limits for some numbers of units."""
    return {
        "gather_float32_us": {str(n): gather_us(n, "float32") for n in units},
        "gather_int8_us": {str(n): gather_us(n, "int8") for n in units},
        "triad_gb_per_s": triad_gb_per_s(),
    }
