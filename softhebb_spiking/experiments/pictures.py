"""What the figures of the experiments have in common."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking import plots
from softhebb_spiking.validation import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Layout = Literal["constrained", "compressed"]
COLORS = plots.COLORS
LABELS: Mapping[str, str] = MappingProxyType(
    {
        "hard": "hard WTA (rate)",
        "backprop": "back-propagation",
        "backprop, repeated": "… many passes",
    }
)


def new_figure(width: float = 7.4, height: float = 3.0, layout: Layout = "constrained") -> Figure:
    """Return an empty figure; sizes in inches. Images want the layout "compressed"."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)


def curves(axes: Axes, x: Sequence[float], by_network: Mapping[str, Any]) -> None:
    """Draw a line with its interval of 95 % for each network.

    Parameters
    ----------
    axes : Axes
        Where.
    x : sequence of float
        Abscissae.
    by_network : mapping of str to array_like of shape (n_seeds, n_points)
        For each network, a row of ordinates for each seed.
    """
    plots.learning_curves(x, by_network, labels=LABELS, xlabel="", ylabel="", ax=axes)


def images(axes: Axes, rows: Sequence[NDArray[Any]], labels: Sequence[str]) -> None:
    """Draw rows of images in grey, dark where there is ink, each row with a label.

    Parameters
    ----------
    axes : Axes
        Where.
    rows : sequence of ndarray of shape (n_images, height, width)
        The images.
    labels : sequence of str
        One for each row.
    """
    height = rows[0].shape[1]
    mosaic = plots.mosaic(rows)
    axes.imshow(mosaic, cmap="gray_r", vmin=0.0, vmax=255.0, interpolation="nearest")
    # The last row has no gap beneath.
    pitch = (len(mosaic) - height) / max(1, len(rows) - 1)
    centres = [i * pitch + 0.5 * (height - 1) for i in range(len(rows))]
    axes.set_yticks(centres, labels)
    axes.set_xticks([])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def as_text(pixels: FloatArray) -> dict[str, Any]:
    """Return images, pixels from 0 to 1, as plain data."""
    data = np.rint(255.0 * np.clip(pixels, 0.0, 1.0)).astype(np.uint8)
    return {"shape": list(data.shape), "bytes": base64.b64encode(data.tobytes()).decode("ascii")}


def from_text(found: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Return the images that `as_text` was given, as bytes."""
    data = np.frombuffer(base64.b64decode(found["bytes"]), dtype=np.uint8)
    return data.reshape(found["shape"])
