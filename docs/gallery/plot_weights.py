"""
Receptive fields
================

Weights as images: most units have become the mean of the digits of one class, written in one way,
and some of two classes that look alike.
"""

import matplotlib.pyplot as plt
import numpy as np

from softhebb_spiking import SoftHebb, SpikingSoftHebb, load_dataset, plots

plt.rcParams.update(plots.STYLE)
digits = load_dataset("digits")
model = SpikingSoftHebb(
    n_units=40,
    max_probability=0.5,
    psp_tau_ms=20.0,
    settle_steps=40,
    population_size=128,
    random_state=0,
).fit(digits.X_train)

_, ax = plt.subplots(figsize=(6.3, 2.4))
plots.receptive_fields(model.weights_, digits.image_shape, columns=10, ax=ax)
plt.show()

# %%
# Networks that started from the same weights stand beneath each other, sorted by the prior of the
# first. Look for columns that show the same thing.

rate = SoftHebb(n_units=20, prior_learning_rate=0.003, random_state=0).fit(digits.X_train)
spiking = SpikingSoftHebb(
    n_units=20,
    prior_learning_rate=0.003,
    max_probability=0.5,
    psp_tau_ms=20.0,
    settle_steps=40,
    population_size=128,
    random_state=0,
).fit(digits.X_train)
_, ax = plt.subplots(figsize=(10.4, 1.5))
plots.receptive_fields(
    {"rate": rate.weights_, "event": spiking.weights_},
    digits.image_shape,
    prior=np.exp(rate.log_prior_),
    ax=ax,
)
plt.show()

# %%
# Contrast goes into a network of non-negative rates by on and off channels. Their difference is
# drawn; mid-grey is a pixel that says nothing.

contrast = digits.X_train - digits.X_train.mean(axis=0)
channels = np.hstack((np.maximum(contrast, 0.0), np.maximum(-contrast, 0.0)))
contrast_model = SoftHebb(n_units=20, temperature=0.05, random_state=0).fit(channels)
_, ax = plt.subplots(figsize=(6.3, 1.4))
plots.receptive_fields(contrast_model.weights_, digits.image_shape, on_off=True, columns=10, ax=ax)
plt.show()
