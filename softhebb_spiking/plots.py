"""Pictures of spiking SoftHebb networks: each function draws one thing from plain arrays.

Everything is drawn on Axes or a Figure of the caller's, without pyplot's global state. Draw inside
`matplotlib.rc_context(STYLE)` for the look of the verification report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logsumexp

from softhebb_spiking.params import NetworkParams
from softhebb_spiking.validation import FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# Okabe and Ito's colours, told apart by every kind of colour vision; markers for print.
COLORS: Mapping[str, str] = MappingProxyType(
    {
        "rate": "#333333",
        "event": "#0072B2",
        "lava": "#D55E00",
        "brian2": "#009E73",
        "fixed": "#CC79A7",
    }
)
MARKERS: Mapping[str, str] = MappingProxyType(
    {"rate": "o", "event": "o", "lava": "^", "brian2": "s", "fixed": "D"}
)
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib, so pictures look the same anywhere
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.labelcolor": "#222222",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "svg.fonttype": "path",
    "svg.hashsalt": "softhebb-spiking",
}
_OTHER_RUNG = "#56B4E9", "v"
MAX_COLUMNS = 20
MAX_POINTS = 4000
_INPUT_COLOR = "#777777"
_SETTLING_COLOR = "#EFEFEF"
_REFERENCE_COLOR = "#999999"
_SMALLEST_ERROR = 1e-6  # an error below is one whose square came out negative


def raster(
    figure: Figure | SubFigure,
    input_spikes: IntArray,
    output_spikes: IntArray,
    inhibition: FloatArray,
    log_normalizer: FloatArray,
    params: NetworkParams,
    *,
    rung: str = "event",
) -> None:
    """Draw one presentation from its onset: input spikes, output spikes, inhibition.

    Parameters
    ----------
    figure : Figure or SubFigure
        Gets three Axes with one time axis.
    input_spikes, output_spikes : ndarray of shape (n_spikes, 2)
        Rows (step, index), steps from the onset. The area of a dot is the number of spikes that
        a population emitted in the step.
    inhibition, log_normalizer : ndarray of shape (n_steps,)
        h and log Σ_k exp(u_k/τ + b_k), nats, in the last `n_steps` steps of the presentation.
    params : NetworkParams
        The network.
    rung : str
        Whose colour is used.
    """
    dt = params.dt_ms
    axes = figure.subplots(3, 1, sharex=True, height_ratios=[1.1, 1.3, 1.0])
    marks = {"rasterized": True, "linewidths": 0.0}
    axes[0].scatter(input_spikes[:, 0] * dt, input_spikes[:, 1], s=2.5, color=_INPUT_COLOR, **marks)
    axes[0].set(ylabel="input", ylim=(params.n_features - 0.5, -0.5))
    rows, counts = np.unique(output_spikes, axis=0, return_counts=True)
    areas = counts * min(4.0, 60.0 / counts.max(initial=1))
    axes[1].scatter(rows[:, 0] * dt, rows[:, 1], s=areas, color=_look(rung)[0], **marks)
    axes[1].set(ylabel="population", ylim=(params.n_units - 0.3, -0.7))
    axes[1].locator_params(axis="y", integer=True)
    first = params.presentation_steps - len(inhibition)
    time = dt * np.arange(first, params.presentation_steps)
    axes[2].plot(time, log_normalizer, color=COLORS["rate"], lw=2.6, alpha=0.4)
    axes[2].plot(time, inhibition, color=_look(rung)[0], lw=1.2)
    axes[2].legend(["log Σ exp(u/τ + b), the normaliser", "h, inhibition"], loc="lower right")
    axes[2].set(ylabel="nats", xlabel="time from the onset of the sample (ms)")
    axes[2].set_xlim(-0.5 * dt, (params.presentation_steps + 0.5) * dt)
    for one in axes:
        one.axvspan(-0.5 * dt, (params.settle_steps - 0.5) * dt, color=_SETTLING_COLOR, zorder=-1)
    settled = (params.settle_steps - 0.5) * dt
    for x, text in ((-0.5 * dt, "settling"), (settled, "read and learned from")):
        axes[0].annotate(
            text, (x, 1.0), (2, 3), xycoords=("data", "axes fraction"), textcoords="offset points"
        )
    figure.align_ylabels(axes)


def receptive_fields(
    figure: Figure | SubFigure,
    weights: Mapping[str, FloatArray],
    prior: FloatArray,
    image_shape: tuple[int, int],
) -> None:
    """Draw weights as images, one row for each network, on one grey scale.

    Parameters
    ----------
    figure : Figure or SubFigure
        Gets one Axes for each network and a colour bar.
    weights : mapping of str to ndarray of shape (n_units, n_features)
        By rung; unit k of every network stands in the same column.
    prior : ndarray of shape (n_units,)
        Prior of the units of the first network; columns are ordered by it, the first
        `MAX_COLUMNS` are drawn.
    image_shape : tuple of int
        (height, width).
    """
    order = np.argsort(-prior, kind="stable")[:MAX_COLUMNS]
    shown = {rung: w[order].reshape(-1, *image_shape) for rung, w in weights.items()}
    first = next(iter(shown.values()))
    low = max(-first.max(), min(0.0, *(images.min() for images in shown.values())))
    # Weights that diverged must not darken all others.
    high = min(2.0 * first.max(), max(images.max() for images in shown.values()))
    height, width = image_shape
    gap = max(1, round(width / 12))
    axes = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    for one, (rung, images) in zip(axes, shown.items(), strict=True):
        mosaic = np.full((height, len(images) * (width + gap) - gap), np.nan)
        for column, image in enumerate(images):
            mosaic[:, column * (width + gap) :][:, :width] = image
        picture = one.imshow(mosaic, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        one.set_ylabel(
            rung, rotation=0, ha="right", va="center", color=_look(rung)[0], weight="bold"
        )
        one.set(xticks=[], yticks=[])
        one.spines[:].set_visible(False)
    axes[0].xaxis.tick_top()
    axes[0].set_xticks(np.arange(len(order)) * (width + gap) + (width - 1) / 2)
    axes[0].set_xticklabels([f"{100 * share:.1f}" for share in prior[order]])
    axes[0].tick_params(length=0)
    axes[0].set_title("prior exp(b) of the unit, %", pad=4)
    bar = figure.colorbar(picture, ax=list(axes), shrink=0.9, aspect=4 + 6 * len(shown), pad=0.01)
    bar.set_label("weight")


def posterior_scatter(
    axes: Axes, expected: FloatArray, measured: FloatArray, *, rung: str, title: str = ""
) -> None:
    """Draw spike-count posteriors against softmax posteriors, with the identity line.

    Parameters
    ----------
    axes : Axes
        Where to draw.
    expected, measured : ndarray of shape (n_samples, n_units)
        Softmax and spike-count posteriors.
    rung : str
        Whose colour is used.
    title : str
        What stands above.
    """
    axes.plot([0, 1], [0, 1], color=_REFERENCE_COLOR, lw=1.0, zorder=0)
    _points(axes, expected, measured, rung)
    ticks = np.linspace(0, 1, 6)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", xticks=ticks, yticks=ticks)
    axes.set(xlabel="softmax posterior of the rate network", ylabel="share of output spikes")
    axes.set_title(title)


def update_regression(
    axes: Axes,
    target: FloatArray,
    measured: FloatArray,
    *,
    slope: float,
    rung: str,
    title: str = "",
) -> None:
    """Draw mean weight changes against those of the rate rule, synapse by synapse.

    Parameters
    ----------
    axes : Axes
        Where to draw; at most `MAX_POINTS` synapses are drawn, the same ones every time.
    target, measured : ndarray of shape (n_units, n_features)
        Mean Δw / η of the rate rule and of the spiking network, per presentation.
    slope : float
        Of the regression through the origin.
    rung : str
        Whose colour is used.
    title : str
        What stands above.
    """
    chosen = np.random.default_rng(0).permutation(target.size)[:MAX_POINTS]
    _points(axes, target.ravel()[chosen], measured.ravel()[chosen], rung)
    ends = 1.08 * np.array([min(target.min(), measured.min()), max(target.max(), measured.max())])
    axes.plot(ends, ends, color=_REFERENCE_COLOR, lw=4.0, alpha=0.5, label="identity", zorder=0)
    axes.plot(ends, slope * ends, color="black", lw=1.0, label=f"slope {slope:.3f}")
    axes.legend(loc="upper left")
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    axes.locator_params(nbins=5)
    axes.set(xlabel="y (x − u w) of the rate network", ylabel="mean Δw / η of the spiking network")
    axes.set_title(title)


def _look(rung: str) -> tuple[str, str]:
    """Return colour and marker of a rung."""
    return COLORS.get(rung, _OTHER_RUNG[0]), MARKERS.get(rung, _OTHER_RUNG[1])


def _points(axes: Axes, x: FloatArray, y: FloatArray, rung: str) -> None:
    color, marker = _look(rung)
    axes.scatter(x, y, s=11, marker=marker, color=color, alpha=0.5, linewidths=0, rasterized=True)


def convergence(
    axes: Axes, spikes_per_psp: FloatArray, errors: FloatArray, *, order: float, rung: str
) -> None:
    """Draw the relative error of the mean update against p_max·τ_psp, with two orders.

    Parameters
    ----------
    axes : Axes
        Where to draw; both scales become logarithmic.
    spikes_per_psp, errors : ndarray of shape (n_settings,)
        p_max·τ_psp/dt, and relative errors; those lost in sampling noise are marked at the edge.
    order : float
        Fitted slope of log error against log p_max·τ_psp.
    rung : str
        Whose colour is used.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    told = errors > _SMALLEST_ERROR
    kept, load = (errors[told], spikes_per_psp[told]) if told.any() else np.ones((2, 1))
    x = spikes_per_psp / np.exp(np.log(load).mean())
    middle, (color, marker) = np.exp(np.log(kept).mean()), _look(rung)
    axes.loglog(spikes_per_psp, middle / x, "--", color=_REFERENCE_COLOR, label="order −1 (theory)")
    if told.all():
        fitted = f"{rung}, fitted order {order:.2f}".replace("-", "−")
        axes.loglog(spikes_per_psp, middle * x**order, lw=1.0, color=color, label=fitted)
    else:
        lost: dict[str, Any] = {
            "color": color,
            "mfc": "none",
            "label": f"{rung}, lost in sampling noise",
        }
        at = np.full((~told).sum(), 0.03)
        axes.plot(spikes_per_psp[~told], at, "v", transform=axes.get_xaxis_transform(), **lost)
    axes.loglog(spikes_per_psp[told], errors[told], marker, color=color, ms=7)
    axes.set_ylim(min(kept.min(), middle / x.max()) / 1.3, 1.3 * max(kept.max(), middle / x.min()))
    axes.legend(loc="upper right")
    axes.set_xticks(spikes_per_psp, [f"{value:g}" for value in spikes_per_psp])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{error:.3g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="p_max · τ_psp / dt (spikes of the strongest input in one PSP)")
    axes.set(ylabel="‖mean Δw − rate rule‖ / ‖rate rule‖")


