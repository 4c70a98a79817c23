"""What all pictures have in common: one restrained style, and where they are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart by every kind of colour vision; markers for print.
COLORS: Mapping[str, str] = MappingProxyType(
    {
        "rate": "#333333",
        "event": "#0072B2",
        "lava": "#D55E00",
        "brian2": "#009E73",
        "fixed": "#CC79A7",
        "hard": "#E69F00",
        "backprop": "#999999",
        "backprop, repeated": "#BBBBBB",
    }
)
MARKERS: Mapping[str, str] = MappingProxyType(
    {
        "rate": "P",
        "event": "o",
        "lava": "^",
        "brian2": "s",
        "fixed": "D",
        "hard": "v",
        "backprop": "x",
        "backprop, repeated": "+",
    }
)
OTHER_COLOR, OTHER_MARKER = "#56B4E9", "v"
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
    "figure.constrained_layout.use": True,
    "svg.fonttype": "path",
    "svg.hashsalt": "softhebb-spiking",
}
INPUT_COLOR = "#777777"
SETTLING_COLOR = "#EFEFEF"
REFERENCE_COLOR = "#999999"


def look(network: str) -> tuple[str, str]:
    """Return colour and marker of a network, which it has in all pictures."""
    return COLORS.get(network, OTHER_COLOR), MARKERS.get(network, OTHER_MARKER)


@contextmanager
def canvas(ax: Axes | None, width_in: float, height_in: float) -> Iterator[Axes]:
    """Give `ax` to draw on or, if it is None, Axes of a new figure, in the house style.

    Parameters
    ----------
    ax : Axes or None
        What the caller was given.
    width_in, height_in : float
        Size of the new figure, inches.

    Yields
    ------
    Axes
        Where to draw.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    if ax is not None:
        yield ax
        return
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(
            'pictures need matplotlib: pip install "softhebb-spiking[report]"'
        ) from error
    from softhebb_spiking.plots._notebook import notebook_axes

    with matplotlib.rc_context(STYLE):
        yield notebook_axes(width_in, height_in)


def split(axes: Axes, main: str, heights: Mapping[str, float]) -> dict[str, Axes]:
    """Divide the place of Axes in their grid into rows with one abscissa, from the top down.

    Parameters
    ----------
    axes : Axes
        They keep the row `main`.
    main : str
        One of the rows.
    heights : mapping of str to float
        The rows and their relative heights.

    Returns
    -------
    dict of str to Axes
        The row's Axes by name; new ones have it as their label.

    Raises
    ------
    ValueError
        If the Axes stand in no grid.
    """
    if len(heights) == 1:
        return {main: axes}
    place = axes.get_subplotspec()
    if place is None:
        raise ValueError(
            f"ax must stand in a grid, whose cell is divided for {', '.join(heights)}; got Axes at "
            "a place of their own. Make them by figure.subplots(), or leave ax out."
        )
    grid = place.subgridspec(len(heights), 1, height_ratios=list(heights.values()))
    rows: dict[str, Axes] = {}
    for row, name in enumerate(heights):
        if name == main:
            axes.set_subplotspec(grid[row])
            rows[name] = axes
        else:
            rows[name] = axes.figure.add_subplot(grid[row], sharex=axes, label=name)
    for name in list(heights)[:-1]:
        rows[name].tick_params(labelbottom=False)
    return rows


def as_array(name: str, values: Any, shape: tuple[int | str, ...]) -> NDArray[Any]:
    """Return `values` as an array.

    Parameters
    ----------
    name : str
        What the message calls it.
    values : array_like
        Anything.
    shape : tuple of int or str
        Sizes; a string stands for any size and says what it counts.

    Raises
    ------
    ValueError
        If it has another shape.
    """
    array = np.asarray(values)
    fits = array.ndim == len(shape) and all(
        isinstance(expected, str) or expected == found
        for expected, found in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise ValueError(f"{name} must have shape ({wanted}), got {array.shape}.")
    return array
