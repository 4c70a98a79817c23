"""Axes that a notebook shows as their figure; apart, because matplotlib is optional."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure


class NotebookAxes(Axes):
    """Axes of a figure that pyplot does not know of, so that no notebook would show it."""

    def _repr_png_(self) -> bytes:
        """Return the whole figure as PNG, which is what notebooks ask for."""
        buffer = io.BytesIO()
        figure: Any = self.figure
        figure.savefig(buffer, format="png")
        return buffer.getvalue()


def notebook_axes(width_in: float, height_in: float) -> Axes:
    """Return Axes on a new figure of that size, inches."""
    figure = Figure(figsize=(width_in, height_in), dpi=150, layout="constrained")
    return figure.add_subplot(axes_class=NotebookAxes)
