"""Threads that run compiled code side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np


def run_threads(part: Callable[[int], Any], n_threads: int) -> list[Any]:
    """Call `part(thread)` for each thread, at the same time; return what the calls return.

    Parameters
    ----------
    part : callable
        Gives up the interpreter lock while it works.
    n_threads : int
        One alone is called here.
    """
    if n_threads == 1:
        return [part(0)]
    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(part, range(n_threads)))


def shares(begin: int, end: int, n_threads: int) -> list[tuple[int, int]]:
    """Cut the numbers begin … end − 1 into a range (first, one past the last) for each thread."""
    bounds = np.linspace(begin, end, n_threads + 1).astype(int).tolist()
    return list(pairwise(bounds))
