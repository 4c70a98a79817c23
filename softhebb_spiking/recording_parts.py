"""Recordings too long for memory: run and written part by part, read when they are asked for."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from sklearn.utils.validation import check_is_fitted

from softhebb_spiking._untrusted import read_json
from softhebb_spiking.recording import Recording
from softhebb_spiking.samples import as_samples
from softhebb_spiking.serialization import whole_file, write_whole
from softhebb_spiking.validation import IntArray, check_integer, unit_norm_samples

if TYPE_CHECKING:
    from softhebb_spiking.params import Run
    from softhebb_spiking.spiking import SpikingSoftHebb

_FORMAT = "softhebb-spiking recording in parts 1"
_INDEX = "parts.json"


class RecordingParts(Sequence[Recording]):
    """A recording in parts, in a folder: a sequence of recordings, each loaded when asked for.

    In each part samples count from zero; `first_samples` says where it begins.

    Parameters
    ----------
    folder : str or Path
        Folder written by `record_in_parts`.

    Attributes
    ----------
    folder : Path
        The folder.
    first_samples : list of int
        Number of the first sample of each part, counted from the first sample that was shown.
    n_samples : int
        Samples of all parts.
    complete : bool
        Whether all samples that were asked for have been run; False if that was interrupted.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no recording in it.
    ValueError
        If its list of parts is damaged, or of something else.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        index = _read_index(self.folder / _INDEX)
        self.complete = bool(index["complete"])
        self._sizes: list[int] = index["samples_of_part"]
        self._numbers = list(range(len(self._sizes)))
        *self.first_samples, self.n_samples = itertools.accumulate(self._sizes, initial=0)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, part: int) -> Recording: ...

    @overload
    def __getitem__(self, part: slice) -> list[Recording]: ...

    def __getitem__(self, part: int | slice) -> Recording | list[Recording]:
        if isinstance(part, slice):
            return [self[number] for number in self._numbers[part]]
        number = self._numbers[part]
        path = self.folder / part_name(number)
        recording = Recording.load(path)
        if len(recording.spike_counts) != self._sizes[number]:
            raise ValueError(
                f"{path} has {len(recording.spike_counts)} samples, but {_INDEX} says "
                f"{self._sizes[number]}: a file of another recording. Record again."
            )
        return recording

    def __iter__(self) -> Iterator[Recording]:
        return (self[number] for number in self._numbers)

    def __repr__(self) -> str:
        return f"RecordingParts({str(self.folder)!r}): {self.n_samples} samples, {len(self)} parts"

    def to_nwb(
        self, path: str | Path, *, labels: Iterable[Any] | None = None, inputs: bool = True
    ) -> None:
        """Write all parts to one NWB file, with one part in memory at a time.

        Parameters
        ----------
        path : str or Path
            File to write, which ends in ``.nwb``; it appears whole or not at all.
        labels : iterable, optional
            A label for each sample.
        inputs : bool
            Whether the spikes of inputs are written too.

        Raises
        ------
        ValueError
            If there is not one label for each sample, no part, or the path ends otherwise.
        ImportError
            If pynwb is not installed.
        """
        from softhebb_spiking._neo_block import presentations, require
        from softhebb_spiking._nwb import fill_nwb, write_nwb
        from softhebb_spiking.neuro import UNDATED, checked_suffix

        target = checked_suffix(path, (".nwb",))
        require("pynwb")
        if not len(self):
            raise ValueError(f"{self.folder} has no part yet that could be written.")
        samples = range(self.n_samples)
        shown = presentations(self[-1], samples, labels, inputs, np.empty((0, 3), np.int64))
        room, digest = np.zeros(len(shown.units), np.int64), hashlib.sha256()
        for rows in self._rows(inputs):
            room += np.bincount(rows[:, 2], minlength=len(room))
            digest.update(np.ascontiguousarray(rows).tobytes())
        with whole_file(target) as scratch:
            write_nwb(shown, scratch, UNDATED, room=room, digest=digest.digest())
            fill_nwb(shown, scratch, room, self._rows(inputs))

    def _rows(self, inputs: bool) -> Iterator[IntArray]:
        """Yield rows (sample, step, spike train) of each part, samples counted over all parts."""
        from softhebb_spiking._neo_block import spikes_of_trains

        for first, part in zip(self.first_samples, self, strict=True):
            yield spikes_of_trains(part, inputs) + np.array([first, 0, 0])


