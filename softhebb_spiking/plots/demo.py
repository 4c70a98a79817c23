"""The picture of the `demo` command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from softhebb_spiking.plots.activity import raster
from softhebb_spiking.plots.fields import receptive_fields
from softhebb_spiking.plots.style import STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
        fields, prior = {model.backend: model.weights_}, np.exp(model.log_prior_)
        receptive_fields(fields, data.image_shape, prior=prior, ax=parts[0].subplots())
        shown = model.record(data.X_test[:1], probes=("drive", "inhibition"))
        raster(shown, ax=parts[1].subplots())
    return figure
