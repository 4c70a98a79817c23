"""Recordings as Neo blocks, and blocks as arrays.

`Presentations` is what a block of a recording says, in arrays: from it Neo objects are made and, by
`_nwb`, files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from softhebb_spiking import __version__
from softhebb_spiking.validation import FloatArray, IntArray

if TYPE_CHECKING:
    import neo

    from softhebb_spiking.recording import Recording

PACKAGE = "softhebb-spiking"
UNIT_KEYS = ("kind", "index", "population_size", "prior", "temperature")
_LARGEST_ROUNDING = 1e-6  # of a step


@dataclass(frozen=True, kw_only=True)
class Presentations:
    """What a block of a recording says, in arrays.

    Parameters
    ----------
    annotations : mapping
        Of the block: parameters of the network, backend, seed, version.
    units : sequence of mapping
        Annotations of each spike train of a presentation, in order.
    samples : sequence of int
        Number of each sample.
    labels : sequence or None
        Label of each sample.
    spikes : ndarray of shape (n_spikes, 3)
        Rows (presentation, step, row of `units`).
    """

    annotations: Mapping[str, Any]
    units: Sequence[Mapping[str, Any]]
    samples: Sequence[int]
    labels: Sequence[Any] | None
    spikes: IntArray

    @property
    def steps(self) -> tuple[int, int]:
        """Steps of a presentation before it is read, and in which it is read."""
        return int(self.annotations["settle_steps"]), int(self.annotations["n_steps"])

    def onsets(self) -> IntArray:
        """Return the step of the file's clock at which each presentation starts."""
        return np.arange(len(self.samples)) * (sum(self.steps) + 1)


def block_of(
    recording: Recording,
    *,
    labels: Iterable[Any] | None = None,
    inputs: bool = True,
    first_sample: int = 0,
) -> neo.Block:
    """Return a recording as a Neo block; see `Recording.to_neo`."""
    require("neo")
    samples = range(first_sample, first_sample + len(recording.spike_counts))
    spikes = spikes_of_trains(recording, inputs)
    return as_block(presentations(recording, samples, labels, inputs, spikes))


def presentations(
    recording: Recording,
    samples: Sequence[int],
    labels: Iterable[Any] | None,
    inputs: bool,
    spikes: IntArray,
) -> Presentations:
    """Return what a block will say, given the numbers of the samples and the spikes.

    Raises
    ------
    ValueError
        If there is not one label for each sample.
    """
    return Presentations(
        annotations=_block_annotations(recording),
        units=_train_annotations(recording, inputs),
        samples=samples,
        labels=_checked_labels(labels, len(samples)),
        spikes=spikes,
    )


def as_block(shown: Presentations) -> neo.Block:
    import neo

    notes = shown.annotations
    block = neo.Block(name=f"{PACKAGE}, {notes['backend']}", **notes)
    presentation, step, row = shown.spikes.T
    order = np.lexsort((step, row, presentation))
    times = (step[order] + 1) * float(notes["dt_ms"])
    # Each train is a slice: the number of its first spike, by presentation and unit.
    n_units = len(shown.units)
    numbers = presentation[order] * n_units + row[order]
    bounds = np.searchsorted(numbers, np.arange(len(shown.samples) * n_units + 1))
    for place, sample in enumerate(shown.samples):
        segment = neo.Segment(name=f"sample {sample}", index=int(sample), sample=int(sample))
        if shown.labels is not None:
            segment.annotate(label=shown.labels[place])
        segment.epochs.append(_stimulus(shown))
        first = place * n_units
        segment.spiketrains.extend(_trains(shown, times, bounds[first : first + n_units + 1]))
        block.segments.append(segment)
    return block


def as_presentations(block: neo.Block) -> Presentations:
    """Return what a block says; the inverse of `as_block`."""
    segments, notes = block.segments, block.annotations
    if notes.get("package") != PACKAGE or not {"dt_ms", "settle_steps", "n_steps"} <= set(notes):
        raise ValueError(
            f"the block {block.name!r} is no recording of this package: it lacks annotations of "
            "the network. Pass what Recording.to_neo returned."
        )
    trains = segments[0].spiketrains if segments else []
    units = [{key: t.annotations[key] for key in UNIT_KEYS if key in t.annotations} for t in trains]
    if any(len(segment.spiketrains) != len(units) for segment in segments):
        raise ValueError("all segments of a recording must have the same spike trains.")
    labels = [segment.annotations.get("label") for segment in segments]
    return Presentations(
        annotations={name: value for name, value in notes.items() if name != "nix_name"},
        units=units,
        samples=[int(segment.annotations["sample"]) for segment in segments],
        labels=None if None in labels else labels,
        spikes=_spikes_of(segments, float(notes["dt_ms"])),
    )


