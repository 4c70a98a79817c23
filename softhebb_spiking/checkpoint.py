"""Checkpoints: a training that was stopped goes on, and ends with the same bits.

A checkpoint is one safetensors file. It holds the learned state, the key of the random numbers, the
position in the data, and what the training consists of: class, parameters, package version and
a fingerprint of the data. Going on is refused if any of these differs.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save

from softhebb_spiking._untrusted import parse_json, read_tensors
from softhebb_spiking.serialization import MAX_COUNT, check_array, check_weight_scales, write_whole
from softhebb_spiking.validation import MAX_KEY, check_integer, check_real

_FORMAT = "softhebb-spiking checkpoint 1"


@dataclass(frozen=True)
class Checkpoint:
    """Where and when `fit` writes a checkpoint, and whether it goes on from one.

    Learning runs in chunks of about a thousand samples, whose bounds nothing moves, so that
    results do not depend on checkpoints. One is written at the end of a chunk if enough samples or
    seconds have passed since the last, and at the end of the training.

    Parameters
    ----------
    path : str or Path
        The file. Each checkpoint replaces the one before in one step: a process that is killed, or
        a full disk, loses what was learned since, never the file.
    every_samples : int, optional
        Samples between two checkpoints, rounded up to whole chunks.
    interval_s : float, optional
        Seconds between two checkpoints; 60 if neither is given.
    resume : bool
        Go on from the file. While there is none, start from the beginning, so that
        the same command can be given again until it comes to its end.

    Raises
    ------
    TypeError, ValueError
        If a value is not accepted.

    Examples
    --------
    >>> import tempfile
    >>> from softhebb_spiking import Checkpoint, SpikingSoftHebb, load_dataset
    >>> digits, model = load_dataset("digits"), SpikingSoftHebb(n_units=20, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = Checkpoint(f"{folder}/digits.ckpt", interval_s=10.0, resume=True)
    ...     weights = model.fit(digits.X_train, checkpoint=checkpoint).weights_
    >>> weights.shape
    (20, 64)
    """

    path: str | Path
    every_samples: int | None = None
    interval_s: float | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | Path):
            raise TypeError(f"path must be a str or Path, got {self.path!r}.")
        if self.every_samples is not None:
            check_integer("every_samples", self.every_samples, 1)
        if self.interval_s is not None:
            check_real("interval_s", self.interval_s, 0.0, low_open=True)
        if not isinstance(self.resume, bool):
            raise TypeError(f"resume must be True or False, got {self.resume!r}.")


class Position(NamedTuple):
    """How far a training has come.

    Attributes
    ----------
    epoch : int
        Epochs that are behind it.
    sample : int
        Samples of the next epoch that are.
    """

    epoch: int
    sample: int


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """What a checkpoint holds.

    Attributes
    ----------
    training : dict
        What must be the same to go on: class, version, kind, shape, dtype and digest of the
        data, and parameters, named ``parameter <name>``.
    state : dict
        The learned state by attribute: arrays and integers.
    position : Position
        Where it was learned up to.
    key : int
        Of the random numbers of this training.
    """

    training: dict[str, Any]
    state: dict[str, Any]
    position: Position
    key: int


def read_checkpoint(path: str | Path) -> TrainingRecord:
    """Read a checkpoint.

    Parameters
    ----------
    path : str or Path
        File written by `fit` with a `Checkpoint`.

    Returns
    -------
    TrainingRecord

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a checkpoint of this package.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; fit with Checkpoint({str(path)!r}).")
    header, arrays = read_tensors(path)
    if header.get("format") != _FORMAT:
        raise ValueError(
            f"{path} is not a checkpoint of this package: its header says "
            f"format={header.get('format')!r}, expected {_FORMAT!r}."
        )
    try:
        record = parse_json(header["record"])
        found = TrainingRecord(
            training=record["training"],
            state=arrays | record["state"],
            position=Position(*record["position"]),
            key=record["key"],
        )
        _check_record(found)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: its record cannot be read ({error!r}).") from error
    return found


def _check_record(found: TrainingRecord) -> None:
    """Raise unless this is the state of a training and nothing else: it becomes attributes."""
    if not isinstance(found.training, dict):
        raise TypeError("what the training consists of must be an object of JSON")
    for name, value in zip(("epoch", "sample"), found.position, strict=True):
        check_integer(name, value, 0)
    check_integer("key", found.key, 0, MAX_KEY)
    state = dict(found.state)
    weights = np.asarray(state.pop("weights_"))
    n_units, n_features = found.training["parameter n_units"], math.prod(weights.shape[1:])
    log_prior = np.asarray(state.pop("log_prior_"))
    check_array("weights_", weights, (n_units, n_features))
    check_array("log_prior_", log_prior, (n_units,))
    if not weights.dtype == log_prior.dtype == np.float64:
        raise ValueError("weights_ and log_prior_ must be float64")
    check_weight_scales(np.asarray(state.pop("weight_scales_", np.ones(n_units))), n_units)
    check_integer("n_features_in_", state.pop("n_features_in_"), n_features, n_features)
    check_integer("n_samples_seen_", state.pop("n_samples_seen_"), 0, MAX_COUNT)
    if state:
        raise ValueError(f"{', '.join(sorted(state))} is no part of a learned state")


def write_checkpoint(path: str | Path, record: TrainingRecord) -> None:
    """Write a checkpoint; the file appears whole or not at all, in place of the one before.

    Raises
    ------
    OSError
        If it cannot be written; the one before is kept then.
    """
    arrays = {name: np.asarray(value) for name, value in record.state.items() if np.ndim(value)}
    numbers = {name: int(value) for name, value in record.state.items() if not np.ndim(value)}
    header = {
        "training": record.training,
        "state": numbers,
        "position": record.position,
        "key": record.key,
    }
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_whole(path, save(tensors, {"format": _FORMAT, "record": json.dumps(header)}))
