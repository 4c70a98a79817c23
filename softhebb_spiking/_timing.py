"""Timing of repeated work, for all benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

N_RUNS = 5


def seconds(work: Callable[[], object]) -> float:
    """Return how long some work takes, in seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def median_seconds(work: Callable[[], object]) -> float:
    """Return the median of `N_RUNS` runs, in seconds."""
    return float(np.median([seconds(work) for _ in range(N_RUNS)]))
