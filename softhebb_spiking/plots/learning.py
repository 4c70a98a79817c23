"""How well spikes learn: updates against the rate rule, orders of errors, likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from softhebb_spiking.plots.style import REFERENCE_COLOR, as_array, canvas, look
from softhebb_spiking.validation import FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_POINTS = 4000
_SMALLEST_ERROR = 1e-6  # an error below is one whose square came out negative


def update_regression(
    target: FloatArray,
    measured: FloatArray,
    *,
    slope: float,
    rung: str = "event",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw mean weight changes against those of the rate rule, synapse by synapse.

    Parameters
    ----------
    target, measured : ndarray of shape (n_units, n_features)
        Mean Δw / η of the rate rule and of the spiking network, per presentation; at most
        `MAX_POINTS` synapses are drawn, the same ones every time.
    slope : float
        Of the regression through the origin.
    rung : str
        Whose colour is used.
    title : str
        What stands above.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Updates have the unit of weights, which is none.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    target = as_array("target", target, ("n_units", "n_features"))
    measured = as_array("measured", measured, target.shape)
    chosen = np.random.default_rng(0).permutation(target.size)[:MAX_POINTS]
    with canvas(ax, 3.8, 3.9) as axes:
        color, marker = look(rung)
        points: dict[str, Any] = {"s": 11, "alpha": 0.5, "linewidths": 0, "rasterized": True}
        axes.scatter(
            target.ravel()[chosen], measured.ravel()[chosen], color=color, marker=marker, **points
        )
        least, most = min(target.min(), measured.min()), max(target.max(), measured.max())
        ends = 1.08 * np.array([least, most])
        wide: dict[str, Any] = {"color": REFERENCE_COLOR, "lw": 4.0, "alpha": 0.5, "zorder": 0}
        axes.plot(ends, ends, label="identity", **wide)
        axes.plot(ends, slope * ends, color="black", lw=1.0, label=f"slope {slope:.3f}")
        axes.legend(loc="upper left")
        axes.set(xlim=ends, ylim=ends, aspect="equal")
        axes.locator_params(nbins=5)
        axes.set_xlabel("y (x − u w) of the rate network")
        axes.set_ylabel("mean Δw / η of the spiking network")
        axes.set_title(title)
    return axes


def convergence(
    spikes_per_psp: FloatArray,
    errors: FloatArray,
    *,
    order: float,
    rung: str = "event",
    ax: Axes | None = None,
) -> Axes:
    """Draw the relative error of the mean update against p_max·τ_psp, with two orders.

    Parameters
    ----------
    spikes_per_psp, errors : ndarray of shape (n_settings,)
        p_max·τ_psp/dt, spikes, and relative errors; those lost in sampling noise are marked at
        the edge.
    order : float
        Fitted slope of log error against log p_max·τ_psp.
    rung : str
        Whose colour is used.
    ax : Axes, optional
        Where to draw; both scales become logarithmic.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    x = as_array("spikes_per_psp", spikes_per_psp, ("n_settings",))
    errors = as_array("errors", errors, x.shape)
    told = errors > _SMALLEST_ERROR
    kept, load = (errors[told], x[told]) if told.any() else np.ones((2, 1))
    middle, relative = np.exp(np.log(kept).mean()), x / np.exp(np.log(load).mean())
    theory = middle / relative
    color, marker = look(rung)
    with canvas(ax, 5.2, 3.9) as axes:
        axes.loglog(x, theory, "--", color=REFERENCE_COLOR, label="order −1 (theory)")
        if told.all():
            fitted = f"{rung}, fitted order {order:.2f}".replace("-", "−")
            axes.loglog(x, middle * relative**order, lw=1.0, color=color, label=fitted)
        else:
            hollow: dict[str, Any] = {"color": color, "mfc": "none"}
            at, edge = np.full((~told).sum(), 0.03), axes.get_xaxis_transform()
            lost = f"{rung}, lost in sampling noise"
            axes.plot(x[~told], at, "v", transform=edge, label=lost, **hollow)
        axes.loglog(x[told], errors[told], marker, color=color, ms=7)
        axes.set_ylim(min(kept.min(), theory.min()) / 1.3, 1.3 * max(kept.max(), theory.max()))
        axes.legend(loc="upper right")
        _plain_log_ticks(axes, x)
        axes.set_xlabel("p_max · τ_psp / dt (spikes of the strongest input in one PSP)")
        axes.set_ylabel("‖mean Δw − rate rule‖ / ‖rate rule‖")
    return axes


def _plain_log_ticks(axes: Axes, x: FloatArray) -> None:
    """Write numbers instead of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xticks(x, [f"{value:g}" for value in x])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{error:.3g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def likelihood(
    curves: Mapping[str, tuple[IntArray, FloatArray]],
    end_points: Mapping[str, tuple[int, float]] | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw held-out cross-entropy against the samples shown so far.

    Parameters
    ----------
    curves : mapping of str to (samples shown, cross-entropy)
        By rung, nats per sample.
    end_points : mapping of str to (samples shown, cross-entropy), optional
        By rung, for those that were only seen at the end.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a curve has other numbers of samples and cross-entropies.
    """
    with canvas(ax, 5.2, 3.9) as axes:
        for rung, (shown, values) in curves.items():
            x = as_array(f"curves[{rung!r}][0]", shown, ("n_points",))
            y = as_array(f"curves[{rung!r}][1]", values, x.shape)
            color, marker = look(rung)
            line: dict[str, Any] = {"marker": marker, "ms": 4}
            if rung == "rate":  # broad, so that spiking networks can be seen to lie on it
                line = {"lw": 4.0, "alpha": 0.35}
            axes.plot(x, y, color=color, label=rung, **line)
        for rung, (n_shown, value) in (end_points or {}).items():
            color, marker = look(rung)
            end: dict[str, Any] = {"ms": 8, "mfc": "none", "mew": 1.8, "zorder": 5}
            label = f"{rung}, at the end"
            axes.plot(n_shown, value, marker, color=color, label=label, clip_on=False, **end)
        axes.legend(loc="upper right")
        axes.ticklabel_format(useOffset=False)
        axes.set(xlabel="samples shown", ylabel="held-out cross-entropy (nats per sample)")
    return axes
