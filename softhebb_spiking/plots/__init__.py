"""Pictures of spiking SoftHebb networks: each function draws one thing from plain data.

All of them share three rules.

*Where.* ``ax`` is the Axes to draw on, and is returned. Without it there is a new figure in the
house style. It is made without pyplot, so a script has nothing to close and no window opens:
save it by ``raster(recording).figure.savefig("raster.png")``. At the end of a notebook's cell the
Axes that comes back shows its figure.

*More than one part.* The place of ``ax`` in its grid is divided and ``ax`` keeps the main part.
Only `raster` does so (for inputs, labelled "input", and for "inhibition"), and colour bars.

*Style.* Draw on Axes of your own inside ``matplotlib.rc_context(STYLE)`` for the same look.
Networks differ by colour and by marker, so that pictures can be printed in grey.
"""

from softhebb_spiking.plots.activity import raster
from softhebb_spiking.plots.comparison import (
    budget,
    confusion_matrix,
    learning_curves,
    posterior_scatter,
)
from softhebb_spiking.plots.demo import demo_figure
from softhebb_spiking.plots.deployment import core_map
from softhebb_spiking.plots.fields import mosaic, receptive_fields
from softhebb_spiking.plots.learning import convergence, likelihood, update_regression
from softhebb_spiking.plots.rates import population_rates, smoothed_rates
from softhebb_spiking.plots.style import COLORS, MARKERS, STYLE

__all__ = [
    "COLORS",
    "MARKERS",
    "STYLE",
    "budget",
    "confusion_matrix",
    "convergence",
    "core_map",
    "demo_figure",
    "learning_curves",
    "likelihood",
    "mosaic",
    "population_rates",
    "posterior_scatter",
    "raster",
    "receptive_fields",
    "smoothed_rates",
    "update_regression",
]
