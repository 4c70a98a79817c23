"""
Learning curves
===============

Accuracy of units that are named by labels afterwards, against the digits seen without labels:
rates and spikes learn alike, and the bands, intervals of 95 % over seeds, overlap.
"""

from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from softhebb_spiking import SoftHebb, SpikingSoftHebb, UnitLabelClassifier, load_dataset, plots

plt.rcParams.update(plots.STYLE)
digits = load_dataset("digits")
SEEN = [25, 50, 100, 200, 400, 800, 1437]
SEEDS = range(3)


def accuracies(make: Callable[[int], Any], seed: int) -> list[float]:
    """Return the accuracy, in per cent, after so many samples have been seen."""
    order = np.random.default_rng(seed).permutation(len(digits.X_train))
    X, y, model, found = digits.X_train[order], digits.y_train[order], make(seed), []
    for start, stop in zip([0, *SEEN], SEEN, strict=False):
        model.partial_fit(X[start:stop])
        reader = UnitLabelClassifier(model).fit(X[:500], y[:500])
        found.append(100.0 * reader.score(digits.X_test, digits.y_test))
    return found


def spiking(seed: int) -> SpikingSoftHebb:
    """Return a layer with more input spikes and slower PSPs, for inputs as few as 64."""
    few_inputs = {"max_probability": 0.5, "psp_tau_ms": 20.0, "settle_steps": 40}
    return SpikingSoftHebb(n_units=20, population_size=128, random_state=seed, **few_inputs)


# %%
# A row for each seed. The order of samples and the initial weights change with the seed, so the
# band says how far another seed might lie, not only another draw of spikes.

curves = {
    "rate": [accuracies(lambda seed: SoftHebb(n_units=20, random_state=seed), s) for s in SEEDS],
    "event": [accuracies(spiking, s) for s in SEEDS],
}
_, ax = plt.subplots(figsize=(5.2, 3.6))
plots.learning_curves(SEEN, curves, labels={"rate": "rates", "event": "spikes"}, ax=ax)
ax.set_xscale("log")
ax.set_xticks(SEEN, [str(n) for n in SEEN])
ax.minorticks_off()
ax.legend(loc="lower right")
plt.show()
