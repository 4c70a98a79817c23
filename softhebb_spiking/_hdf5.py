"""HDF5 files of others: read once in a process that may die, before a library trusts them.

A damaged file can make the HDF5 library itself crash, or loop for ever. So another process, whose
memory and time are bounded, looks at all of it first.
"""

from __future__ import annotations

import json
import math
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from softhebb_spiking._untrusted import EXPANSION, most_bytes

_MAX_DEPTH = 32
_PATHS_PER_OBJECT = 20
_VLEN_AT_ONCE, _FREE_TEXTS = 64, 10_000
_BYTES_AT_ONCE = 1 << 24
_CPU_S, _LONGEST_S = 2, 600.0
_BYTES_WALKED_PER_S, _BYTES_READ_PER_S = 5_000_000, 20_000_000
_BOOTSTRAP = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from softhebb_spiking._hdf5 import main; main(sys.argv[2], int(sys.argv[3]))"
)
_LIBRARIES_BYTES = 1 << 30  # address space of Python, numpy and HDF5
# Quantities evaluates units as arithmetic: "9**9**9**9" would never end.
_UNIT = re.compile(r"(1/)?[A-Za-zµΩ%]+(\*\*-?\d)?([*/][A-Za-zµΩ%]+(\*\*-?\d)?)*")


def check_hdf5(path: str | Path, limit: int | None = None) -> None:
    """Let another process look at all of an HDF5 file.

    Parameters
    ----------
    path : str or Path
        The file.
    limit : int, optional
        Bytes that its arrays may claim; `most_bytes` if not given.

    Raises
    ------
    ValueError
        If it is no HDF5 file, or damaged; if its arrays claim more; if it names other files; if
        its links are endless; if a unit is a computation; if reading it crashes or does not end.
    """
    most = most_bytes(path) if limit is None else limit
    # Isolated: else Python would look for modules beside the file, if one works in its folder.
    places = json.dumps([place for place in sys.path if place])
    arguments = [places, str(Path(path).absolute()), str(most)]
    command = [sys.executable, "-I", "-c", _BOOTSTRAP, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_LONGEST_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"reading it did not end in {_LONGEST_S:g} s") from error
    if done.returncode < 0:
        raise ValueError(
            f"the HDF5 library crashed on it, or did not end (signal {-done.returncode})"
        )
    if done.returncode > 0:
        raise ValueError(done.stderr.decode(errors="replace").strip().rpartition("\n")[2])


def look_through(path: str | Path, limit: int) -> None:
    """Read all of an HDF5 file, part by part; raise what is wrong with it."""
    import h5py

    left_bytes, n_paths = limit, 0
    data: dict[int, Any] = {}
    objects = set()
    with h5py.File(path, "r") as file:
        for item in _items(file):
            n_paths += 1
            address = h5py.h5o.get_info(item.id).addr
            objects.add(address)
            if n_paths > 1000 + _PATHS_PER_OBJECT * len(objects):
                raise ValueError("its links are knotted: a few objects have endless names")
            _check_attributes(item)
            if isinstance(item, h5py.Dataset):
                left_bytes -= _claimed_bytes(item, left_bytes)
                data[address] = item
            if left_bytes < 0:
                raise ValueError("its arrays claim more than it can hold")
        _allow_cpu(path, limit - left_bytes)
        for item in data.values():
            _read_in_parts(item)


def _allow_cpu(path: str | Path, n_bytes: int) -> None:
    """Let this process end itself if it takes far longer than such a file needs."""
    walk_s = os.path.getsize(path) // _BYTES_WALKED_PER_S
    seconds = _CPU_S + walk_s + n_bytes // _BYTES_READ_PER_S
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


def _read_in_parts(data: Any) -> None:
    """Read an array that is not text: its filters may fail, or never end."""
    if data.dtype.hasobject or data.ndim == 0:
        return
    rows = max(1, _BYTES_AT_ONCE * len(data) // max(1, int(data.nbytes)))
    for start in range(0, len(data), rows):
        _ = data[start : start + rows]


def _items(file: Any) -> Iterator[Any]:
    """Yield every object of an HDF5 file by each of its names, groups before what is in them."""
    import h5py

    groups = [(file, 0)]
    yield file
    while groups:
        group, depth = groups.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{name!r} in it is a link to another place or file")
            item = group[name]
            if isinstance(item, h5py.Group):
                if depth == _MAX_DEPTH:
                    raise ValueError("its groups are nested too deeply, or contain themselves")
                groups.append((item, depth + 1))
            yield item


def _check_attributes(item: Any) -> None:
    import h5py

    for name in item.attrs:
        one = item.attrs.get_id(name)
        # Each may be as long as the file: all elements can point to the same text.
        if one.dtype.hasobject and math.prod(one.shape or ()) > EXPANSION:
            raise ValueError(f"attribute {name!r} is a list of too many texts")
        if name == "unit":
            unit = item.attrs[name]
            unit = unit.decode() if isinstance(unit, bytes) else unit
            if not isinstance(unit, h5py.Empty) and unit and not _UNIT.fullmatch(str(unit)):
                raise ValueError(f"unit {str(unit)[:40]!r} is not the name of a unit")


def _claimed_bytes(data: Any, limit: int) -> int:
    """Return the bytes that an array becomes, or something above the limit."""
    import h5py

    if data.is_virtual or data.external:
        raise ValueError(f"{data.name!r} in it is kept in another file")
    claimed = int(data.nbytes)
    if not data.dtype.hasobject or claimed > limit or h5py.check_ref_dtype(data.dtype):
        return claimed
    row, room = math.prod(data.shape[1:]), data.file.id.get_filesize() // data.dtype.itemsize
    is_text = h5py.check_string_dtype(data.dtype) is not None
    if not is_text or row > _VLEN_AT_ONCE or data.size > _FREE_TEXTS + room:
        raise ValueError(f"{data.name!r} in it claims too many parts that differ in length")
    # Many elements can point to the same text, so that only reading tells what they take.
    if data.ndim == 0:
        return claimed + len(data[()])
    n_rows = _VLEN_AT_ONCE // max(row, 1)
    for start in range(0, len(data), n_rows):
        claimed += sum(map(len, data[start : start + n_rows].ravel()))
        if claimed > limit:
            break
    return claimed


def main(path: str, limit: int) -> None:
    """Look at a file in this process, which ends with status 1 and one line if it is refused."""
    most = _LIBRARIES_BYTES + limit
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        _allow_cpu(path, 0)
        look_through(path, limit)
    except Exception as error:  # whatever it is, the file is not to be read
        sys.exit(f"{type(error).__name__}: {error}".replace("\n", " "))
