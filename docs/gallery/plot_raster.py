"""
Spikes and inhibition
=====================

Four samples, one after the other: the onset excites every population, inhibition finds the
softmax's normaliser, and only the populations that explain the sample go on firing.
"""

# %%
# A layer of 20 populations learns from digits without labels. With as few inputs as 64 pixels it
# wants more input spikes and slower PSPs than the defaults.

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
recording = model.record(digits.X_test[:4], probes=("drive", "inhibition"))

# %%
# Populations are sorted by their spikes; the area of a dot is the number of spikes in a step, and
# settling is shaded. The place of ``ax`` is divided: inhibition (line) beside the normaliser that
# it should follow (broad) is below.

_, ax = plt.subplots(figsize=(9.5, 4.6))
plots.raster(recording, order="activity", inputs=False, ax=ax)
plt.show()

# %%
# One presentation with its input spikes, on top.

_, ax = plt.subplots(figsize=(7.2, 6.2))
plots.raster(recording, samples=[2], ax=ax)
plt.show()
