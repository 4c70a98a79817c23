"""What pictures against time have in common: presentations of samples, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from softhebb_spiking.params import NetworkParams
from softhebb_spiking.plots.style import REFERENCE_COLOR, SETTLING_COLOR
from softhebb_spiking.recording import Recording
from softhebb_spiking.validation import FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def chosen(recording: Recording, samples: Sequence[int] | None) -> IntArray:
    """Return the samples that are shown."""
    n_samples = len(recording.spike_counts)
    if samples is None:
        return np.arange(n_samples)
    shown = np.asarray(samples, dtype=np.int64)
    distinct = shown.ndim == 1 and 0 < len(np.unique(shown)) == len(shown)
    if not distinct or shown.min() < 0 or shown.max() >= n_samples:
        raise ValueError(
            f"samples must be different numbers in [0, {n_samples - 1}], samples of the recording; "
            f"got {samples!r}."
        )
    return shown


def in_sequence(spikes: IntArray, recording: Recording, shown: IntArray) -> IntArray:
    """Return rows (step since the first onset, index) of the samples that are shown."""
    place = np.full(len(recording.spike_counts), -1)
    place[shown] = np.arange(len(shown))
    place_of = place[spikes[:, 0]]
    steps = place_of * recording.params.presentation_steps + spikes[:, 1]
    return np.asarray(np.column_stack((steps, spikes[:, 2]))[place_of >= 0])


def joined(rows: FloatArray, params: NetworkParams) -> tuple[FloatArray, FloatArray]:
    """Return times in ms and ordinates of one line with a gap between samples.

    `rows` has shape (n_samples, n), n the last steps of each presentation.
    """
    n_samples, n = rows.shape
    onsets = params.presentation_steps * np.arange(n_samples)[:, np.newaxis]
    steps = onsets + np.arange(params.presentation_steps - n, params.presentation_steps + 1)
    gap = np.full((n_samples, 1), np.nan)
    return params.dt_ms * steps.ravel(), np.hstack((rows, gap)).ravel()


def windows(axes: Axes, params: NetworkParams, n_samples: int) -> None:
    """Shade settling, and mark the onsets of all samples but the first."""
    for sample in range(n_samples):
        onset = (sample * params.presentation_steps - 0.5) * params.dt_ms
        if params.settle_steps:
            settled = onset + params.settle_steps * params.dt_ms
            axes.axvspan(onset, settled, color=SETTLING_COLOR, lw=0.0, zorder=-1)
        if sample:
            axes.axvline(onset, color=REFERENCE_COLOR, lw=0.7, zorder=0)


def name_windows(axes: Axes, params: NetworkParams, shown: IntArray) -> None:
    """Write above what each window is."""
    onsets = (np.arange(len(shown)) * params.presentation_steps - 0.5) * params.dt_ms
    names = {float(x): f"sample {i}" for x, i in zip(onsets, shown, strict=True)}
    if len(shown) == 1:
        settled = (params.settle_steps - 0.5) * params.dt_ms
        names = {-0.5 * params.dt_ms: "settling", settled: "read"}
    for x, text in names.items():
        axes.annotate(
            text, (x, 1.0), (2, 3), xycoords=("data", "axes fraction"), textcoords="offset points"
        )


def time_axis(axes: Axes, params: NetworkParams, n_samples: int) -> None:
    """Let the abscissa cover all presentations."""
    steps = n_samples * params.presentation_steps
    axes.set_xlim(-0.5 * params.dt_ms, (steps - 0.5) * params.dt_ms)
    of = "the sample" if n_samples == 1 else "the first sample"
    axes.set_xlabel(f"time from the onset of {of} (ms)")
