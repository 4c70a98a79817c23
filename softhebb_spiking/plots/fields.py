"""Weights as images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking.plots.style import as_array, canvas, look
from softhebb_spiking.validation import FloatArray, check_integer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_COLUMNS = 20
MAX_UNITS = 200


def receptive_fields(
    weights: FloatArray | Mapping[str, FloatArray],
    image_shape: tuple[int, int],
    *,
    prior: FloatArray | None = None,
    on_off: bool = False,
    columns: int = MAX_COLUMNS,
    ax: Axes | None = None,
) -> Axes:
    """Draw weights as images on one grey scale.

    Parameters
    ----------
    weights : ndarray of shape (n_units, n_features), or mapping of str to such
        Of one network, whose units fill rows of `columns` images, `MAX_UNITS` at most; or of
        several by name, each in one row, in which unit k stands in the same column.
    image_shape : tuple of int
        (height, width).
    prior : ndarray of shape (n_units,), optional
        Units are sorted by it, the most likely first. With one row it stands above the images.
    on_off : bool
        Whether the first half of the features are on channels and the second half off channels of
        the same pixels; their difference is drawn, and zero is mid-grey.
    columns : int
        Images in a row.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Weights have no unit. A colour bar stands beside.

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    check_integer("columns", columns, 1)
    several = isinstance(weights, Mapping)
    named = weights if isinstance(weights, Mapping) else {"": weights}
    images = _images(named, image_shape, on_off)
    n_units = len(next(iter(images.values())))
    priors = np.zeros(n_units) if prior is None else as_array("prior", prior, (n_units,))
    order = np.argsort(-priors, kind="stable")[: columns if several else MAX_UNITS]
    found = [one[order] for one in images.values()]
    rows = found if several else [found[0][i : i + columns] for i in range(0, len(order), columns)]
    height, width = image_shape
    inches = min(0.5, 10.0 / len(rows[0]))
    size = (
        0.8 + 0.5 * several + 1.1 * inches * len(rows[0]),
        0.1 + 0.4 * several + 1.1 * inches * len(rows) * height / width,
    )
    with canvas(ax, *size) as axes:
        low, high = _grey_range(found, on_off)
        grey: dict[str, Any] = {"cmap": "gray", "vmin": low, "vmax": high}
        picture = axes.imshow(mosaic(rows), interpolation="nearest", **grey)
        axes.set(xticks=[], yticks=[])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        if several:
            _name_rows(axes, list(images), height, width)
        if np.ptp(priors) > 0.0 and (several or len(rows) == 1):
            _name_columns(axes, priors[order], width)
        bar = axes.figure.colorbar(picture, ax=axes, aspect=4 + 5 * len(rows), pad=0.01)
        bar.set_label("weight, on − off" if on_off else "weight")
        bar.ax.locator_params(nbins=1 + 2 * len(rows))
    return axes


def mosaic(rows: Sequence[NDArray[Any]]) -> FloatArray:
    """Return one image of rows of images, with gaps of NaN between.

    Parameters
    ----------
    rows : sequence of ndarray of shape (n_images, height, width)
        Rows may differ in the number of images.
    """
    height, width = rows[0].shape[1:]
    gap = _gap(width)
    n_columns = max(len(row) for row in rows)
    whole = np.full((len(rows) * (height + gap) - gap, n_columns * (width + gap) - gap), np.nan)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            whole[i * (height + gap) :, j * (width + gap) :][:height, :width] = image
    return whole


def _gap(width: int) -> int:
    return max(1, round(width / 12))


def _images(
    weights: Mapping[str, FloatArray], image_shape: tuple[int, int], on_off: bool
) -> dict[str, FloatArray]:
    """Return weights as images, (n_units, height, width), by name."""
    channels = 2 if on_off else 1
    n_features = channels * int(np.prod(image_shape))
    found: dict[str, FloatArray] = {}
    n_units: int | str = "n_units"
    for name, values in weights.items():
        what = f"weights[{name!r}]" if name else "weights"
        rows = as_array(what, values, (n_units, n_features))
        n_units = len(rows)
        parts = rows.reshape(n_units, channels, *image_shape)
        found[name] = parts[:, 0] - parts[:, 1] if on_off else parts[:, 0]
    if not found or n_units == 0:
        raise ValueError("weights must be those of at least one unit, got none.")
    return found


def _grey_range(found: Sequence[FloatArray], on_off: bool) -> tuple[float, float]:
    """Return the ends of the grey scale; weights that diverged must not darken all others."""
    first = found[0]
    if on_off:
        high = float(min(2.0 * np.abs(first).max(), max(np.abs(one).max() for one in found)))
        return -high, high
    low = max(-first.max(), min(0.0, *(one.min() for one in found)))
    return float(low), float(min(2.0 * first.max(), max(one.max() for one in found)))


def _name_rows(axes: Axes, names: Sequence[str], height: int, width: int) -> None:
    centres = np.arange(len(names)) * (height + _gap(width)) + 0.5 * (height - 1)
    axes.set_yticks(centres, names, fontweight="bold")
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        label.set_color(look(name)[0])


def _name_columns(axes: Axes, priors: FloatArray, width: int) -> None:
    centres = np.arange(len(priors)) * (width + _gap(width)) + 0.5 * (width - 1)
    axes.xaxis.tick_top()
    axes.set_xticks(centres, [f"{100 * share:.1f}" for share in priors])
    axes.tick_params(length=0)
    axes.set_title("prior exp(b) of the unit (%)", pad=4)
