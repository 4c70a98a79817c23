"""BLAS on one thread, because it adds up large products in an order of its threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController

# The number of threads is one for the whole process. A thread that gave it back while another
# one computes would change the bits of that one.
_LOCK = threading.RLock()
# A fork must not copy the lock while another thread has it.
os.register_at_fork(
    before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release
)


@cache
def _controller() -> ThreadpoolController:
    """Return what knows the libraries that are loaded; to find them takes milliseconds."""
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread, so that results do not depend on how many there are.

    Threads that ask for it take turns. What another thread has limited itself stays its own.
    """
    with _LOCK, _controller().limit(limits=1, user_api="blas"):
        yield
