"""Rates of populations against time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.signal import lfilter

from softhebb_spiking.params import NetworkParams
from softhebb_spiking.plots.presentations import (
    chosen,
    in_sequence,
    joined,
    name_windows,
    time_axis,
    windows,
)
from softhebb_spiking.plots.style import canvas
from softhebb_spiking.recording import Recording
from softhebb_spiking.validation import (
    FloatArray,
    IntArray,
    check_choice,
    check_integer,
    check_real,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMOOTHINGS = ("psp", "window")
_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
_LINE_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#333333")


def population_rates(
    recording: Recording,
    *,
    samples: Sequence[int] | None = None,
    smoothing: str = "psp",
    window_ms: float = 10.0,
    n_named: int = 5,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean rate of a neuron of each population against time.

    Parameters
    ----------
    recording : Recording
        What happened.
    samples : sequence of int, optional
        Which samples of the recording, one after the other; all by default.
    smoothing : {"psp", "window"}
        Weigh the steps since the onset of a sample as a PSP does, by exp(−t/psp_tau_ms), or those
        of the last `window_ms` equally.
    window_ms : float
        Milliseconds.
    n_named : int
        So many populations, those with most spikes, have lines and names of their own; at most 5.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Time in milliseconds, rates in hertz.

    Raises
    ------
    ValueError
        If a sample is not in the recording, or an option is out of range.
    """
    check_choice("smoothing", smoothing, SMOOTHINGS)
    check_real("window_ms", window_ms, 0.0, low_open=True)
    check_integer("n_named", n_named, 0, len(_LINES))
    params, shown = recording.params, chosen(recording, samples)
    steps = np.arange(params.presentation_steps)
    decaying = np.exp(-steps * params.dt_ms / params.psp_tau_ms)
    kernel = decaying if smoothing == "psp" else 1.0 * (steps * params.dt_ms < window_ms)
    counts = _counts(recording, shown)
    rates = smoothed_rates(counts, kernel, params)
    by_activity = np.argsort(-counts.sum(axis=(0, 1)), kind="stable")
    with canvas(ax, min(11.0, max(7.2, 2.4 * len(shown))), 3.0) as axes:
        for unit in by_activity[n_named:][::-1]:
            axes.plot(*joined(rates[:, :, unit], params), color="#C8C8C8", lw=0.6, zorder=1)
        for rank, unit in enumerate(by_activity[:n_named]):
            style: dict[str, Any] = {"color": _LINE_COLORS[rank], "ls": _LINES[rank]}
            axes.plot(*joined(rates[:, :, unit], params), label=f"unit {unit}", **style)
        windows(axes, params, len(shown))
        name_windows(axes, params, shown)
        time_axis(axes, params, len(shown))
        axes.set_ylim(bottom=0.0)
        axes.set_ylabel("rate of a neuron (Hz)")
        if n_named:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return axes


def smoothed_rates(counts: IntArray, kernel: FloatArray, params: NetworkParams) -> FloatArray:
    """Return Σ_i κ_i n(j − i) / (M dt Σ_i κ_i), sums over the steps since onset, in hertz.

    Parameters
    ----------
    counts : ndarray of shape (n_samples, n_steps, n_units)
        n, spikes of a population in a step.
    kernel : ndarray of shape (n_steps,)
        κ, the weight of a step by its age.
    params : NetworkParams
        M neurons in each population, steps of dt.

    Returns
    -------
    ndarray of shape (n_samples, n_steps, n_units)
        Mean rate of a neuron; without bias from the onset on if the rate is constant.
    """
    weighted = lfilter(kernel, 1.0, counts, axis=1) / np.cumsum(kernel)[:, np.newaxis]
    return np.asarray(1000.0 * weighted / (params.population_size * params.dt_ms))


def _counts(recording: Recording, shown: IntArray) -> IntArray:
    """Return spikes by sample, step and unit."""
    params = recording.params
    counts = np.zeros((len(shown) * params.presentation_steps, params.n_units), np.int64)
    np.add.at(counts, tuple(in_sequence(recording.output_spikes, recording, shown).T), 1)
    return counts.reshape(len(shown), params.presentation_steps, params.n_units)
