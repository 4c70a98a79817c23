"""
Spike counts against the posterior
==================================

Shares of output spikes lie around the softmax posterior without a bend: spike counts are samples
of it, and the scatter is what sampling and the noise of input spikes leave.
"""

import matplotlib.pyplot as plt

from softhebb_spiking import SpikingSoftHebb, load_dataset, plots, theory
from softhebb_spiking.validation import unit_norm_samples

plt.rcParams.update(plots.STYLE)
digits = load_dataset("digits")
model = SpikingSoftHebb(
    n_units=20,
    max_probability=0.5,
    psp_tau_ms=20.0,
    settle_steps=40,
    population_size=128,
    random_state=0,
).fit(digits.X_train)

# %%
# The posterior comes from the same weights, by the equation.

u = theory.drive(unit_norm_samples(digits.X_test), model.weights_)
expected = theory.posterior(u, model.log_prior_, model.temperature)
measured = model.predict_proba(digits.X_test)

_, ax = plt.subplots(figsize=(4.0, 4.2))
plots.posterior_scatter(expected, measured, title=f"{len(measured)} digits, 20 units", ax=ax)
plt.show()
