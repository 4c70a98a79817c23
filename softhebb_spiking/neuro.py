"""Recordings in the formats of neuroscience: Neo blocks, NIX and NWB files, Elephant's statistics.

`docs/recordings.md` says what each field means and what each format loses.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softhebb_spiking._hdf5 import check_hdf5
from softhebb_spiking._neo_block import PACKAGE, Presentations, as_block, as_presentations, require
from softhebb_spiking._nwb import check_presentations, read_nwb, write_nwb
from softhebb_spiking.serialization import whole_file
from softhebb_spiking.validation import FloatArray, check_choice

if TYPE_CHECKING:
    import neo

SUFFIXES = (".nix", ".nwb")
KINDS = ("unit", "input")
# A simulation has no date, but files ask for one.
UNDATED = datetime(2000, 1, 1, tzinfo=timezone.utc)


class SpikeStatistics(NamedTuple):
    """Statistics of spike trains in the steps that are read.

    Attributes
    ----------
    rate_hz : ndarray of shape (n_trains,)
        Spikes of each population in a second; of a neuron, divide by the population's size.
    isi_cv : ndarray of shape (n_trains,)
        Coefficient of variation of the intervals between spikes of a population, zeros among
        them, pooled over samples; NaN below two intervals.
    fano_factor : ndarray of shape (n_trains,)
        Variance (divided by the number of samples) over mean of the spike counts of samples; NaN
        without spikes or with one sample.
    synchrony : float
        Mean correlation coefficient of the spike counts per step of two populations, over all
        pairs that are not constant; NaN without such a pair.
    """

    rate_hz: FloatArray
    isi_cv: FloatArray
    fano_factor: FloatArray
    synchrony: float


def save_neo(block: neo.Block, path: str | Path) -> None:
    """Write a block of `Recording.to_neo` as NIX or NWB; the file appears whole or not at all.

    Parameters
    ----------
    block : neo.Block
        From `Recording.to_neo` or `load_neo`. Its `rec_datetime`, if set, becomes the session
        start time of an NWB file, which is else 2000-01-01; without a time zone, UTC is meant.
    path : str or Path
        Ends in ``.nix`` or ``.nwb``. NIX holds what is added to the block too, but takes about
        15 ms and 29 kB for each spike train; NWB is fast.

    Raises
    ------
    ValueError
        If the suffix is another one, or an NWB file is asked for a block that is no recording.
    OSError
        If the file cannot be written.
    ImportError
        If neo, nixio or pynwb is not installed.
    """
    target = _checked_path(path)
    require("neo", "nixio" if target.suffix == ".nix" else "pynwb")
    shown = as_presentations(block)
    with whole_file(target) as scratch:
        if target.suffix == ".nix":
            _write_nix(block, scratch)
        else:
            write_nwb(shown, scratch, _dated(block.rec_datetime))


def load_neo(path: str | Path) -> neo.Block:
    """Read a file written by `save_neo`: the block that was saved, to the last bit of each time.

    Parameters
    ----------
    path : str or Path
        Ends in ``.nix`` or ``.nwb``.

    Returns
    -------
    neo.Block
        As from `Recording.to_neo`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged or was not written by `save_neo`.
    ImportError
        If neo, nixio or pynwb is not installed.
    """
    source = _checked_path(path)
    require("neo", "nixio" if source.suffix == ".nix" else "pynwb")
    if not source.is_file():
        raise FileNotFoundError(f"no recording at {source}; write one with save_neo(block, path).")
    try:
        check_hdf5(source)
        if source.suffix == ".nix":
            return _read_nix(source)
        shown, start = read_nwb(source)
    except PermissionError:
        raise
    except Exception as error:  # of whatever in three libraries a damaged file runs into
        raise ValueError(
            f"{source} is no {source.suffix[1:].upper()} file, or a damaged one: {error}"
        ) from error
    block = as_block(shown)
    block.rec_datetime = _date_of(start)
    return block


def spike_statistics(block: neo.Block, *, kind: str = "unit") -> SpikeStatistics:
    """Return rates, regularity and synchrony of the steps that are read, computed by Elephant.

    Samples that differ make rates differ: what they add to Fano factors and synchrony is in them.

    Parameters
    ----------
    block : neo.Block
        From `Recording.to_neo` or `load_neo`.
    kind : {"unit", "input"}
        Which spike trains.

    Returns
    -------
    SpikeStatistics
        With one entry for each train of that kind, in the order of the block.

    Raises
    ------
    ValueError
        If the block has no such trains, or is no recording.
    ImportError
        If elephant is not installed.
    """
    require("neo", "elephant")
    from elephant.statistics import cv, fanofactor, isi, mean_firing_rate

    check_choice("kind", kind, KINDS)
    shown = as_presentations(block)
    wanted = [row for row, unit in enumerate(shown.units) if unit["kind"] == kind]
    if not wanted or len(shown.samples) == 0:
        raise ValueError(
            f"the block has no spike trains of kind {kind!r}; make it with "
            "recording.to_neo(inputs=True) of at least one sample."
        )
    trains = _read_lines(shown, wanted)
    starts = np.arange(1, len(shown.samples)) * float(shown.steps[1] * shown.annotations["dt_ms"])
    rates, variations, fanos = [], [], []
    for train in trains:
        parts = np.split(train.magnitude, np.searchsorted(train.magnitude, starts))
        intervals = np.concatenate([isi(part) for part in parts])
        rates.append(float(mean_firing_rate(train).rescale("Hz")))
        variations.append(float(cv(intervals)) if len(intervals) > 1 else np.nan)
        fanos.append(float(fanofactor(parts)) if len(parts) > 1 else np.nan)
    return SpikeStatistics(
        np.array(rates), np.array(variations), np.array(fanos), _synchrony(trains, shown)
    )


def _read_lines(shown: Presentations, wanted: Sequence[int]) -> list[Any]:
    """Return a spike train for each unit: what is read of all samples, one after the other.

    Spikes stand in the middle of their steps, where no rounding moves them to the next bin.
    """
    import neo

    settle, read = shown.steps
    dt_ms = float(shown.annotations["dt_ms"])
    presentation, step, row = shown.spikes[shown.spikes[:, 1] >= settle].T
    order = np.lexsort((step, presentation, row))
    times = (presentation * read + step - settle + 0.5)[order] * dt_ms
    bounds = np.searchsorted(row[order], np.arange(len(shown.units) + 1))
    stop = len(shown.samples) * read * dt_ms
    return [
        neo.SpikeTrain(times[bounds[unit] : bounds[unit + 1]], units="ms", t_start=0.0, t_stop=stop)
        for unit in wanted
    ]


def _synchrony(trains: Sequence[Any], shown: Presentations) -> float:
    import quantities
    from elephant.conversion import BinnedSpikeTrain
    from elephant.spike_train_correlation import correlation_coefficient

    firing = [train for train in trains if len(train)]
    if len(firing) < 2:
        return float("nan")
    step = float(shown.annotations["dt_ms"]) * quantities.ms
    with np.errstate(invalid="ignore"):  # a count that never varies has no correlation
        matrix = np.asarray(correlation_coefficient(BinnedSpikeTrain(firing, bin_size=step)))
    pairs = matrix[np.triu_indices(len(firing), 1)]
    pairs = pairs[np.isfinite(pairs)]
    return float(pairs.mean()) if len(pairs) else float("nan")


def _write_nix(block: neo.Block, path: Path) -> None:
    from neo.io import NixIO

    date = block.rec_datetime
    block.rec_datetime = _dated(date)  # else Neo writes today, and no time zone
    try:
        with NixIO(str(path), "ow") as io:
            io.write_block(block)
    finally:
        block.rec_datetime = date
        _drop_nix_names(block)


def _read_nix(path: Path) -> neo.Block:
    import quantities
    from neo.io import NixIO

    with NixIO(str(path), "ro") as io:
        block = io.read_block()
    if block is None or block.annotations.get("package") != PACKAGE:
        raise ValueError(f"{path} is a NIX file, but no recording of this package.")
    _drop_nix_names(block)
    block.rec_datetime = _date_of(block.rec_datetime)
    rate = 1.0 / (float(block.annotations["dt_ms"]) * quantities.ms)
    for segment in block.segments:  # Neo does not write these
        segment.index = segment.annotations["sample"]
        segment.rec_datetime = None  # when the file was made
        for train in segment.spiketrains:
            train.sampling_rate = rate
    check_presentations(as_presentations(block))
    return block


def _dated(date: datetime | None) -> datetime:
    """Return a date for a file, with a time zone."""
    if date is None:
        return UNDATED
    return (
        date.replace(tzinfo=timezone.utc)
        if date.tzinfo is None
        else date.astimezone(UNDATED.tzinfo)
    )


def _date_of(date: datetime) -> datetime | None:
    """Return the date that a file was given, if any."""
    found = _dated(date)
    return None if found == UNDATED else found


def _drop_nix_names(block: neo.Block) -> None:
    """Take back what Neo writes into the objects that it saves."""
    for item in (block, *block.segments, *block.data_children_recur):
        item.annotations.pop("nix_name", None)


def _checked_path(path: str | Path) -> Path:
    return checked_suffix(path, SUFFIXES)


def checked_suffix(path: str | Path, suffixes: Sequence[str]) -> Path:
    """Return the path if it has one of the suffixes, else raise `ValueError`."""
    target = Path(path)
    if target.suffix not in suffixes:
        raise ValueError(f"path must end in {' or '.join(suffixes)}, got {str(target)!r}.")
    return target
