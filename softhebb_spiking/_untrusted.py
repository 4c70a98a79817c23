"""Files of others: what they claim is checked before memory is taken, and nothing is executed.

A compressed or a sparse file can claim far more than it holds. No reader takes more memory for one
than `most_bytes` says, some copies aside. `docs/trust.md` says what that protects from.
"""

from __future__ import annotations

import io
import json
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

ROOM_BYTES = 1 << 26
EXPANSION = 100
_DISK_BLOCK = 512  # unit of st_blocks, whatever the file system
_MAX_MEMBERS = 100
_PLAIN_KINDS = "biufUS"


def most_bytes(path: str | Path) -> int:
    """Return how many bytes a file may unpack to: a hundred times what it takes on the disk.

    Files up to 64 MB unpacked are never too large. Holes of a sparse file do not count.
    """
    found = os.stat(path)
    return ROOM_BYTES + EXPANSION * min(found.st_size, _DISK_BLOCK * found.st_blocks)


def check_regular(path: str | Path) -> None:
    """Raise `OSError` if there is something that is no file: a pipe blocks, a device never ends."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError(f"{path} is not a regular file; copy its content into one.")


def parse_json(text: str | bytes) -> Any:
    """Return the content of JSON, which has neither NaN nor infinity.

    Raises
    ------
    ValueError
        If it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def read_json(path: str | Path) -> Any:
    """Return the content of a file of JSON; see `parse_json`."""
    check_regular(path)
    if os.path.getsize(path) > most_bytes(path):
        raise ValueError(f"{path} is sparse, almost all of it holes")
    return parse_json(Path(path).read_bytes())


def read_tensors(path: str | Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Return header and arrays of a safetensors file.

    Raises
    ------
    ValueError
        If it is none, or sparse beyond measure.
    """
    check_regular(path)
    if os.path.getsize(path) > most_bytes(path):
        raise ValueError(f"{path} is not a safetensors file: it is sparse, almost all of it holes.")
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error


def read_npz(path: str | Path, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Return arrays of plain numbers and text from an .npz file, without pickle.

    Parameters
    ----------
    path : str or Path
        The file.
    names : collection of str, optional
        Arrays to read, if they are there; all if not given.

    Raises
    ------
    ValueError
        If it is no such file, damaged, or claims more than `most_bytes`.
    """
    check_regular(path)
    with open(path, "rb") as file:  # here, so that only reading it is translated below
        try:
            with zipfile.ZipFile(file) as archive:
                members = _members(archive, most_bytes(path))
                wanted = members if names is None else members.keys() & set(names)
                return {name: _member(archive, members[name]) for name in wanted}
        # Of zip, deflate, or the evaluation of a header as a literal.
        except (
            *(ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError),
            *(EOFError, SyntaxError, TypeError, ValueError),
            *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
        ) as error:
            reason = str(error) or type(error).__name__
    raise ValueError(f"{path} is no .npz file of plain arrays, or a damaged one: {reason}")


def _members(archive: zipfile.ZipFile, limit: int) -> dict[str, zipfile.ZipInfo]:
    members = archive.infolist()
    claimed = sum(info.file_size for info in members)
    if claimed > limit:
        raise ValueError(f"it claims {claimed} bytes, more than it can hold")
    by_name = {info.filename.removesuffix(".npy"): info for info in members}
    if len(members) > _MAX_MEMBERS or len(by_name) < len(members):
        raise ValueError(f"it has {len(members)} members, too many or of the same name")
    # Of others, zipfile unpacks a part in one piece, whatever its size.
    if any(
        info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in members
    ):
        raise ValueError("it is compressed in a way that numpy does not write")
    return by_name


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    """Return an array; what it says of its size must fit what the archive holds."""
    with archive.open(info) as member:
        # With a number of bytes: without, a bomb is unpacked first and cut to its claim then.
        content = io.BytesIO(member.read(info.file_size + 1))
    numpy_format: Any = np.lib.format
    if numpy_format.read_magic(content) != (1, 0):
        raise ValueError(f"{info.filename} has a header that savez does not write")
    shape, _, dtype = numpy_format.read_array_header_1_0(content)
    rest = len(content.getbuffer()) - content.tell()
    if dtype.kind not in _PLAIN_KINDS or math.prod(shape) * dtype.itemsize != rest:
        raise ValueError(f"{info.filename} is no array of plain numbers of the size that it states")
    content.seek(0)
    array: NDArray[Any] = numpy_format.read_array(content, allow_pickle=False)
    return array
