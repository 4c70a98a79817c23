"""Data sets: digits from scikit-learn, MNIST and Fashion-MNIST from IDX files or OpenML."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import fetch_openml, load_digits
from sklearn.model_selection import train_test_split

from softhebb_spiking._untrusted import most_bytes
from softhebb_spiking.validation import check_choice

DATASETS = ("digits", "mnist", "fashion-mnist")
ROOT_VARIABLE = "SOFTHEBB_DATA"
_OPENML_NAMES = {"mnist": "mnist_784", "fashion-mnist": "Fashion-MNIST"}
_N_IDX_TRAIN = 60_000
# Both sets come in files of the same names, so that one is easily read as the other.
_FIRST_LABELS = {
    "mnist": (5, 0, 4, 1, 9, 2, 1, 3, 1, 4),
    "fashion-mnist": (9, 0, 0, 3, 0, 2, 7, 2, 5, 5),
}
_IDX_UNSIGNED_BYTE = 8
_BYTES_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Samples and labels, split for training and testing.

    Attributes
    ----------
    name : str
        Name of the data set.
    X_train, X_test : ndarray of shape (n_samples, n_features)
        Pixels: bytes (uint8, 0 to 255) where images have eight bits, as MNIST's; in [0, 1] for
        the 17 grey levels of digits. Estimators take either: samples are scaled to unit norm.
    y_train, y_test : ndarray of shape (n_samples,)
        Labels.
    image_shape : tuple of int
        (height, width).
    """

    name: str
    X_train: NDArray[Any]
    y_train: NDArray[np.int64]
    X_test: NDArray[Any]
    y_test: NDArray[np.int64]
    image_shape: tuple[int, int]


def load_dataset(name: str, *, root: str | Path | None = None) -> Dataset:
    """Load a data set.

    Parameters
    ----------
    name : {"digits", "mnist", "fashion-mnist"}
        "digits" needs no files.
    root : str or Path, optional
        Folder with the four IDX files (plain or .gz), directly or in a subfolder of the data
        set's name. Without it, the folder in the environment variable SOFTHEBB_DATA; without
        that, OpenML.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If the name is not known, or a file is not an IDX file.
    FileNotFoundError
        If files are missing under `root`, or OpenML cannot be reached.
    """
    check_choice("name", name, DATASETS)
    if name == "digits":
        return _load_digits()
    folder = root if root is not None else os.environ.get(ROOT_VARIABLE)
    if folder is not None:
        return _load_idx(name, Path(folder))
    return _load_openml(name)


def _load_digits() -> Dataset:
    bunch = load_digits()
    X_train, X_test, y_train, y_test = train_test_split(
        bunch.data / 16.0, bunch.target, test_size=360, random_state=0, stratify=bunch.target
    )
    return Dataset(
        name="digits",
        X_train=X_train,
        y_train=y_train,
        X_test=X_test,
        y_test=y_test,
        image_shape=(8, 8),
    )


def _load_idx(name: str, root: Path) -> Dataset:
    arrays = [
        _read_idx(_find_idx_file(name, root, part, kind))
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    ]
    _check_not_the_other(name, root, arrays[1])
    try:
        return _image_dataset(name, *arrays)
    except ValueError as error:
        raise ValueError(f"{root}: {error}") from error


def _check_not_the_other(name: str, root: Path, labels: NDArray[np.uint8]) -> None:
    found = tuple(labels[: len(_FIRST_LABELS[name])].tolist())
    for other, first in _FIRST_LABELS.items():
        if other != name and found == first:
            raise ValueError(
                f"data set {name!r}: the files in {root} are those of {other}. Put the files of "
                f"{name} in {root / name}, or name another folder."
            )


