"""Keeps the checkpoints of one training: finds the one to go on from, writes new ones in time."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking.checkpoint import (
    Checkpoint,
    Position,
    TrainingRecord,
    read_checkpoint,
    write_checkpoint,
)
from softhebb_spiking.samples import CHUNK_SAMPLES, Samples
from softhebb_spiking.serialization import (
    check_writable_file,
    params_as_json,
    remove_scratch_files,
)

_DEFAULT_INTERVAL_S = 60.0
_NAMES = {
    "class": "the estimator",
    "version": "the package version",
    "kind": "the kind of X",
    "shape": "the shape of X",
    "dtype": "the dtype of X",
    "digest": "the hash of X",
    "initial": "the hash of the initial weights and log prior",
}


class CheckpointKeeper:
    """Writes the checkpoints of one training, and finds the one to go on from.

    Parameters
    ----------
    options : Checkpoint
        Where and when.
    estimator : SoftHebb or SpikingSoftHebb
        What is trained.
    samples : Samples
        What it is trained on.
    initial : tuple of arrays or None
        Weights and log prior that were given to start from.
    state_names : tuple of str
        Attributes that hold what is learned.

    Attributes
    ----------
    found : TrainingRecord or None
        Where to go on from.

    Raises
    ------
    TypeError
        If a parameter cannot be written, such as a Generator.
    ValueError
        If the checkpoint is of another training.
    FileExistsError
        If there is a checkpoint and `resume` is not set.
    OSError
        If the file cannot be written.
    """

    def __init__(
        self,
        options: Checkpoint,
        estimator: Any,
        samples: Samples,
        initial: tuple[Any, ...],
        state_names: tuple[str, ...],
    ) -> None:
        self._path = Path(options.path).absolute()  # whatever a callback does
        self._every_samples = options.every_samples
        self._interval_s = options.interval_s
        if self._every_samples is None and self._interval_s is None:
            self._interval_s = _DEFAULT_INTERVAL_S
        self._estimator, self._state_names = estimator, state_names
        self._training = _describe(estimator, samples, initial)
        self._streamed, self._n_samples = samples.kind == "stream", samples.n_samples
        self._digest = _new_digest()
        check_writable_file(self._path)
        remove_scratch_files(self._path)
        self.found = self._find(options.resume)
        self._n_since, self._written_at = 0, time.monotonic()

    def _find(self, resume: bool) -> TrainingRecord | None:
        if not self._path.exists():
            return None
        if not resume:
            raise FileExistsError(
                f"there is a checkpoint at {self._path} already. Pass resume=True (--resume) to go "
                "on from it, or choose another path, or remove it."
            )
        found = read_checkpoint(self._path)
        # Of a stream only the part that was learned from is known, and only when it comes again.
        passed = {"digest"} if self._streamed else set()
        self._refuse_differences(found.training, self._training, passed)
        n_samples = math.inf if self._n_samples is None else self._n_samples
        if found.position.epoch >= self._estimator.n_epochs or found.position.sample > n_samples:
            raise ValueError(
                f"the checkpoint at {self._path} is damaged: it lies at {found.position}, beyond "
                "the end of the training."
            )
        return found

    def _refuse_differences(
        self, then: Mapping[str, Any], now: Mapping[str, Any], passed: set[str]
    ) -> None:
        names = [name for name in {**then, **now} if name not in passed]
        differing = [
            f"{_NAMES.get(name, name)} was {then.get(name)!r} and is {now.get(name)!r}"
            for name in names
            if then.get(name) != now.get(name)
        ]
        if differing:
            raise ValueError(
                f"the checkpoint at {self._path} is of another training: {'; '.join(differing)}. "
                "Go on with what it was begun with, or choose another path."
            )

    def begin_epoch(self) -> None:
        """Forget what was seen: a stream begins again."""
        self._digest = _new_digest()

    def see(self, raw: NDArray[Any]) -> None:
        """Take a chunk of a stream into the fingerprint."""
        if self._streamed:
            self._digest.update(raw.tobytes())

    def check_seen(self) -> None:
        """Raise `ValueError` unless a stream began with what the checkpoint was learned from."""
        if self._streamed and self.found is not None:
            seen = self._training | {"digest": self._digest.hexdigest()}
            self._refuse_differences(self.found.training, seen, set())

    def after_chunk(self, position: Position, key: int, n_new: int, *, last: bool) -> None:
        """Write a checkpoint if it is time to.

        Parameters
        ----------
        position : Position
            Up to where the estimator has learned.
        key : int
            Of the random numbers.
        n_new : int
            Samples learned since the last call.
        last : bool
            Whether the training ends here.
        """
        self._n_since += n_new
        elapsed_s = time.monotonic() - self._written_at
        due = (self._every_samples is not None and self._n_since >= self._every_samples) or (
            # A clock that was set back must not put the next one off for as long.
            self._interval_s is not None and not 0.0 <= elapsed_s < self._interval_s
        )
        if due or last:
            self._write(position, key)
            self._n_since, self._written_at = 0, time.monotonic()

    def _write(self, position: Position, key: int) -> None:
        training = dict(self._training)
        if self._streamed:
            training["digest"] = self._digest.hexdigest()
        state = {
            name: getattr(self._estimator, name)
            for name in self._state_names
            if hasattr(self._estimator, name)
        }
        record = TrainingRecord(training=training, state=state, position=position, key=key)
        try:
            write_checkpoint(self._path, record)
        except OSError as error:
            kept = (
                "the one before is whole: go on from it" if self._path.exists() else "none is lost"
            )
            raise OSError(
                error.errno,
                f"cannot write the checkpoint at {self._path}: {error.strerror}. Training stopped; "
                f"{kept} when there is room, or choose another path",
            ) from error


def _describe(estimator: Any, samples: Samples, initial: tuple[Any, ...]) -> dict[str, Any]:
    """Return what has to be the same when a training goes on."""
    from softhebb_spiking import __version__

    params: dict[str, Any] = json.loads(params_as_json(estimator))
    return {
        "class": type(estimator).__name__,
        "version": __version__,
        "kind": samples.kind,
        "shape": list(samples.shape),
        "dtype": samples.dtype,
        "digest": _digest_of(samples),
        "initial": [None if array is None else _digest_of_array(array) for array in initial],
        **{f"parameter {name}": value for name, value in params.items()},
    }


def _new_digest() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16)


def _digest_of_array(array: Any) -> str:
    digest = _new_digest()
    digest.update(np.ascontiguousarray(array, np.float64).tobytes())
    return digest.hexdigest()


def _digest_of(samples: Samples) -> str | None:
    """Return the hash of an array's bytes; a stream's is only known when it has passed."""
    if samples.kind == "stream":
        return None
    digest = _new_digest()
    for raw in samples.raw_chunks(CHUNK_SAMPLES):
        digest.update(raw.tobytes())
    return digest.hexdigest()
