"""What is written down of a presentation on the event rung, in floating point and in integers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking._compiled import kernel
from softhebb_spiking.validation import IntArray


class Record(NamedTuple):
    """Where one sample's spikes and probes go; empty arrays are not filled."""

    wanted: bool
    input_starts: IntArray
    inputs: IntArray
    output_counts: IntArray
    drive: NDArray[Any]  # probes have the numbers of the engine: float64 or int64
    inhibition: NDArray[Any]
    psp: NDArray[Any]


def nothing_recorded(dtype: type[np.generic]) -> Record:
    """Return a record that keeps nothing, of an engine whose probes have this type."""
    return Record(
        wanted=False,
        input_starts=np.empty(0, np.int64),
        inputs=np.empty(0, np.int64),
        output_counts=np.empty((0, 0), np.int64),
        drive=np.empty((0, 0), dtype),
        inhibition=np.empty(0, dtype),
        psp=np.empty((0, 0), dtype),
    )


@kernel()
def record_inputs(record, inputs, n_fired, step):  # type: ignore[no-untyped-def]
    """Write down the input spikes of a step, if they are wanted."""
    if record.input_starts.size:
        start = record.input_starts[step]
        for j in range(n_fired):
            record.inputs[start + j] = inputs.rows[j]
        record.input_starts[step + 1] = start + n_fired


@kernel()
def record_outputs(record, spikes, n_events, step):  # type: ignore[no-untyped-def]
    """Write down the output spikes of a step, if they are wanted."""
    if record.output_counts.size:
        for event in range(n_events):
            record.output_counts[step, spikes.units[event]] = spikes.counts[event]
