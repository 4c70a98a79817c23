"""What a network does while samples are shown, spike by spike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logsumexp

from softhebb_spiking.plots.presentations import (
    chosen,
    in_sequence,
    joined,
    name_windows,
    time_axis,
    windows,
)
from softhebb_spiking.plots.style import COLORS, INPUT_COLOR, as_array, canvas, look, split
from softhebb_spiking.recording import Recording
from softhebb_spiking.validation import IntArray, check_choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORDERS = ("index", "prior", "activity")
_MAX_NAMED_ROWS = 30


def raster(
    recording: Recording,
    *,
    samples: Sequence[int] | None = None,
    order: str = "index",
    inputs: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw presentations one after the other: input spikes, output spikes, inhibition.

    Output spikes stand in the main part, one dot for each population and step, whose area is the
    number of spikes. Above are input spikes; below, if probed, inhibition h and, if `drive` was
    probed as well, the normaliser log Σ_k exp(u_k/τ + b_k) that it should follow (with the log
    prior at the end of the recording). Settling is shaded.

    Parameters
    ----------
    recording : Recording
        What happened. Probes may cover the steps that are read or whole presentations.
    samples : sequence of int, optional
        Which samples of the recording, in this order; all by default.
    order : {"index", "prior", "activity"}
        What populations are sorted by; the largest prior or most spikes on top.
    inputs : bool
        Whether input spikes are drawn.
    ax : Axes, optional
        Where to draw; its place is divided.

    Returns
    -------
    Axes
        Those of the output spikes; time in milliseconds.

    Raises
    ------
    ValueError
        If a sample is not in the recording, `order` is not known, or probes do not fit.
    """
    check_choice("order", order, ORDERS)
    params, shown = recording.params, chosen(recording, samples)
    heights = {"input": 1.125} if inputs else {}
    heights["population"] = 1.375
    if recording.inhibition is not None:
        heights["inhibition"] = 1.0
    width = min(11.0, max(7.2, 2.4 * len(shown)))
    with canvas(ax, width, 0.6 + 1.6 * sum(heights.values())) as axes:
        rows = split(axes, "population", heights)
        _output_dots(axes, recording, shown, order)
        if inputs:
            _input_dots(rows["input"], recording, shown)
        if recording.inhibition is not None:
            _inhibition(rows["inhibition"], recording, shown)
        for one in rows.values():
            windows(one, params, len(shown))
        name_windows(next(iter(rows.values())), params, shown)
        axes.figure.align_ylabels(list(rows.values()))
        time_axis(list(rows.values())[-1], params, len(shown))
    return axes


def _order(recording: Recording, spikes: IntArray, order: str) -> IntArray:
    """Return units from the top down."""
    n_units = recording.params.n_units
    keys = {
        "index": np.zeros(n_units),
        "prior": -recording.log_prior,
        "activity": -np.bincount(spikes[:, 1], minlength=n_units),
    }
    return np.argsort(keys[order], kind="stable")


def _output_dots(axes: Axes, recording: Recording, shown: IntArray, order: str) -> None:
    params = recording.params
    spikes = in_sequence(recording.output_spikes, recording, shown)
    units = _order(recording, spikes, order)
    rank = np.argsort(units)
    rows, counts = np.unique(spikes, axis=0, return_counts=True)
    # Steps are the narrower the more samples are shown.
    areas = counts * min(4.0, 60.0 / counts.max(initial=1)) / np.sqrt(len(shown))
    color = look(recording.backend)[0]
    time_ms = rows[:, 0] * params.dt_ms
    axes.scatter(time_ms, rank[rows[:, 1]], s=areas, color=color, linewidths=0.0, rasterized=True)
    axes.set(ylim=(params.n_units - 0.3, -0.7))
    if order == "index":
        axes.set_ylabel("population")
        axes.locator_params(axis="y", integer=True)
    elif params.n_units <= _MAX_NAMED_ROWS:
        axes.set_yticks(range(params.n_units), [str(unit) for unit in units], fontsize=6.0)
        axes.set_ylabel(f"population, by {order}")
    else:
        axes.set_ylabel(f"rank of population by {order}")


def _input_dots(axes: Axes, recording: Recording, shown: IntArray) -> None:
    params = recording.params
    spikes = in_sequence(recording.input_spikes, recording, shown)
    marks: dict[str, Any] = {"s": 2.5, "color": INPUT_COLOR, "linewidths": 0.0, "rasterized": True}
    axes.scatter(spikes[:, 0] * params.dt_ms, spikes[:, 1], **marks)
    axes.set(ylabel="input", ylim=(params.n_features - 0.5, -0.5))


def _inhibition(axes: Axes, recording: Recording, shown: IntArray) -> None:
    params = recording.params
    n_samples = len(recording.spike_counts)
    h = as_array("recording.inhibition", recording.inhibition, (n_samples, "n_steps"))
    if recording.drive is not None:
        shape = (*h.shape, params.n_units)
        u = as_array("recording.drive", recording.drive, shape)[shown]
        normalizer = np.asarray(logsumexp(u / params.temperature + recording.log_prior, axis=2))
        label = "log Σ exp(u/τ + b), the normaliser"
        style: dict[str, Any] = {"color": COLORS["rate"], "lw": 2.6, "alpha": 0.4}
        axes.plot(*joined(normalizer, params), label=label, **style)
    color = look(recording.backend)[0]
    axes.plot(*joined(h[shown], params), color=color, lw=1.2, label="h, inhibition")
    place: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 0.97)}
    axes.legend(ncols=2, borderpad=0.0, **place)  # above, for lines may be anywhere
    axes.set_ylabel("inhibition (nats)")
