"""Digits offline, IDX files plain and packed, and messages that say where files were looked for."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from softhebb_spiking import data, load_dataset

FILES = {
    "train-images-idx3-ubyte": (5, 3, 2),
    "train-labels-idx1-ubyte": (5,),
    "t10k-images-idx3-ubyte": (4, 3, 2),
    "t10k-labels-idx1-ubyte": (4,),
}


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    """Return an IDX file: two zeros, type 8 (unsigned byte), dimensions, sizes, data."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape)
    return header + array.tobytes()


def content(name: str) -> NDArray[np.uint8]:
    shape = FILES[name]
    values = np.arange(np.prod(shape)) * 7 % 256
    return (values % 10 if len(shape) == 1 else values).astype(np.uint8).reshape(shape)


def write_files(folder: Path, *, packed: bool = False, dotted: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        target = name.replace("-idx", ".idx") if dotted else name
        if packed:
            (folder / f"{target}.gz").write_bytes(gzip.compress(idx_bytes(content(name))))
        else:
            (folder / target).write_bytes(idx_bytes(content(name)))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOFTHEBB_DATA", raising=False)

    def unreachable(*args: Any, **options: Any) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(data, "fetch_openml", unreachable)


def test_digits_are_split_once_and_for_all() -> None:
    digits = load_dataset("digits")
    assert (digits.X_train.shape, digits.X_test.shape) == ((1437, 64), (360, 64))
    assert (digits.y_train.shape, digits.y_test.shape) == ((1437,), (360,))
    assert digits.image_shape == (8, 8)
    assert (digits.X_train.min(), digits.X_train.max()) == (0.0, 1.0)
    every = np.vstack([digits.X_train, digits.X_test])
    original = load_digits().data / 16.0
    assert len(np.unique(every, axis=0)) == len(every) == len(original)  # so none is in both
    np.testing.assert_array_equal(np.unique(every, axis=0), np.unique(original, axis=0))
    shares = np.bincount(digits.y_test) / 360 - np.bincount(digits.y_train) / 1437
    assert np.abs(shares).max() < 1 / 360 + 1e-12  # stratified, up to one sample
    again = load_dataset("digits")
    np.testing.assert_array_equal(again.X_test, digits.X_test)


def test_digit_labels_belong_to_their_images() -> None:
    digits = load_dataset("digits")
    bunch = load_digits()
    labels = {row.tobytes(): label for row, label in zip(bunch.data, bunch.target, strict=True)}
    found = [labels[(16 * row).tobytes()] for row in digits.X_test]
    np.testing.assert_array_equal(found, digits.y_test)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("where", ["root", "subfolder", "environment"])
def test_idx_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool, dotted: bool, where: str
) -> None:
    folder = tmp_path / "fashion-mnist" if where == "subfolder" else tmp_path
    write_files(folder, packed=packed, dotted=dotted)
    root: Path | None = tmp_path
    if where == "environment":
        monkeypatch.setenv("SOFTHEBB_DATA", str(tmp_path))
        root = None
    found = load_dataset("fashion-mnist", root=root)
    assert (found.name, found.image_shape) == ("fashion-mnist", (3, 2))
    np.testing.assert_array_equal(found.X_train, content("train-images-idx3-ubyte").reshape(5, 6))
    np.testing.assert_array_equal(found.y_train, content("train-labels-idx1-ubyte"))
    assert found.X_test.shape == (4, 6)
    np.testing.assert_array_equal(found.y_test, content("t10k-labels-idx1-ubyte"))
    assert found.X_train.dtype == found.X_test.dtype == np.uint8
    assert found.y_train.dtype == np.int64


