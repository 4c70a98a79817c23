"""Models on disk: safetensors with the parameters in the header, no pickle."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from softhebb_spiking._untrusted import parse_json, read_tensors
from softhebb_spiking.validation import MAX_KEY, check_integer

if TYPE_CHECKING:
    from softhebb_spiking.mixture import SoftHebbMixture

CLASSES = ("SoftHebb", "SpikingSoftHebb")
_FORMAT = "softhebb-spiking model 1"
MAX_COUNT = 2**62
_OPTIONS = {"event": ("precision", "n_threads"), "lava": ("timeout_s",), "brian2": ("target",)}


def save_model(model: SoftHebbMixture, path: str | Path) -> None:
    """Write a fitted estimator; the file appears whole or not at all.

    Parameters
    ----------
    model : SoftHebb or SpikingSoftHebb
        A fitted estimator.
    path : str or Path
        File to write.

    Raises
    ------
    TypeError
        If a parameter, such as a Generator as `random_state`, cannot be written.
    ValueError
        If parameters were changed into some that could not be loaded again.
    OSError
        If the folder cannot be written to.
    """
    model._check_parameters()
    if model.n_units != len(model.weights_):
        raise ValueError(
            f"n_units={model.n_units} was set after {len(model.weights_)} units had been learned; "
            "fit again, or set it back."
        )
    check_array("weights_", model.weights_, model.weights_.shape)
    metadata = {
        "format": _FORMAT,
        "class": type(model).__name__,
        "params": params_as_json(model),
        "n_samples_seen": str(model.n_samples_seen_),
    }
    tensors = {
        "weights": np.ascontiguousarray(model.weights_),
        "log_prior": np.ascontiguousarray(model.log_prior_),
    }
    if hasattr(model, "weight_scales_"):
        tensors["weight_scales"] = np.ascontiguousarray(model.weight_scales_)
    if hasattr(model, "feature_names_in_"):
        metadata["feature_names"] = json.dumps(list(model.feature_names_in_))
    check_writable_file(path)
    write_whole(path, save(tensors, metadata))  # its own save_file makes private files


def params_as_json(model: SoftHebbMixture) -> str:
    """Return the parameters of an estimator as they are written to files.

    Raises
    ------
    TypeError
        If a parameter, such as a Generator as `random_state`, cannot be written.
    """
    params = model.get_params()
    if not isinstance(params["random_state"], int | np.integer | None):
        raise TypeError(
            "random_state must be an integer or None to be saved, got "
            f"{type(params['random_state']).__name__}; use set_params(random_state=...) first."
        )
    return json.dumps(params, default=_as_python_number)


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file that appears whole or not at all, and survives a loss of power once it is there.

    What processes killed while they wrote the same file have left beside it is removed.

    Parameters
    ----------
    path : str or Path
        File to write; what it held before is kept until all of the content is on the disk.
    content : bytes
        What it shall hold.

    Raises
    ------
    OSError
        If it cannot be written, such as on a full disk; nothing is left behind.
    """
    target = Path(path)
    with scratch_file(target) as file:
        file.write(content)
        put_in_place(file, target)


@contextlib.contextmanager
def scratch_file(target: Path) -> Iterator[IO[bytes]]:
    """Give a file beside a target that `put_in_place` makes the target; else it is removed.

    What processes killed while they wrote the same target have left beside it is removed, too.

    Parameters
    ----------
    target : Path
        What is to be written.

    Raises
    ------
    OSError
        If no file can be made there.
    """
    remove_scratch_files(target)
    with _open_scratch_file(_place(target)) as file:
        try:
            yield file
        finally:
            Path(file.name).unlink(missing_ok=True)


def put_in_place(file: IO[bytes], target: Path) -> None:
    """Put what was written to a scratch file on the disk, then let it be the target."""
    file.flush()
    os.fsync(file.fileno())
    _replace(Path(file.name), target)


def _replace(scratch: Path, target: Path) -> None:
    """Let a file on the disk be the target, with the permissions of what it replaces."""
    place = _place(target)
    if place.exists():
        os.chmod(scratch, stat.S_IMODE(place.stat().st_mode))
    os.replace(scratch, place)
    _fsync_folder(place.parent)


def _place(path: str | Path) -> Path:
    """Return what is to be replaced, where links lead to; raise `OSError` if it is no file."""
    place = Path(os.path.realpath(path))
    if place.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder; name a file in it.")
    if place.exists() and not place.is_file():
        raise OSError(f"cannot write {path}: it is a pipe or a device; name a file.")
    return place


def remove_scratch_files(path: str | Path) -> None:
    """Remove what processes killed while they wrote the file at `path` have left beside it.

    What a living process is writing stays: it holds a lock, which ends with the process.
    """
    target = _place(path)
    for item in target.parent.iterdir():
        if item.name.startswith(_scratch_prefix(target)):
            with contextlib.suppress(OSError), _locked(item):
                shutil.rmtree(item) if item.is_dir() else item.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Give a path to write at, for libraries that open files themselves; see `write_whole`.

    Parameters
    ----------
    target : Path
        What the file becomes at the end, unless writing fails.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    check_writable_file(target)
    remove_scratch_files(target)
    with _scratch_folder(_place(target)) as folder:
        scratch = folder / target.name
        yield scratch
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        _replace(scratch, target)


