"""Memory that a layer takes, compared with what there is, before it is taken."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int | None:
    """Return the memory that can be had without swapping, None where Linux does not say.

    In a container, that is what its limit leaves, if this is less.
    """
    found = []
    with suppress(OSError, StopIteration, ValueError):
        lines = _MEMINFO.read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        found.append(1024 * int(line.split()[1]))
    with suppress(OSError, ValueError):  # "max" is no number: there is no limit
        limit, used = ((_CGROUP / f"memory.{name}").read_text() for name in ("max", "current"))
        found.append(int(limit) - int(used))
    return min(found, default=None)


def bytes_of_learning(n_units: int, n_features: int, n_samples: int) -> int:
    """Return what learning takes at its peak, samples aside.

    Learning holds the old weights, the new ones, and what lies between: 20 to 24 bytes for each
    weight on all rungs but Lava and Brian2. Where several units start from one sample, four
    arrays of float64 are held before.
    """
    return n_units * n_features * (32 if n_samples < n_units else 24)


def check_memory(n_units: int, n_features: int, n_samples: int) -> None:
    """Raise `MemoryError` unless there is memory for learning from some samples in a layer."""
    needed, there = bytes_of_learning(n_units, n_features, n_samples), available_bytes()
    if there is not None and needed > there:
        raise MemoryError(
            f"{n_units} units of {n_features} features need {needed / 1e9:.2f} GB while they "
            f"learn, but {max(there, 0) / 1e9:.2f} GB are available. Take fewer units or features."
        )
