"""
Priors learned from how often things occur
==========================================

The bias of a unit is the log of its prior, and the spikes of the layer teach it: Δb_k =
η_b (y_k exp(−b_k) − 1) comes to rest where exp(b_k) = E[y_k], the share of samples that the unit
stands for. What is common is then seen sooner: an ambiguous stimulus is taken for the more
frequent cause, by exactly the log of the ratio of the priors.
"""

# %%
# Five causes, unequally frequent
# -------------------------------
# Samples come from a mixture of von Mises–Fisher densities whose means are bumps on a ring of
# inputs, over a constant background. Rates cannot be negative, so negative entries, a few in a
# hundred, are set to zero: the mixture is nearly, not exactly, the one the network assumes. Units
# have the means of the causes as their weights, which stay as they are, so that the prior is all
# there is to learn. It starts uniform.

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from softhebb_spiking import SpikingSoftHebb, theory
from softhebb_spiking.plots import COLORS, STYLE

FloatArray = NDArray[np.float64]
FREQUENCIES = np.array([0.40, 0.25, 0.18, 0.12, 0.05])
N_UNITS, N_FEATURES = FREQUENCIES.size, 60
TEMPERATURE = 0.004
N_SAMPLES = 6000
PRIOR_LEARNING_RATE = 0.003
SEED = 0


def cause_means() -> FloatArray:
    """Return one direction for each cause, (5, 60), positive everywhere."""
    position = 2.0 * np.pi * np.arange(N_FEATURES) / N_FEATURES
    centre = 2.0 * np.pi * np.arange(N_UNITS) / N_UNITS
    bumps = np.exp(4.0 * (np.cos(position - centre[:, np.newaxis]) - 1.0))
    return theory.unit_rows(1.0 + 0.7 * bumps)


def samples_and_causes(n_samples: int, seed: int) -> tuple[FloatArray, NDArray[np.int64], float]:
    """Return non-negative samples, the cause of each, and the share of entries set to zero."""
    rng = np.random.default_rng(seed)
    causes = rng.choice(N_UNITS, size=n_samples, p=FREQUENCIES)
    samples = np.empty((n_samples, N_FEATURES))
    for k, mean in enumerate(cause_means()):
        chosen = causes == k
        samples[chosen] = theory.sample_mixture(
            mean[np.newaxis], np.zeros(1), TEMPERATURE, int(chosen.sum()), rng
        )
    return np.maximum(samples, 0.0), causes, float((samples < 0.0).mean())


def network(log_prior: FloatArray | None = None) -> SpikingSoftHebb:
    """Return a layer with the means of the causes as weights, its prior uniform if not given.

    Inputs stand for groups of neurons, so that the noise of their spikes is small against that of
    the samples.
    """
    return SpikingSoftHebb.from_weights(
        cause_means(),
        log_prior,
        temperature=TEMPERATURE,
        learning_rate=0.0,
        prior_learning_rate=PRIOR_LEARNING_RATE,
        max_probability=0.9,
        psp_tau_ms=50.0,
        settle_steps=150,
        n_steps=50,
        population_size=64,
        random_state=SEED,
    )


# %%
# How exact can it be?
# --------------------
# By its rule exp(b) is a running average of the samples' posteriors: π ← π + η_b (y − π). With
# a constant learning rate a sample that is j samples old has the weight η_b (1 − η_b)^j, and the
# variance of the average of independent draws is π(1 − π) η_b / (2 − η_b). Learning follows the
# spikes that were really fired, so η_b is multiplied by the realised total rate over the rate that
# was aimed at.


class Priors(NamedTuple):
    """Learned priors beside the true frequencies."""

    history: FloatArray  # (n_reports, n_units) of exp(b)
    log_prior: FloatArray
    sigma: FloatArray  # sampling error of exp(b)
    rate_ratio: float
    clipped: float
    confused: float  # share of samples whose most probable cause is not the true one

    @property
    def learned(self) -> FloatArray:
        """exp(b)."""
        return np.exp(self.log_prior)

    @property
    def z(self) -> FloatArray:
        """Error of exp(b) in units of its sampling error."""
        return (self.learned - FREQUENCIES) / self.sigma


