"""What the models of a presentation share: where in it a step is, given spikes, and records.

A presentation takes `presentation_steps` Lava steps and one more, the reset step: the encoder is
silent, the last update of the log prior is made, and dendrites, traces and inhibition return to 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking.params import NetworkParams
from softhebb_spiking.validation import IntArray


def lava_steps(params: NetworkParams, n_samples: int) -> int:
    """Return how many Lava steps the presentation of `n_samples` samples takes."""
    return n_samples * (params.presentation_steps + 1)


def presentation_position(time_step: int, params: NetworkParams) -> tuple[int, int]:
    """Return sample and step of a Lava time step, which Lava counts from 1.

    Parameters
    ----------
    time_step : int
        Lava's count of steps, at least 1.
    params : NetworkParams
        Gives the number of steps of a presentation.

    Returns
    -------
    sample, step : int
        Both counted from 0; step `params.presentation_steps` is the reset step.
    """
    return divmod(time_step - 1, params.presentation_steps + 1)


class SpikeTable:
    """Given spikes, looked up by sample and step.

    Parameters
    ----------
    rows : ndarray of shape (n_spikes, 3)
        Rows (sample, step, index).
    n_indices : int
        How many sources there are.
    n_steps : int
        Steps of a presentation.
    """

    def __init__(self, rows: IntArray, n_indices: int, n_steps: int) -> None:
        keys = rows[:, 0] * n_steps + rows[:, 1]
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        self._indices = rows[order, 2]
        self._n_indices = n_indices
        self._n_steps = n_steps

    def counts(self, sample: int, step: int) -> NDArray[np.int32]:
        """Return how often each source spikes in this step, shape (n_indices,)."""
        key = sample * self._n_steps + step
        first, last = np.searchsorted(self._keys, [key, key + 1])
        counts = np.bincount(self._indices[first:last], minlength=self._n_indices)
        return counts.astype(np.int32)


class StepRecorder:
    """Rows that a model collects and writes out at the end of each presentation.

    Lava hands the elements of a Var over one by one, about 50 µs each; a file is quicker, and needs
    no agreement about when a run ends.

    Parameters
    ----------
    directory : str or None
        Where to write; None records nothing.
    name : str
        File name without extension.
    dtype : numpy type
        Of the numbers, written in sequence without a header.
    """

    def __init__(self, directory: str | None, name: str, dtype: Any = np.float64) -> None:
        self._path = None if directory is None else Path(directory, f"{name}.bin")
        self._dtype = dtype
        self._rows: list[NDArray[Any]] = []

    def append(self, row: Any) -> None:
        """Collect a copy of the numbers in `row`."""
        if self._path is not None:
            self._rows.append(np.array(row, self._dtype).ravel())

    def flush(self) -> None:
        """Append what was collected to the file."""
        if self._path is not None:
            with self._path.open("ab") as file:
                for row in self._rows:
                    file.write(row.tobytes())
            self._rows.clear()