@contextlib.contextmanager
def _scratch_folder(target: Path) -> Iterator[Path]:
    """Give a folder beside a target, with its lock held; it is removed at the end."""
    folder, handle = _make_scratch_folder(target)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _make_scratch_folder(target: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=_scratch_prefix(target)))
        with contextlib.suppress(FileNotFoundError):  # removed before it was locked
            handle = os.open(folder, os.O_RDONLY)
            with contextlib.suppress(OSError):  # file systems without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            if folder.exists():
                return folder, handle
            os.close(handle)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file or folder; raise `OSError` if another process holds it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _fsync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _open_scratch_file(target: Path) -> IO[bytes]:
    while True:
        file = target.with_name(f"{_scratch_prefix(target)}{secrets.token_hex(4)}").open("xb")
        with contextlib.suppress(OSError):  # file systems without locks, which then keep litter
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink > 0:  # else it was removed before it was locked
            return file
        file.close()


def _scratch_prefix(target: Path) -> str:
    return f".{target.name}.partial-"


def check_writable_file(path: str | Path) -> None:
    """Raise unless a file could be written at `path`; for commands that compute first.

    Raises
    ------
    OSError
        If the folder does not exist or cannot be written to, or `path` is a folder.
    """
    target = _place(path)
    try:
        with _open_scratch_file(target) as file:
            Path(file.name).unlink(missing_ok=True)
    except OSError as error:
        raise type(error)(
            f"cannot write {path}: {error.strerror}; choose a folder that exists and is yours."
        ) from error


def load_model(path: str | Path) -> Any:
    """Read an estimator written by `save`.

    Parameters
    ----------
    path : str or Path
        File written by `SoftHebb.save` or `SpikingSoftHebb.save`.

    Returns
    -------
    SoftHebb or SpikingSoftHebb
        Fitted as it was saved.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a model of this package.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no model file at {path}; save one with model.save(path).")
    metadata, tensors = read_tensors(path)
    if metadata.get("format") != _FORMAT or metadata.get("class") not in CLASSES:
        raise ValueError(
            f"{path} is not a model of this package: its header says "
            f"format={metadata.get('format')!r}, expected {_FORMAT!r}."
        )
    missing = {"params", "n_samples_seen"} - set(metadata) | {"weights", "log_prior"} - set(tensors)
    if missing:
        raise ValueError(
            f"{path} is damaged: it lacks {', '.join(sorted(missing))}; save it again."
        )
    try:
        model = restored_model(
            metadata["class"], metadata["params"], int(metadata["n_samples_seen"]), tensors
        )
        if "feature_names" in metadata:
            model.feature_names_in_ = _feature_names(metadata["feature_names"], model)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error} Save it again.") from error
    return model


def _feature_names(text: str, model: SoftHebbMixture) -> NDArray[np.object_]:
    names = parse_json(text)
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not is_list or len(names) != model.n_features_in_:
        raise ValueError(f"feature_names must be a list of {model.n_features_in_} names.")
    return np.array(names, dtype=object)


def restored_model(
    class_name: str, params: str, n_samples_seen: int, arrays: Mapping[str, Any]
) -> Any:
    """Return the estimator that a file describes.

    Parameters
    ----------
    class_name : str
        One of `CLASSES`.
    params : str
        From `params_as_json`.
    n_samples_seen : int
        Samples that it has learned from.
    arrays : mapping of str to ndarray
        "weights", "log_prior" and, if the event rung learned last, "weight_scales".

    Returns
    -------
    SoftHebb or SpikingSoftHebb
        Fitted as it was written.

    Raises
    ------
    TypeError, ValueError
        If the parts do not fit together, or are not accepted by the estimator.
    """
    from softhebb_spiking.rate import SoftHebb
    from softhebb_spiking.spiking import SpikingSoftHebb

    classes: dict[str, Any] = dict(zip(CLASSES, (SoftHebb, SpikingSoftHebb), strict=True))
    given = parse_json(params)
    if not isinstance(given, dict):
        raise TypeError(f"params must be an object of JSON, got {type(given).__name__}.")
    _check_options(given)
    if given.get("random_state") is not None:
        check_integer("random_state", given["random_state"], 0, MAX_KEY)
    model: Any = classes[class_name].from_weights(arrays["weights"], arrays["log_prior"], **given)
    model.n_samples_seen_ = check_integer("n_samples_seen", n_samples_seen, 0, MAX_COUNT)
    if "weight_scales" in arrays:
        check_weight_scales(arrays["weight_scales"], model.n_units)
        model.weight_scales_ = arrays["weight_scales"]
    return model


def _check_options(params: Mapping[str, Any]) -> None:
    """Raise unless the options of the backend, which a file also chooses, are known and plain."""
    options, known = (
        params.get("backend_options") or {},
        _OPTIONS.get(str(params.get("backend")), ()),
    )
    if not isinstance(options, dict) or set(options) - set(known):
        raise ValueError(f"backend_options may have {', '.join(known)}, got {str(options)[:80]}.")
    for name, value in options.items():
        if not isinstance(value, str | float | int | None):
            raise TypeError(f"backend_options: {name} must be a number or a name.")


def check_array(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raise `ValueError` unless an array from a file holds finite floats and has the shape."""
    if values.dtype.kind != "f" or values.shape != shape or not np.isfinite(values).all():
        raise ValueError(
            f"{name} must be finite floats of shape {shape}, got shape {values.shape} and dtype "
            f"{values.dtype}."
        )


def check_weight_scales(scales: NDArray[Any], n_units: int) -> None:
    """Raise `ValueError` unless weights can be divided by the scales in a file."""
    check_array("weight_scales", scales, (n_units,))
    if (scales == 0).any():
        raise ValueError("weight_scales must be other than 0: weights are divided by them.")


def _as_python_number(value: Any) -> Any:
    if isinstance(value, np.floating):
        return float(value)  # item() of a long double is no number of Python
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot save a parameter of type {type(value).__name__}.")
