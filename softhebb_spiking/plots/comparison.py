"""Networks beside each other, their answers and what they ought to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import metrics

from softhebb_spiking._intervals import students_interval
from softhebb_spiking.plots.style import COLORS, MARKERS, REFERENCE_COLOR, as_array, canvas, look
from softhebb_spiking.validation import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def posterior_scatter(
    expected: FloatArray,
    measured: FloatArray,
    *,
    rung: str = "event",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw spike-count posteriors against softmax posteriors, with the identity line.

    Parameters
    ----------
    expected, measured : ndarray of shape (n_samples, n_units)
        Softmax and spike-count posteriors.
    rung : str
        Whose colour is used.
    title : str
        What stands above.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    expected = as_array("expected", expected, ("n_samples", "n_units"))
    measured = as_array("measured", measured, expected.shape)
    with canvas(ax, 3.8, 4.0) as axes:
        color, marker = look(rung)
        axes.plot([0, 1], [0, 1], color=REFERENCE_COLOR, lw=1.0, zorder=0)
        points: dict[str, Any] = {"s": 11, "alpha": 0.5, "linewidths": 0, "rasterized": True}
        axes.scatter(expected, measured, color=color, marker=marker, **points)
        ticks = np.linspace(0, 1, 6)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", xticks=ticks, yticks=ticks)
        axes.set(xlabel="softmax posterior of the rate network", ylabel="share of output spikes")
        axes.set_title(title)
    return axes


def learning_curves(
    x: ArrayLike,
    by_network: Mapping[str, Any],
    *,
    labels: Mapping[str, str] | None = None,
    xlabel: str = "training samples seen",
    ylabel: str = "accuracy (%)",
    ax: Axes | None = None,
) -> Axes:
    """Draw a line for each network, the mean over seeds, in the band of its interval of 95 %.

    Parameters
    ----------
    x : array_like of shape (n_points,)
        Abscissae.
    by_network : mapping of str to array_like of shape (n_seeds, n_points)
        For each network, a row of ordinates for each seed. One seed has no band.
    labels : mapping of str to str, optional
        What networks are called in the legend, if not by their name.
    xlabel, ylabel : str
        Quantities and units.
    ax : Axes, optional
        Where to draw; without it there is a legend.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a network has another number of points.
    """
    points = as_array("x", x, ("n_points",))
    with canvas(ax, 5.2, 3.6) as axes:
        for network, rows in by_network.items():
            shape = ("n_seeds", len(points))
            found = as_array(f"by_network[{network!r}]", rows, shape).astype(np.float64)
            color, marker = look(network)
            label = (labels or {}).get(network, network)
            mean = found.mean(axis=0)
            axes.plot(points, mean, color=color, marker=marker, ms=4, label=label)
            if len(found) > 1:
                _, low, high = students_interval(found)
                axes.fill_between(points, low, high, color=color, alpha=0.18, linewidth=0)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        if ax is None:
            axes.legend()
    return axes


def confusion_matrix(
    y_true: ArrayLike,
    y_predicted: ArrayLike,
    *,
    labels: Sequence[Any] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how many samples of each class were taken for which.

    Parameters
    ----------
    y_true, y_predicted : array_like of shape (n_samples,)
        Classes.
    labels : sequence, optional
        Classes to draw, in this order; by default all that occur, sorted.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Cells hold numbers of samples; the darker, the larger the share of the true class.

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    true = as_array("y_true", y_true, ("n_samples",))
    predicted = as_array("y_predicted", y_predicted, true.shape)
    names = np.unique([true, predicted]) if labels is None else np.asarray(labels)
    counts = metrics.confusion_matrix(true, predicted, labels=names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(2.6, 0.9 + 0.36 * len(names))
    with canvas(ax, side, side) as axes:
        axes.imshow(shares, cmap="Greys", vmin=0.0, vmax=1.0)
        for (row, column), count in np.ndenumerate(counts):
            color = "white" if shares[row, column] > 0.5 else "#333333"
            text: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7.0}
            axes.text(column, row, str(count) if count else "·", color=color, **text)
        ticks = range(len(names))
        axes.set_xticks(ticks, [str(name) for name in names])
        axes.set_yticks(ticks, [str(name) for name in names])
        axes.tick_params(length=0)
        axes.set(xlabel="predicted class", ylabel="true class")
        axes.set_title("number of samples")
    return axes


def budget(
    names: Sequence[str], values: Sequence[float], *, measure: str, ax: Axes | None = None
) -> Axes:
    """Draw one measure of the error budget, a row for each rounding, from the top down.

    Parameters
    ----------
    names : sequence of str
        The rows; those with "rung" are the engines themselves, drawn filled.
    values : sequence of float
        The measure in each row; the first is the reference.
    measure : str
        What is measured, and its unit.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If there are not as many values as names, or none.
    """
    numbers = as_array("values", values, (len(names),))
    if not len(numbers):
        raise ValueError("values must be at least one, got none.")
    rows = np.arange(len(names))
    with canvas(ax, 5.4, 0.3 * len(names) + 0.8) as axes:
        axes.axvline(numbers[0], color=REFERENCE_COLOR, linewidth=0.8, linestyle="--")
        axes.plot(numbers, rows, color=COLORS["fixed"], linewidth=0.8)
        for row, (name, value) in enumerate(zip(names, numbers, strict=True)):
            rung = "fixed" if row else "event"
            fill = COLORS[rung] if row == 0 or "rung" in name else "white"
            dot: dict[str, Any] = {"color": COLORS[rung], "markersize": 5, "markerfacecolor": fill}
            axes.plot(value, row, MARKERS[rung], **dot)
        axes.set_yticks(rows, names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.margins(x=0.15)
        axes.locator_params(axis="x", nbins=4)
        axes.set_xlabel(measure)
    return axes
