"""Compiled functions whose machine code is kept on disk, where there is a place for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit


def cached_njit(**options: Any) -> Callable[[Any], Any]:
    """Return numba's `njit` with a cache that never stops anybody.

    Machine code is kept where numba keeps it: in `NUMBA_CACHE_DIR`, else beside the source, else
    in the user's folder for caches. If none of them can be written, or the disk is full, functions
    are compiled anew by each process. What is damaged, or of another version of numba, is thrown
    away and compiled anew. If numba keeps its cache in another way some day, its own is used.

    Parameters
    ----------
    **options
        Of `njit`, without `cache`.
    """

    def compiled(function: Any) -> Any:
        jitted = njit(**options)(function)
        try:
            jitted.enable_caching()
            jitted._cache = _ForgivingCache(jitted._cache)
        except (AttributeError, OSError, RuntimeError):
            pass  # no folder to write to; or not compiled at all, with NUMBA_DISABLE_JIT
        return jitted

    return compiled


class _ForgivingCache:
    """A cache of numba's that has nothing, instead of failing, and forgets what it cannot save."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, *given: Any) -> Any:
        """Return compiled code, or None; what cannot be read is thrown away."""
        try:
            return self._cache.load_overload(*given)
        except Exception:  # whatever reading garbage as a pickle raises
            self._discard()
            return None

    def save_overload(self, *given: Any) -> None:
        """Keep compiled code, if there is a place for it."""
        try:
            self._cache.save_overload(*given)
        except Exception:  # a full disk; or an index that is damaged and cannot be replaced
            self._discard()

    def _discard(self) -> None:
        """Forget what there is; an index must not name a file that could not be written."""
        try:
            self._cache.flush()
        except Exception:
            with contextlib.suppress(AttributeError, OSError):
                Path(self._cache._cache_file._index_path).unlink()
