"""
Rates of populations
====================

The same spikes as a neuron downstream sees them: the mean rate of a neuron in each population,
in hertz, after the burst at onset shared out among the few populations that explain a sample.
"""

import matplotlib.pyplot as plt

from softhebb_spiking import SpikingSoftHebb, load_dataset, plots

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
recording = model.record(digits.X_test[:4])

# %%
# Smoothed by the PSP of the network's own synapses. The five most active populations have a line
# and a name each, all others are grey.

_, ax = plt.subplots(figsize=(9.5, 3.0))
plots.population_rates(recording, ax=ax)
plt.show()

# %%
# The mean over the last 10 ms, for one sample.

_, ax = plt.subplots(figsize=(7.2, 3.0))
plots.population_rates(recording, samples=[2], smoothing="window", window_ms=10.0, n_named=3, ax=ax)
plt.show()
