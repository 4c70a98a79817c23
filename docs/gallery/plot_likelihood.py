"""
Likelihood of unseen data
=========================

Held-out cross-entropy falls while digits are shown without labels; spikes are a little ahead,
because a layer with few inputs fires more than the rate its learning rate is meant for, and end
where rates end.
"""

import matplotlib.pyplot as plt
import numpy as np

from softhebb_spiking import SoftHebb, SpikingSoftHebb, load_dataset, plots, theory
from softhebb_spiking.validation import FloatArray, unit_norm_samples

plt.rcParams.update(plots.STYLE)
digits = load_dataset("digits")
unseen = unit_norm_samples(digits.X_test)
seen = np.array([10, 25, 50, 100, 200, 400, 800, 1437])


def course(model: SoftHebb | SpikingSoftHebb) -> FloatArray:
    """Return the cross-entropy of unseen digits under the mixture, nats, after each count."""
    found = []
    for start, stop in zip([0, *seen], seen, strict=False):
        model.partial_fit(digits.X_train[start:stop])
        state = model.weights_, model.log_prior_, model.temperature
        found.append(theory.cross_entropy(unseen, *state))
    return np.array(found)


rate = SoftHebb(n_units=20, batch_size=1, random_state=0)
spiking = SpikingSoftHebb(
    n_units=20,
    max_probability=0.5,
    psp_tau_ms=20.0,
    settle_steps=40,
    population_size=128,
    random_state=0,
)
_, ax = plt.subplots(figsize=(5.2, 3.6))
plots.likelihood({"rate": (seen, course(rate)), "event": (seen, course(spiking))}, ax=ax)
plt.show()
