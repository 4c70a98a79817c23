"""
The cores of a chip
===================

A layer of 6400 units for images of MNIST's size takes half of a Loihi 2: one square for each core,
the darker the fuller, and hatched the one core of the pool that sends inhibition.
"""

from typing import Any

import matplotlib.pyplot as plt

from softhebb_spiking import NetworkParams, plots
from softhebb_spiking.deployment.layout import Layout, layer_layout
from softhebb_spiking.deployment.plan import plan

plt.rcParams.update(plots.STYLE)


def layout(*, n_units: int = 6400, n_features: int = 784, **options: Any) -> Layout:
    """Return the layer, or another one that the plan asks for to see whether it fits."""
    return layer_layout(NetworkParams(n_features=n_features, n_units=n_units), **options)


_, ax = plt.subplots(figsize=(4.6, 3.2))
plots.core_map(plan(layout, "loihi2"), ax=ax)
plt.show()
