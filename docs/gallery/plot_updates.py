"""
Spiking updates against the rate rule
=====================================

At fixed weights the mean change of each synapse is nearly that of the rate rule, and what is
missing shrinks as more input spikes fall into one PSP.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from softhebb_spiking import SpikingSoftHebb, load_dataset, plots, theory
from softhebb_spiking.backends import event
from softhebb_spiking.validation import FloatArray

plt.rcParams.update(plots.STYLE)
digits = load_dataset("digits")
RATE, N_SAMPLES, N_REPEATS = 0.01, 20, 100
weights = SpikingSoftHebb(n_units=20, random_state=0).fit(digits.X_train[:200]).weights_


def mean_updates(psp_tau_ms: float, seed: int) -> tuple[FloatArray, FloatArray]:
    """Return Δw/η of the rate rule and of spikes, per presentation, at the same weights.

    Each presentation finds the initial weights again, so the changes add up to their mean.
    """
    model = SpikingSoftHebb.from_weights(
        weights,
        inhibition="exact",
        max_probability=0.5,
        psp_tau_ms=psp_tau_ms,
        settle_steps=int(4 * psp_tau_ms),
        random_state=seed,
    )
    run = model.make_run(np.tile(digits.X_test[:N_SAMPLES], (N_REPEATS, 1)), learn=True)
    run = replace(run, restart=True, learning_rates=np.full(len(run.samples), RATE))
    result = event.simulate(run)
    w, net = run.weights, run.network
    u = theory.drive(run.samples, w)
    y = theory.posterior(u, run.log_prior, net.temperature)
    spikes = result.spike_counts.sum(axis=1, keepdims=True) / (net.total_rate * net.n_steps)
    target = theory.weight_update(run.samples, u, spikes * y, w)
    return target / len(u), (result.weights - w) / (RATE * len(u))


# %%
# The rule is compared for the output spikes that were drawn, since learning is per spike.

target, measured = mean_updates(20.0, seed=0)
slope = (target * measured).sum() / (target**2).sum()
_, ax = plt.subplots(figsize=(4.2, 4.2))
plots.update_regression(target, measured, slope=slope, ax=ax)
plt.show()

# %%
# Two independent runs have the same error and different noise: the product of their deviations is
# the square of the error without the noise of sampling.

taus_ms = np.array([4.0, 8.0, 16.0, 32.0])
errors = []
for tau_ms in taus_ms:
    (target, first), (other_target, second) = (mean_updates(tau_ms, seed) for seed in (1, 2))
    square = ((first - target) * (second - other_target)).sum()
    errors.append(np.sqrt(max(square, 0.0)) / np.linalg.norm(target))
spikes_per_psp = 0.5 * taus_ms
order = np.polyfit(np.log(spikes_per_psp), np.log(errors), 1)[0]
_, ax = plt.subplots(figsize=(5.2, 3.9))
plots.convergence(spikes_per_psp, np.array(errors), order=order, ax=ax)
plt.show()