def test_root_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path / "mine")
    monkeypatch.setenv("SOFTHEBB_DATA", str(tmp_path / "elsewhere"))
    assert load_dataset("mnist", root=str(tmp_path / "mine")).X_train.shape == (5, 6)


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    write_files(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        load_dataset("mnist", root=tmp_path)
    for fragment in (
        "'mnist'",
        "t10k-labels-idx1-ubyte[.gz]",
        str(tmp_path),
        str(tmp_path / "mnist"),
        "SOFTHEBB_DATA",
        "OpenML",
    ):
        assert fragment in str(caught.value)


def test_without_files_and_network_the_message_says_what_to_do() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        load_dataset("mnist")
    for fragment in ("'mnist'", "SOFTHEBB_DATA", "OpenML", "no route to host", "four IDX files"):
        assert fragment in str(caught.value)


def test_openml_is_split_as_its_authors_did(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bunch:
        data = np.zeros((5, 784))
        target = np.array(list("31415"))

    def fetch(name: str, **options: Any) -> Bunch:
        assert name == "mnist_784"
        return Bunch()

    monkeypatch.setattr(data, "fetch_openml", fetch)
    monkeypatch.setattr(data, "_N_IDX_TRAIN", 3)
    found = load_dataset("mnist")
    assert found.y_train.tolist() == [3, 1, 4]
    assert found.y_test.tolist() == [1, 5]
    assert (found.X_train.shape, found.image_shape) == ((3, 784), (28, 28))


IMAGES = idx_bytes(content("train-images-idx3-ubyte"))


@pytest.mark.parametrize(
    ("broken", "fragment"),
    [
        (b"", "cannot be read as an IDX file"),
        (IMAGES[:3], "cannot be read as an IDX file"),
        (IMAGES[:9], "cannot be read as an IDX file"),
        (IMAGES[:-1], "holds 29 bytes"),
        (IMAGES + b"x", "holds 31 bytes"),
        (b"\x00\x00\x0d" + IMAGES[3:], "type 13"),
        (b"PK" + IMAGES[2:], "cannot be read as an IDX file"),
        (IMAGES[:4] + b"\xff" * 12, "cannot be read as an IDX file"),
    ],
    ids=["empty", "header", "shape", "one short", "one more", "float data", "foreign", "vast"],
)
def test_broken_idx_files(tmp_path: Path, broken: bytes, fragment: str) -> None:
    write_files(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(broken)
    with pytest.raises(ValueError, match="IDX file") as caught:
        load_dataset("mnist", root=tmp_path)
    assert fragment in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", ["not packed", "cut short", "damaged"])
def test_broken_packed_files(tmp_path: Path, kind: str) -> None:
    write_files(tmp_path, packed=True)
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    packed = path.read_bytes()
    damaged = bytearray(packed)
    damaged[10] ^= 0xFF
    path.write_bytes(
        {"not packed": b"plain bytes", "cut short": packed[:-6], "damaged": bytes(damaged)}[kind]
    )
    with pytest.raises(ValueError, match="cannot be read as an IDX file") as caught:
        load_dataset("mnist", root=tmp_path)
    assert str(path) in str(caught.value)


def test_images_and_labels_must_belong_together(tmp_path: Path) -> None:
    write_files(tmp_path)
    labels = content("t10k-labels-idx1-ubyte")
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    with pytest.raises(ValueError, match=r"5 images.*4 labels"):
        load_dataset("mnist", root=tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(labels))
    with pytest.raises(ValueError, match="images"):
        load_dataset("mnist", root=tmp_path)


def test_unknown_data_set() -> None:
    with pytest.raises(ValueError, match=r"name must be one of 'digits', 'mnist'.*; got 'cifar'"):
        load_dataset("cifar")


def test_one_data_set_is_not_read_as_the_other(tmp_path: Path) -> None:
    write_files(tmp_path)
    first = np.array([5, 0, 4, 1, 9, 2, 1, 3, 1, 4], np.uint8)  # of MNIST
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(first))
    images = np.ones((10, 3, 2), np.uint8)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(images))
    assert len(load_dataset("mnist", root=tmp_path).X_train) == 10
    with pytest.raises(ValueError, match="are those of mnist"):
        load_dataset("fashion-mnist", root=tmp_path)
    # A folder of its own comes first.
    write_files(tmp_path / "fashion-mnist")
    assert len(load_dataset("fashion-mnist", root=tmp_path).X_train) == 5
