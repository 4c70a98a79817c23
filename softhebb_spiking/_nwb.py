"""Recordings as NWB files: populations in the units table, presentations in the trials table.

A presentation starts from silence, with a time of its own. In a file, which has one clock,
presentations follow each other with a gap of one step, so that a spike at the end of the last step
does not fall on the onset of the next presentation.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from softhebb_spiking._neo_block import PACKAGE, Presentations, plain
from softhebb_spiking.validation import FloatArray, IntArray, check_integer, check_real

_NETWORK = "network"
_FREE_TRAINS, _BYTES_OF_A_TRAIN = 100_000, 4
_UNIT_COLUMNS = {
    "kind": "'unit': a population of output neurons; 'input': one spiking input",
    "index": "number of the unit, or of the input",
    "population_size": "neurons whose spikes the row holds; several may fire in one step",
    "prior": "prior probability of the unit at the end of the recording; NaN for inputs",
    "temperature": "softmax temperature, without unit; NaN for inputs",
}


def write_nwb(
    shown: Presentations,
    path: Path,
    start: datetime,
    *,
    room: IntArray | None = None,
    digest: bytes = b"",
) -> None:
    """Write an NWB file.

    Parameters
    ----------
    shown : Presentations
        What to write.
    path : Path
        File to write.
    start : datetime
        Date of the recording, with a time zone.
    room : ndarray of shape (n_trains,), optional
        Leave room for so many spikes of each unit, for `fill_nwb`, in place of those of `shown`.
    digest : bytes
        Of those spikes, for the identifier.
    """
    import pynwb

    notes = shown.annotations
    file = pynwb.NWBFile(
        session_description=(
            "Simulation of a spiking soft winner-take-all network (SoftHebb), "
            f"backend {notes['backend']}, seed {notes['seed']}."
        ),
        experiment_description=(
            "Samples are shown one after the other, with a gap of one step; each starts from "
            "silence. Populations of neurons have one row of spikes each, ends of steps."
        ),
        identifier=_identifier(shown, digest),
        session_start_time=start,
        file_create_date=start,
        source_script=f"{notes['package']} {notes['version']}",
        source_script_file_name=str(notes["package"]),
        # nwbinspector demands one, of some age. Keywords would keep Neo's NWBIO from opening it.
        subject=pynwb.file.Subject(
            subject_id="simulation",
            description="A simulated network, no animal; the age means nothing",
            age="P0D",
            sex="U",
        ),
    )
    file.units = _units_table(shown, room)
    file.trials = _trials_table(shown)
    file.epochs = _epochs_table(shown)
    file.add_analysis(_network_table(shown))
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)


def read_nwb(path: Path) -> tuple[Presentations, datetime]:
    """Return what `write_nwb` wrote, and its date.

    Raises
    ------
    ValueError
        If the file was not written by `write_nwb`.
    """
    import pynwb

    # The file's own description of its types is not needed: this package adds none.
    with pynwb.NWBHDF5IO(path, "r", load_namespaces=False) as io:
        file = io.read()
        if _NETWORK not in file.analysis or file.units is None or file.trials is None:
            raise ValueError(
                f"{path} is an NWB file, but no recording of this package: it lacks the table "
                f"analysis/{_NETWORK}, units or trials. Open it with pynwb."
            )
        network, units, trials = file.analysis[_NETWORK], file.units, file.trials
        annotations = {name: plain(network[name].data[0]) for name in network.colnames}
        columns = {name: units[name].data[:] for name in _UNIT_COLUMNS}
        times, ends = units["spike_times"].target.data[:], units["spike_times"].data[:]
        samples = trials["sample"].data[:].tolist()
        labels = None
        if "label" in trials.colnames:
            labels = [plain(label) for label in trials["label"].data[:]]
        start = file.session_start_time
    _check_spike_index(ends, times)
    rows = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    found = Presentations(
        annotations=annotations,
        units=[_unit_annotations(columns, row) for row in range(len(ends))],
        samples=samples,
        labels=labels,
        spikes=_spikes_from_seconds(times, rows, annotations),
    )
    check_presentations(found, _FREE_TRAINS + path.stat().st_size // _BYTES_OF_A_TRAIN)
    return found, start


def check_presentations(shown: Presentations, most_trains: float = math.inf) -> None:
    """Raise `ValueError` unless what came from a file is a recording.

    Parameters
    ----------
    shown : Presentations
        What the file says.
    most_trains : float
        Spike trains that a block may have: some kilobytes each, also of those without spikes.
    """
    notes, n_samples, n_units = shown.annotations, len(shown.samples), len(shown.units)
    check_real("dt_ms", notes["dt_ms"], 0.0, low_open=True)
    check_integer("settle_steps", notes["settle_steps"], 0)
    check_integer("n_steps", notes["n_steps"], 1)
    if notes.get("package") != PACKAGE or "backend" not in notes:
        raise ValueError(f"it is not of the package {PACKAGE}.")
    if n_samples * n_units > most_trains:
        raise ValueError(
            f"{n_samples} samples of {n_units} units are too many spike trains for a block of "
            "Neo; open the file with pynwb, which reads parts."
        )
    if shown.labels is not None and len(shown.labels) != n_samples:
        raise ValueError(f"there are {len(shown.labels)} labels for {n_samples} samples.")
    limits = np.array([n_samples, sum(shown.steps), n_units])
    if ((shown.spikes < 0) | (shown.spikes >= limits)).any():
        raise ValueError(f"spikes lie outside (sample, step, train) < {limits.tolist()}.")


def _check_spike_index(ends: IntArray, times: FloatArray) -> None:
    """Raise unless the spikes of each unit end where those of the next begin."""
    sizes = np.diff(ends.astype(np.int64), prepend=0)
    if times.dtype.kind != "f" or (sizes < 0).any() or int(sizes.sum()) != len(times):
        raise ValueError(f"the index of units does not fit {len(times)} spike times.")
    if not np.isfinite(times).all():
        raise ValueError("spike times must be finite.")


def _spikes_from_seconds(
    times: FloatArray, rows: IntArray, annotations: Mapping[str, Any]
) -> IntArray:
    # Spikes lie on the grid of the steps: rounding to it brings back the exact step.
    dt_ms = check_real("dt_ms", annotations["dt_ms"], 0.0, low_open=True)
    with np.errstate(invalid="ignore", over="ignore"):  # times that lie nowhere are refused later
        steps = np.rint(times * 1000.0 / dt_ms).astype(np.int64) - 1
    period = annotations["settle_steps"] + annotations["n_steps"] + 1
    return np.column_stack([steps // period, steps % period, rows])


def fill_nwb(shown: Presentations, path: Path, room: IntArray, parts: Iterable[IntArray]) -> None:
    """Write spikes into the room that `write_nwb` has left, without having all in memory.

    Parameters
    ----------
    shown : Presentations
        As for `write_nwb`.
    path : Path
        The file.
    room : ndarray of shape (n_trains,)
        As for `write_nwb`.
    parts : iterable of ndarray of shape (n_spikes, 3)
        Rows (presentation, step, row of units), presentations in order.
    """
    import h5py

    begins = np.cumsum(room) - room
    with h5py.File(path, "r+") as file:
        target = file["units/spike_times"]
        for rows in parts:
            times, counts = _times_by_unit(shown, rows)
            ends = np.cumsum(counts)
            for unit in np.flatnonzero(counts):
                size = counts[unit]
                target[begins[unit] : begins[unit] + size] = times[ends[unit] - size : ends[unit]]
            begins += counts


def _times_by_unit(shown: Presentations, spikes: IntArray) -> tuple[FloatArray, IntArray]:
    """Return spike times, seconds, unit after unit, and how many each unit has."""
    presentation, step, row = spikes.T
    clock = shown.onsets()[presentation] + step + 1
    order = np.lexsort((clock, row))
    return _seconds(shown, clock[order]), np.bincount(row, minlength=len(shown.units))


def _units_table(shown: Presentations, room: IntArray | None) -> Any:
    from hdmf.backends.hdf5 import H5DataIO
    from hdmf.common import VectorData, VectorIndex
    from pynwb.misc import Units

    dt_s = shown.annotations["dt_ms"] / 1000.0
    data: Any
    if room is None:
        data, room = _times_by_unit(shown, shown.spikes)
    else:
        data = H5DataIO(shape=(int(room.sum()),), dtype=np.dtype(np.float64))
    ends = np.cumsum(room)
    times = VectorData(name="spike_times", description="ends of the steps with a spike", data=data)
    period = (shown.onsets()[-1] + sum(shown.steps)) * dt_s if len(shown.samples) else 0.0
    # Neo's NWBIO does not open units without it.
    observed = VectorData(
        name="obs_intervals",
        description="the whole session, gaps included",
        data=np.tile([[0.0, period]], (len(ends), 1)),
    )
    columns: list[Any] = [
        times,
        VectorIndex(name="spike_times_index", target=times, data=ends),
        observed,
        VectorIndex(name="obs_intervals_index", target=observed, data=np.arange(1, len(ends) + 1)),
    ]
    for name, description in _UNIT_COLUMNS.items():
        data = [unit.get(name, np.nan) for unit in shown.units]
        columns.append(VectorData(name=name, description=description, data=data))
    return Units(
        name="units",
        description="Populations of output neurons, and spiking inputs where they were kept",
        columns=columns,
        resolution=dt_s,
    )


def _trials_table(shown: Presentations) -> Any:
    settle, read = shown.steps
    onsets = shown.onsets()
    columns = {
        "sample": ("number of the sample that is shown", list(shown.samples)),
        "read_time": ("after it spikes are read, seconds", _seconds(shown, onsets + settle)),
    }
    if shown.labels is not None:
        columns["label"] = ("label of the sample", list(shown.labels))
    return _intervals(
        "trials", "Presentations of samples", shown, onsets, onsets + settle + read, columns
    )


def _epochs_table(shown: Presentations) -> Any:
    from hdmf.common import VectorData, VectorIndex

    settle, read = shown.steps
    onsets = shown.onsets()
    phases = [("settling", onsets, settle)] * (settle > 0) + [("read", onsets + settle, read)]
    starts = np.column_stack([begin for _, begin, _ in phases]).ravel()
    stops = np.column_stack([begin + length for _, begin, length in phases]).ravel()
    names = [name for name, _, _ in phases] * len(onsets)
    tags = VectorData(name="tags", description="'settling' or 'read'", data=names)
    ends = np.arange(1, len(names) + 1)
    samples = np.repeat(shown.samples, len(phases)).tolist()
    columns = {"sample": ("number of the sample", samples)}
    tagged = (tags, VectorIndex(name="tags_index", target=tags, data=ends))
    return _intervals(
        "epochs", "Phases of each presentation", shown, starts, stops, columns, tagged
    )


def _intervals(
    name: str,
    description: str,
    shown: Presentations,
    starts: IntArray,
    stops: IntArray,
    columns: Mapping[str, tuple[str, Any]],
    more: Sequence[Any] = (),
) -> Any:
    from hdmf.common import VectorData
    from pynwb.epoch import TimeIntervals

    times = {
        "start_time": ("start, seconds", _seconds(shown, starts)),
        "stop_time": ("end, seconds", _seconds(shown, stops)),
    }
    data = [
        VectorData(name=key, description=text, data=values)
        for key, (text, values) in {**times, **columns}.items()
    ]
    return TimeIntervals(name=name, description=description, columns=[*data, *more])


def _seconds(shown: Presentations, steps: IntArray) -> FloatArray:
    return np.asarray(steps * (shown.annotations["dt_ms"] / 1000.0))


def _network_table(shown: Presentations) -> Any:
    from hdmf.common import DynamicTable, VectorData

    columns = [
        VectorData(name=name, description=f"{name} of the run", data=[value])
        for name, value in shown.annotations.items()
    ]
    return DynamicTable(
        name=_NETWORK, description="Parameters of the network and of the run", columns=columns
    )


def _unit_annotations(columns: Mapping[str, Any], row: int) -> dict[str, Any]:
    values = {name: plain(data[row]) for name, data in columns.items()}
    return {name: value for name, value in values.items() if value == value}  # NaN says "none"


def _identifier(shown: Presentations, more: bytes) -> str:
    """Return a name for the content: the same recording, written in the same way, has the same."""
    digest = hashlib.sha256(
        json.dumps([dict(shown.annotations), list(shown.samples), shown.labels]).encode()
    )
    digest.update(np.ascontiguousarray(shown.spikes).tobytes())
    digest.update(more)
    return f"{shown.annotations['package']}-{digest.hexdigest()[:32]}"