def learn_priors(n_samples: int = N_SAMPLES, seed: int = SEED) -> Priors:
    """Show samples in random order, and follow exp(b)."""
    samples, causes, clipped = samples_and_causes(n_samples, seed)
    model = network()
    history = [np.exp(model.log_prior_)]
    for part in np.array_split(samples, 60):
        model.partial_fit(part)
        history.append(np.exp(model.log_prior_))
    recording = model.record(samples[:200])
    aimed = recording.params.total_rate * recording.params.n_steps
    ratio = float(recording.spike_counts.sum(axis=1).mean() / aimed)
    rate = PRIOR_LEARNING_RATE * ratio
    sigma = np.sqrt(FREQUENCIES * (1.0 - FREQUENCIES) * rate / (2.0 - rate))
    u = theory.drive(theory.unit_rows(samples), cause_means())
    best = theory.posterior(u, np.log(FREQUENCIES), TEMPERATURE).argmax(axis=1)
    confused = float((best != causes).mean())
    return Priors(np.array(history), model.log_prior_, sigma, ratio, clipped, confused)


# %%
# An ambiguous stimulus
# ---------------------
# Between two causes, half of each, both drives are equal, and only the prior decides. Each pair of
# causes is shown to a layer with the learned and to one with a uniform prior; the difference of the
# log ratios of their spikes should be the log ratio of the priors. Seen through noisy input spikes
# the ratio comes out somewhat smaller: what is averaged over time is the posterior, not its log.


class Shift(NamedTuple):
    """Log ratios of spike counts for each pair of causes, nats."""

    predicted: FloatArray
    measured: FloatArray


def prior_shift(log_prior: FloatArray, n_presentations: int = 200) -> Shift:
    """Return by how much the learned prior moves each ambiguous stimulus."""
    means = cause_means()
    pairs = np.array([(i, j) for i in range(N_UNITS) for j in range(i + 1, N_UNITS)])
    first, second = pairs.T
    stimuli = np.repeat(means[first] + means[second], n_presentations, axis=0)
    log_ratios = []
    for prior in (log_prior, None):
        shares = network(prior).predict_proba(stimuli)
        shares = shares.reshape(len(pairs), n_presentations, N_UNITS).mean(axis=1)
        rows = np.arange(len(pairs))
        log_ratios.append(np.log(shares[rows, first] / shares[rows, second]))
    return Shift(log_prior[first] - log_prior[second], log_ratios[0] - log_ratios[1])


def slope(shift: Shift) -> float:
    """Return the least-squares slope through the origin: nats measured for a nat of prior."""
    return float(shift.predicted @ shift.measured / (shift.predicted @ shift.predicted))


priors = learn_priors()
shift = prior_shift(priors.log_prior)
print(
    f"entries set to zero {priors.clipped:.1%}, causes confused {priors.confused:.1%}, "
    f"total rate {priors.rate_ratio:.2f} × the aim"
)
for k in range(N_UNITS):
    print(
        f"cause {k}: true {FREQUENCIES[k]:.3f}  exp(b) {priors.learned[k]:.3f} "
        f"± {priors.sigma[k]:.3f}  z {priors.z[k]:+.2f}"
    )
print(f"sum of exp(b) {priors.learned.sum():.4f}")
print(
    f"ambiguous stimuli: {slope(shift):.3f} nats for a nat of log prior, largest difference "
    f"{np.abs(shift.measured - shift.predicted).max():.2f} nats"
)

# %%
# What was learned, and what it does
# ----------------------------------


def draw() -> None:
    """Draw the course of learning, the outcome, and the shift of ambiguous stimuli."""
    _, axes = plt.subplots(1, 2, figsize=(8.5, 3.4), layout="constrained")
    shown = np.linspace(0, N_SAMPLES, len(priors.history))
    colors = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
    for k, color in enumerate(colors):
        axes[0].fill_between(
            shown[[0, -1]],
            FREQUENCIES[k] - 2.0 * priors.sigma[k],
            FREQUENCIES[k] + 2.0 * priors.sigma[k],
            color=color,
            alpha=0.18,
            lw=0.0,
        )
        axes[0].plot(shown, priors.history[:, k], color=color, lw=1.2)
    axes[0].set(xlabel="samples", ylabel="exp(b)", ylim=(0.0, None))
    axes[0].set_title("learned priors; bands: true frequency ± 2σ of sampling")
    limits = np.array([0.0, 1.1 * shift.predicted.max()])
    axes[1].plot(limits, limits, color=COLORS["rate"], lw=1.0, label="Bayes: log prior odds")
    axes[1].plot(shift.predicted, shift.measured, "o", color=COLORS["event"], label="spikes")
    axes[1].set(xlabel="difference of log priors (nats)", ylabel="shift of the log ratio (nats)")
    axes[1].set_title("ambiguous stimuli, all pairs of causes")
    axes[1].legend()


with plt.rc_context(STYLE):
    draw()
    plt.show()
