"""Files as named parts that can be changed one by one, and wrapped again with right checksums."""

from __future__ import annotations

import copy
import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

Parts = dict[str, bytes]
# What readers are easily surprised by.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 64, 255, 256, 65536, 2**31, 2**32, 2**63, 2**64, 10**12),
    *(-(2**63), 10**400, 0.0, -0.0, 0.5, 1e-320, 1e308, -1e308, 1e999, float("nan")),
    *(
        "",
        "x",
        "../../x",
        "/etc/passwd",
        "a\nb",
        "|",
        "<!-- end of results -->",
        "é\u2028",
        "9" * 50,
    ),
    *([], {}, [[]], [0], ["a", "b"], {"a": 1}, [1, -1], [10**6] * 3),
)
TEXTS = (
    b"9**9**9**9",
    b"__import__('os')",
    b"[[[[[[",
    b"{" * 500,
    b"1e999",
    b"\x80\x04.",
    b"\n",
    b'"',
)


def pack(parts: Parts) -> bytes:
    """Return parts as bytes that a fuzzer can keep."""
    return b"".join(
        struct.pack("<HI", len(name.encode()), len(data)) + name.encode() + data
        for name, data in parts.items()
    )


def unpack(data: bytes) -> Parts:
    """Return the parts of `pack`; raise ValueError for anything else."""
    parts, place = {}, 0
    while place < len(data):
        try:
            n_name, n_data = struct.unpack_from("<HI", data, place)
            name = data[place + 6 : place + 6 + n_name].decode()
        except (struct.error, UnicodeDecodeError) as error:
            raise ValueError("no parts") from error
        place += 6 + n_name
        if place + n_data > len(data):
            raise ValueError("no parts")
        parts[name] = data[place : place + n_data]
        place += n_data
    return parts


def change_parts(
    parts: Parts, rng: Random, change_bytes: Callable[[bytes, Random], bytes]
) -> Parts:
    """Change one part: JSON by its values, anything else by its bytes."""
    parts = dict(parts)
    name = rng.choice(list(parts))
    chance = rng.random()
    if "json:changes" in parts:
        return _more_changes(parts, rng)
    if chance < 0.03 and len(parts) > 1:
        del parts[name]
    elif chance < 0.06:
        parts[rng.choice(["x", "../../x", "json:x", "weights"])] = parts[name]
    elif name.startswith("json:") and chance < 0.9:
        parts[name] = change_json(parts[name], rng)
    else:
        parts[name] = change_bytes(parts[name], rng)
    return parts


def _more_changes(parts: Parts, rng: Random) -> Parts:
    """Add changes to an HDF5 file: of its objects, or of its bytes."""
    try:
        changes, flips = (json.loads(parts[name]) for name in ("json:changes", "json:flips"))
    except (KeyError, ValueError):
        changes, flips = [], []
    if rng.random() < 0.7:
        changes = [*changes, [rng.randrange(1000), rng.randrange(8), rng.choice(VALUES)]][-6:]
        flips = []
    else:
        changes = []
        flips = [[rng.randrange(10**6), rng.randrange(256)] for _ in range(rng.randrange(1, 20))]
    return {"json:changes": json.dumps(changes).encode(), "json:flips": json.dumps(flips).encode()}


def change_bytes(data: bytes, rng: Random) -> bytes:
    """Flip, cut, repeat or insert a few bytes."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place = rng.randrange(len(found) + 1)
        kind = rng.randrange(6)
        if kind < 2 and found:
            found[place % len(found)] ^= 1 << rng.randrange(8)
        elif kind == 2 and found:
            found[place % len(found)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 3:
            del found[place : place + rng.choice((1, 4, 100, len(found)))]
        elif kind == 4:
            found[place:place] = rng.choice(TEXTS)
        else:
            found[place : place + 8] = struct.pack("<q", rng.choice((0, -1, 2**62, 1 << 40, 8)))
    return bytes(found)


def change_json(text: bytes, rng: Random) -> bytes:
    """Change one value in a JSON text; in texts of JSON within it, too."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return change_bytes(text, rng)
    if rng.random() < 0.02:
        return b"[" * rng.choice((10, 1000, 100_000)) + text
    return json.dumps(_changed(value, rng)).encode()


