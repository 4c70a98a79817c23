"""Threads that run compiled code side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


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