def budget(axes: Axes, names: Sequence[str], values: Sequence[float], *, title: str) -> None:
    """Draw one measure of the error budget, a row for each rounding, from the top down.

    Parameters
    ----------
    axes : Axes
        Where.
    names : sequence of str
        The rows; those with "rung" are the engines themselves.
    values : sequence of float
        The measure in each row.
    title : str
        What is measured.
    """
    rows = np.arange(len(names))
    axes.axvline(values[0], color=_REFERENCE_COLOR, linewidth=0.8, linestyle="--")
    axes.plot(values, rows, color=COLORS["fixed"], linewidth=0.8)
    for row, (name, value) in enumerate(zip(names, values, strict=True)):
        rung = "fixed" if row else "event"
        filled = row == 0 or "rung" in name
        axes.plot(
            value,
            row,
            MARKERS[rung],
            color=COLORS[rung],
            markersize=5,
            markerfacecolor=COLORS[rung] if filled else "white",
        )
    axes.set_yticks(rows, names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.margins(x=0.15)
    axes.locator_params(axis="x", nbins=4)
    axes.set_title(title)


def likelihood(
    axes: Axes,
    curves: Mapping[str, tuple[IntArray, FloatArray]],
    end_points: Mapping[str, tuple[int, float]],
) -> None:
    """Draw held-out cross-entropy against the samples shown so far.

    Parameters
    ----------
    axes : Axes
        Where to draw.
    curves : mapping of str to (samples shown, cross-entropy)
        By rung, nats per sample.
    end_points : mapping of str to (samples shown, cross-entropy)
        By rung, for those that were only seen at the end.
    """
    for rung, (shown, values) in curves.items():
        reference = rung == "rate"
        style = {"lw": 4.0, "alpha": 0.35} if reference else {"marker": _look(rung)[1], "ms": 4}
        axes.plot(shown, values, color=_look(rung)[0], label=rung, **style)
    for rung, (n_shown, value) in end_points.items():
        color, marker = _look(rung)
        look: dict[str, Any] = {"color": color, "ms": 8, "mfc": "none", "mew": 1.8, "zorder": 5}
        axes.plot(n_shown, value, marker, label=f"{rung}, at the end", clip_on=False, **look)
    axes.legend(loc="upper right")
    axes.ticklabel_format(useOffset=False)
    axes.set(xlabel="samples shown", ylabel="held-out cross-entropy (nats per sample)")


def demo_figure(model: Any, data: Any) -> Figure:
    """Return a picture of what a spiking network learned and how it answers one sample.

    Parameters
    ----------
    model : SpikingSoftHebb
        Fitted.
    data : Dataset
        What it was fitted to; its first test sample is shown.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11.0, 7.5), dpi=150, layout="constrained")
        parts: Any = figure.subfigures(2, 1, height_ratios=[0.7, 4.0])
        fields = {model.backend: model.weights_}
        receptive_fields(parts[0], fields, np.exp(model.log_prior_), data.image_shape)
        shown = model.record(data.X_test[:1], probes=("drive", "inhibition"))
        x = shown.drive[0] / model.temperature + model.log_prior_
        normalizer = logsumexp(x, axis=1)
        spikes = (shown.input_spikes[:, 1:], shown.output_spikes[:, 1:])
        raster(parts[1], *spikes, shown.inhibition[0], normalizer, shown.params, rung=model.backend)
    return figure


def core_map_figure(plan: Any) -> Figure:
    """Return a figure of the cores that a plan needs, one small square each, chip by chip.

    Parameters
    ----------
    plan : Plan
        From `softhebb_spiking.deployment.plan`.

    Returns
    -------
    Figure
        Colour is the population, depth of colour how full the core is by its scarcest resource.
    """
    import matplotlib
    from matplotlib.figure import Figure

    n_shown = min(plan.n_chips, _MAX_CHIPS_SHOWN)
    columns = min(n_shown, 4)
    rows = -(-n_shown // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.2 + 2.4 * max(columns, 2), 1.3 + 1.4 * rows), dpi=150)
        figure.set_layout_engine("constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for number, axes in enumerate(grid.flat):
            if number < n_shown:
                _core_map(axes, plan, number)
            else:
                axes.set_axis_off()
        names = list(dict.fromkeys(core.population for core in plan.cores))
        handles = [
            matplotlib.patches.Patch(color=_POPULATION_COLORS[i % len(_POPULATION_COLORS)])
            for i in range(len(names))
        ]
        figure.legend(handles, names, loc="outside lower center", ncols=len(names))
        more = f" (the first {n_shown} shown)" if n_shown < plan.n_chips else ""
        verdict = "" if not plan.violations else ", does not fit"
        figure.suptitle(
            f"{plan.chip.name}: {len(plan.cores)} cores; chips: {plan.n_chips}{more}{verdict}\n"
            "the darker, the fuller",
            fontsize=9.5,
        )
    return figure


_MAX_CHIPS_SHOWN = 16
_CORES_PER_ROW = 16
_EMPTY_CORE = "#F2F2F2"
_POPULATION_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def _core_map(axes: Axes, plan: Any, number: int) -> None:
    """Draw the cores of one chip."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    per_chip = int(plan.chip.limit("cores_per_chip"))
    names = list(dict.fromkeys(core.population for core in plan.cores))
    limits = {name: size["limit"] for name, size in plan.usage().items()}
    cores = plan.cores[number * per_chip : (number + 1) * per_chip]
    for place in range(per_chip):
        y, x = divmod(place, _CORES_PER_ROW)
        color: Any = _EMPTY_CORE
        over = False
        if place < len(cores):
            core = cores[place]
            fill = max(core.used[name] / limit for name, limit in limits.items())
            over = fill > 1.0
            full = np.array(to_rgb(_POPULATION_COLORS[names.index(core.population) % 4]))
            share = 0.25 + 0.75 * min(fill, 1.0)
            color = tuple(1.0 - share * (1.0 - full))
        edge = "#B00020" if over else "white"
        axes.add_patch(Rectangle((x, y), 1, 1, facecolor=color, edgecolor=edge, linewidth=0.8))
    axes.set(xlim=(0, _CORES_PER_ROW), ylim=(-(-per_chip // _CORES_PER_ROW), 0), aspect="equal")
    axes.set_axis_off()
    axes.set_title(f"chip {number + 1}")