def _find_idx_file(name: str, root: Path, part: str, kind: str) -> Path:
    stems = (f"{part}-{kind}-ubyte", f"{part}-{kind.replace('-idx', '.idx')}-ubyte")
    looked_at = [
        folder / (stem + suffix)
        for folder in (root / name, root)  # its own folder first: the files have the same names
        for stem in stems
        for suffix in ("", ".gz")
    ]
    for path in looked_at:
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"data set {name!r}: found no file {stems[0]}[.gz] in {root} or {root / name}. Put the "
        f"four IDX files there, or point root or the environment variable {ROOT_VARIABLE} to "
        "the folder that holds them, or leave both unset to download the data from OpenML."
    )


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array in an IDX file, read into place: files can be as large as memory."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            zeros, kind, n_dims = struct.unpack(">HBB", file.read(4))
            if (zeros, kind) != (0, _IDX_UNSIGNED_BYTE):
                raise ValueError(
                    f"its header says type {kind}, unsigned bytes are type {_IDX_UNSIGNED_BYTE}"
                )
            if not 1 <= n_dims <= 3:
                raise ValueError(f"its header says {n_dims} dimensions, images have 3")
            shape = struct.unpack(f">{n_dims}I", file.read(4 * n_dims))
            if 0 in shape or math.prod(shape) > most_bytes(path):
                raise ValueError(f"its header says shape {shape}, nothing or more than it can hold")
            data = np.empty(math.prod(shape), np.uint8)
            n_bytes = _fill(file, data)
    except (OSError, EOFError, ValueError, MemoryError, struct.error, zlib.error) as error:
        raise ValueError(
            f"{path} cannot be read as an IDX file: {error}. Fetch it again."
        ) from error
    if n_bytes != data.size:
        found = f"{n_bytes}" if n_bytes < data.size + _BYTES_AT_ONCE else f"at least {n_bytes}"
        raise ValueError(
            f"{path} is not a whole IDX file: its header says shape {shape}, it holds {found} "
            "bytes of data. Fetch it again."
        )
    return data.reshape(shape)


def _fill(file: Any, data: NDArray[np.uint8]) -> int:
    """Read the rest of a file into `data`; return its length, or some length that is too large."""
    view, n_bytes = memoryview(data.data), 0
    while n_read := file.readinto(view[n_bytes:]):
        n_bytes += n_read
    # Only a part of what is too much, which may have no end.
    return n_bytes + len(file.read(_BYTES_AT_ONCE))


def _load_openml(name: str) -> Dataset:
    try:
        bunch = fetch_openml(
            _OPENML_NAMES[name], version=1, as_frame=False, parser="liac-arff", n_retries=1
        )
    except Exception as error:  # whatever the network stack raises, the user needs the way out
        raise FileNotFoundError(
            f"data set {name!r}: no files given (root and the environment variable "
            f"{ROOT_VARIABLE} are unset) and OpenML could not be read ({error}). Put the four "
            f"IDX files in a folder and set {ROOT_VARIABLE} to it."
        ) from error
    images = bunch.data.astype(np.uint8).reshape(-1, 28, 28)
    labels = bunch.target.astype(np.int64)
    first, rest = slice(None, _N_IDX_TRAIN), slice(_N_IDX_TRAIN, None)
    return _image_dataset(name, images[first], labels[first], images[rest], labels[rest])


def _image_dataset(
    name: str,
    train_images: NDArray[np.uint8],
    train_labels: NDArray[np.uint8],
    test_images: NDArray[np.uint8],
    test_labels: NDArray[np.uint8],
) -> Dataset:
    if train_images.shape[1:] != test_images.shape[1:] or 0 in train_images.shape:
        raise ValueError(
            f"data set {name!r}: training images of shape {train_images.shape[1:]} do not go with "
            f"test images of shape {test_images.shape[1:]}, or are empty. Fetch the files again."
        )
    for images, labels in ((train_images, train_labels), (test_images, test_labels)):
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"data set {name!r}: {len(images)} images (array of shape {images.shape}) do not "
                f"go with {len(labels)} labels (shape {labels.shape}). Fetch the files again."
            )

    return Dataset(
        name=name,
        X_train=train_images.reshape(len(train_images), -1),
        y_train=train_labels.astype(np.int64),
        X_test=test_images.reshape(len(test_images), -1),
        y_test=test_labels.astype(np.int64),
        image_shape=(train_images.shape[1], train_images.shape[2]),
    )