def _changed(value: Any, rng: Random) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "[") and rng.random() < 0.9:
        return change_json(value.encode(), rng).decode(errors="replace")
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        value = copy.copy(value)
        key: Any = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        chance = rng.random()
        if chance < 0.08:
            del value[key]
        elif chance < 0.12 and isinstance(value, dict):
            value[rng.choice(("x", "../x", "weights", "backend_options"))] = rng.choice(VALUES)
        elif chance < 0.15 and isinstance(value, list):
            value *= rng.choice((2, 50))
        else:
            value[key] = _changed(value[key], rng)
        return value
    if isinstance(value, int | float) and rng.random() < 0.4:
        try:
            return value + rng.choice((-1, 1, 0.5, value))
        except (OverflowError, TypeError):
            return 0
    return copy.deepcopy(rng.choice(VALUES))


def as_safetensors(parts: Parts) -> bytes:
    header = parts.get("json:header", b"")
    return struct.pack("<Q", len(header)) + header + parts.get("data", b"")


def safetensors_parts(content: bytes) -> Parts:
    (size,) = struct.unpack_from("<Q", content)
    return {"json:header": content[8 : 8 + size].strip(), "data": content[8 + size :]}


def as_npz(parts: Parts) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            if name.startswith("json:"):
                npy = io.BytesIO()
                np.save(npy, np.array(data.decode(errors="replace").rstrip("\0")))
                name, data = name[5:], npy.getvalue()
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def npz_parts(content: bytes, texts: tuple[str, ...]) -> Parts:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}
    for name in texts:
        text = str(np.load(io.BytesIO(parts.pop(name))))
        parts[f"json:{name}"] = text.encode()
    return parts


def as_gzip(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def as_hdf5(parts: Parts, whole: bytes) -> bytes:
    """Return a valid file in which the operations of "json:changes" were done, then bytes."""
    import h5py

    try:
        changes = json.loads(parts.get("json:changes", b"[]"))
        flips = json.loads(parts.get("json:flips", b"[]"))
    except (ValueError, RecursionError):
        return whole
    file = io.BytesIO(whole)
    with h5py.File(file, "r+") as opened:
        names: list[str] = []
        opened.visit(names.append)
        for change in changes if isinstance(changes, list) else ():
            try:
                number, kind, value = change
                _change_hdf5(opened, names[number % len(names)], kind % 8, value)
            except Exception:  # what h5py does not do is no file
                continue
    content = bytearray(file.getvalue())
    for flip in flips if isinstance(flips, list) else ():
        if isinstance(flip, list) and len(flip) == 2 and all(isinstance(x, int) for x in flip):
            content[flip[0] % len(content)] = flip[1] % 256
    return bytes(content)


def _change_hdf5(file: Any, name: str, kind: int, value: Any) -> None:
    import h5py

    if kind == 0:
        del file[name]
    elif kind == 1:
        attributes = list(file[name].attrs)
        file[name].attrs[attributes[len(str(value)) % len(attributes)]] = value
    elif kind == 2:
        file[name][...] = value
    elif kind == 3:
        del file[name]
        file[name] = value
    elif kind == 4:
        del file[name]
        file[name] = rng_link(value)
    elif kind == 5:
        shape = tuple(value) if isinstance(value, list) else (int(value),)
        del file[name]
        file.create_dataset(name, shape, "f8", chunks=tuple(min(n, 10) for n in shape))
    elif kind == 6:
        parent = name.rpartition("/")[0] or "/"
        file[f"{name}/again"] = file[parent]
    elif isinstance(file[name], h5py.Dataset):
        data = np.asarray(file[name][()], dtype=np.float64) * float(value)
        file[name][...] = data.astype(file[name].dtype)


def rng_link(value: Any) -> Any:
    import h5py

    return h5py.ExternalLink("/etc/passwd", "/") if value else h5py.SoftLink("/")