def record_in_parts(
    model: SpikingSoftHebb,
    X: Any,
    folder: str | Path,
    *,
    samples_per_part: int = 1000,
    learn: bool = False,
    probes: Sequence[str] = (),
) -> RecordingParts:
    """Record samples in order and write each part as soon as it is done.

    The parts are what `model.record` would have returned in one piece, bit for bit on the event
    rung, if `random_state` is an integer. Only one part is in memory at a time.

    Parameters
    ----------
    model : SpikingSoftHebb
        A fitted estimator.
    X : array_like of shape (n_samples, n_features), or iterable of such arrays
        Non-negative samples: an array, a memory map, or batches that come one after the other.
    folder : str or Path
        Where the parts go; made if it is not there, else without a recording in it.
    samples_per_part : int
        Samples of each part.
    learn, probes
        As for `SpikingSoftHebb.record`. If it is interrupted, the model is what it was before; the
        parts that were done stay and can be read.

    Returns
    -------
    RecordingParts
        To read them.

    Raises
    ------
    FileExistsError
        If there is a recording in the folder.
    TypeError, ValueError
        If the samples or an argument are not accepted.
    OSError
        If a file cannot be written; no half-written file is left.
    """
    check_integer("samples_per_part", samples_per_part, 1)
    check_is_fitted(model)
    model._check_parameters()
    samples = as_samples(X)
    model._check_features(X, reset=False)
    target = _new_folder(Path(folder))
    sizes: list[int] = []
    first, key = model.n_samples_seen_ if learn else 0, None
    with model._unchanged_on_failure():
        for chunk in samples.raw_chunks(samples_per_part):
            shown = unit_norm_samples(chunk, model.n_features_in_)
            run = model._run_of(shown, learn=learn, probes=probes)
            key = run.seed if key is None else key
            run = replace(run, seed=key, first_sample=first + sum(sizes))
            _recorded(model, run).save(target / part_name(len(sizes)))
            sizes.append(len(chunk))
            _write_index(target, sizes, complete=False)
        _write_index(target, sizes, complete=True)
    return RecordingParts(target)


def part_name(number: int) -> str:
    """Return the name of the file of a part, counted from zero."""
    return f"part-{number:06d}.npz"


def _recorded(model: SpikingSoftHebb, run: Run) -> Recording:
    result = model._simulate(run)
    if run.learn:
        model._keep_state(run, result)
    return Recording.from_result(run, result, model.backend)


def _new_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    if any(folder.glob("part-*.npz")) or (folder / _INDEX).exists():
        raise FileExistsError(
            f"{folder} has a recording in it already; choose another folder or remove that first."
        )
    return folder


def _write_index(folder: Path, sizes: Sequence[int], *, complete: bool) -> None:
    index = {"format": _FORMAT, "complete": complete, "samples_of_part": list(sizes)}
    write_whole(folder / _INDEX, json.dumps(index).encode())


def _read_index(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(
            f"no recording in parts at {path.parent}: it has no {_INDEX}; make one with "
            "record_in_parts(model, X, folder)."
        )
    try:
        index = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}. Record again.") from error
    wanted = {"format", "complete", "samples_of_part"}
    if not isinstance(index, dict) or index.get("format") != _FORMAT or wanted - set(index):
        raise ValueError(
            f"{path} is no list of parts of this package, whose format is {_FORMAT!r}."
        )
    if not isinstance(index["complete"], bool) or not isinstance(index["samples_of_part"], list):
        raise ValueError(f"{path} is damaged: complete or samples_of_part is of another type.")
    try:
        for size in index["samples_of_part"]:
            check_integer("samples_of_part", size, 1)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error} Record again.") from error
    return index