def _block_annotations(recording: Recording) -> dict[str, Any]:
    params = {name: plain(value) for name, value in asdict(recording.params).items()}
    run = {"backend": recording.backend, "seed": recording.seed}
    return {"package": PACKAGE, "version": __version__, **run, **params}


def _train_annotations(recording: Recording, inputs: bool) -> list[dict[str, Any]]:
    net = recording.params
    units: list[dict[str, Any]] = [
        {
            "kind": "unit",
            "index": unit,
            "population_size": int(net.population_size),
            "prior": float(np.exp(log_prior)),
            "temperature": float(net.temperature),
        }
        for unit, log_prior in enumerate(recording.log_prior)
    ]
    if inputs:
        units += [
            {"kind": "input", "index": index, "population_size": 1}
            for index in range(net.n_features)
        ]
    return units


def _checked_labels(labels: Iterable[Any] | None, n_samples: int) -> list[Any] | None:
    if labels is None:
        return None
    listed = [plain(label) for label in labels]
    if len(listed) != n_samples:
        raise ValueError(
            f"labels must have one entry for each of the {n_samples} samples, got {len(listed)}."
        )
    return listed


def spikes_of_trains(recording: Recording, inputs: bool) -> IntArray:
    """Return rows (sample, step, spike train), inputs numbered after the units."""
    if not inputs:
        return recording.output_spikes
    shift = np.array([0, 0, recording.params.n_units])
    return np.concatenate([recording.output_spikes, recording.input_spikes + shift])


def _stimulus(shown: Presentations) -> Any:
    import neo

    settle, read = shown.steps
    dt_ms = float(shown.annotations["dt_ms"])
    phases = [("settling", 0, settle)] * (settle > 0) + [("read", settle, read)]
    return neo.Epoch(
        times=np.array([begin for _, begin, _ in phases]) * dt_ms,
        durations=np.array([length for _, _, length in phases]) * dt_ms,
        labels=np.array([name for name, _, _ in phases]),
        units="ms",
        name="stimulus",
    )


def _trains(shown: Presentations, times: FloatArray, bounds: IntArray) -> list[Any]:
    import neo
    import quantities

    dt_ms = float(shown.annotations["dt_ms"])
    frame = {
        "t_start": 0.0 * quantities.ms,
        "t_stop": sum(shown.steps) * dt_ms * quantities.ms,
        "sampling_rate": 1.0 / (dt_ms * quantities.ms),
    }
    return [
        neo.SpikeTrain(
            times[bounds[row] : bounds[row + 1]],
            units=quantities.ms,  # read once; a string would be parsed for each train
            name=f"{unit['kind']} {unit['index']}",
            **frame,
            **unit,
        )
        for row, unit in enumerate(shown.units)
    ]


def _spikes_of(segments: Sequence[Any], dt_ms: float) -> IntArray:
    trains = [train for segment in segments for train in segment.spiketrains]
    if not trains:
        return np.empty((0, 3), np.int64)
    ends = np.concatenate([train.magnitude for train in trains]) / dt_ms
    steps = np.rint(ends).astype(np.int64) - 1
    if len(ends) and np.abs(ends - 1 - steps).max() > _LARGEST_ROUNDING:
        raise ValueError(f"spikes of a recording lie on multiples of dt_ms={dt_ms:g}, in ms.")
    numbers = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    n_units = len(trains) // len(segments)
    return np.column_stack([numbers // n_units, steps, numbers % n_units])


def require(*packages: str) -> None:
    for package in packages:
        try:
            __import__(package)
        except ImportError as error:
            raise ImportError(
                f'this needs {package}: pip install "softhebb-spiking[neuro]"'
            ) from error


def plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
