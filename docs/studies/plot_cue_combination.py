"""
Two cues combined as Bayes asks
===============================

People who see and feel an object weight both cues by their reliability, and are surer with both
than with either (Ernst and Banks, Nature 415, 2002). Here the spikes of a soft winner-take-all
layer are samples of the posterior over a hidden position. Do they have its mean and variance, and
is that variance the error that is really made?
"""

# %%
# The model
# ---------
# A hidden position s gives two cues, m₁ and m₂. Cue i reaches the network as the activity of
# neurons with Gaussian tuning curves of width σ_t, densely spaced: the profile f(c − m_i), of unit
# norm, times a gain γ_i. A third population, tuned to something else, fills the input up to unit
# norm, so that gains are absolute: γ₁² + γ₂² + γ₀² = 1. Unit k stands for the position s_k; its
# weights, given and not learned here, are the profile at s_k in both populations, each times 1/√2,
# so that they have unit norm:
#
#     u_k = (γ₁ C(s_k − m₁) + γ₂ C(s_k − m₂)) / √2,     C(d) = Σ_c f(c) f(c − d) = exp(−d²/4σ_t²)
#
# Hence exp(u_k/τ) is a product of two von Mises–Fisher likelihoods, one for each cue, of the
# *direction* f(· − m_i) about f(· − s), with concentrations κ_i = γ_i / (√2 τ): given s, the cues
# are independent, and the gain of a population is the reliability of its cue. The optimum is the
# product of these densities over the grid; it needs no fit and no approximation. With these weights
# it is the softmax of the drives, by algebra. What is tested is what spikes make of it: populations
# that compete through inhibition which hears them late, with noisy drives.
#
# How reliable a cue is, is put in by hand, through gain and τ. It is the uncertainty of the model
# about the world, not a limit of the spikes that come in: those tell the m_i far more precisely.
#
# Near its peak C(d) ≈ 1 − d²/4σ_t², so each likelihood is nearly Gaussian with
# σ_i² = 2σ_t²/κ_i, and the optimum nearly has the mean (m₁/σ₁² + m₂/σ₂²)/(1/σ₁² + 1/σ₂²) and the
# variance 1/(1/σ₁² + 1/σ₂²): the formulas of Ernst and Banks. That is the only approximation here;
# it is good while σ_i and the distance of the cues are small against σ_t. (So are 0.25 between
# positions and between tuning curves: sums over them are as good as integrals.)

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from softhebb_spiking import SpikingSoftHebb, theory
from softhebb_spiking.plots import COLORS, STYLE

FloatArray = NDArray[np.float64]
TUNING_WIDTH = 8.0
CENTRES = np.arange(-36.0, 36.01, 0.25)  # of the tuning curves of either cue
POSITIONS = np.arange(-11.0, 11.01, 0.25)  # s_k, one for each unit
CUES = (-1.0, 1.0)
TEMPERATURE = 0.005
# The stronger cue always has gain 0.6.
GAINS = ((0.2, 0.6), (0.35, 0.6), (0.6, 0.6), (0.6, 0.35), (0.6, 0.2))


def profile(position: float) -> FloatArray:
    """Return the activity of one population at a position, of unit norm."""
    activity = np.exp(-((CENTRES - position) ** 2) / (2.0 * TUNING_WIDTH**2))
    return np.asarray(activity / np.linalg.norm(activity))


def sample(gains: tuple[float, float], cues: tuple[float, float] = CUES) -> FloatArray:
    """Return the input for both cues with their gains; a gain of 0 takes the cue away."""
    rest = np.full(CENTRES.size, np.sqrt((1.0 - np.square(gains).sum()) / CENTRES.size))
    shown = [gain * profile(cue) for gain, cue in zip(gains, cues, strict=True)]
    return np.concatenate([*shown, rest])


def weights() -> FloatArray:
    """Return the weights of all units: the profile of their position, alike in both cues."""
    profiles = np.array([profile(position) for position in POSITIONS])
    both = np.hstack([profiles, profiles, np.zeros_like(profiles)])
    return np.asarray(both / np.sqrt(2.0))


# %%
# The optimum, from the densities
# -------------------------------


class Belief(NamedTuple):
    """Mean and variance over the grid of positions."""

    mean: float
    variance: float


def moments(posterior: FloatArray) -> Belief:
    """Return mean and variance of a posterior over the positions."""
    mean = float(posterior @ POSITIONS)
    return Belief(mean, float(posterior @ (POSITIONS - mean) ** 2))


def concentrations(gains: tuple[float, float]) -> FloatArray:
    """Return κ_i = γ_i / (√2 τ)."""
    return np.asarray(gains) / (np.sqrt(2.0) * TEMPERATURE)


def optimal_posterior(gains: tuple[float, float]) -> FloatArray:
    """Multiply the densities of the cues that are there, position by position."""
    log_density = np.zeros(POSITIONS.size)
    for cue, kappa in zip(CUES, concentrations(gains), strict=True):
        if kappa > 0.0:
            direction = profile(cue)[np.newaxis]
            for k, position in enumerate(POSITIONS):
                mean = profile(position)[np.newaxis]
                density = theory.log_likelihood(direction, mean, np.zeros(1), 1.0 / kappa)
                log_density[k] += density[0]
    return np.asarray(softmax(log_density))


def gaussian_optimum(gains: tuple[float, float]) -> Belief:
    """Return the precision-weighted mean and variance of Ernst and Banks."""
    precision = concentrations(gains) / (2.0 * TUNING_WIDTH**2)
    return Belief(float(precision @ np.array(CUES) / precision.sum()), 1.0 / precision.sum())


# %%
# What the spikes say
# -------------------
# Each input stands for a group of neurons, which fires in up to half of all milliseconds; PSPs last
# 50 ms. What is left of the noise of input spikes moves the drives, and adds a little to the
# variance of what is read. Inhibition is local feedback.

N_PRESENTATIONS = 20


def shares_of_spikes(samples: FloatArray) -> FloatArray:
    """Return the share of the spikes of each unit, for each sample."""
    network = SpikingSoftHebb.from_weights(
        weights(),
        temperature=TEMPERATURE,
        max_probability=0.5,
        psp_tau_ms=50.0,
        settle_steps=250,
        n_steps=1000,
        population_size=64,
        random_state=0,
    )
    return network.predict_proba(samples)


def spiking_posterior(gains: tuple[float, float], n_presentations: int) -> FloatArray:
    """Return the share of the spikes of each unit, averaged over presentations."""
    samples = np.tile(sample(gains), (n_presentations, 1))
    return np.asarray(shares_of_spikes(samples).mean(axis=0))


class Comparison(NamedTuple):
    """One pair of reliabilities: measured, and what it should be."""

    gains: tuple[float, float]
    spikes: Belief
    optimum: Belief
    gaussian: Belief
    alone: tuple[Belief, Belief]
    posterior: FloatArray

    @property
    def mean_error(self) -> float:
        """Distance of the means, as a share of the distance between the cues."""
        return abs(self.spikes.mean - self.optimum.mean) / (CUES[1] - CUES[0])

    @property
    def variance_error(self) -> float:
        """Relative error of the variance."""
        return abs(self.spikes.variance / self.optimum.variance - 1.0)

    @property
    def additivity_error(self) -> float:
        """Error of 1/σ² = 1/σ₁² + 1/σ₂², all three variances measured from spikes."""
        predicted = 1.0 / sum(1.0 / belief.variance for belief in self.alone)
        return abs(self.spikes.variance / predicted - 1.0)


def compare(gains: tuple[float, float], n_presentations: int = N_PRESENTATIONS) -> Comparison:
    """Show both cues together and each alone."""
    both = spiking_posterior(gains, n_presentations)
    alone = [
        moments(spiking_posterior(single, n_presentations))
        for single in ((gains[0], 0.0), (0.0, gains[1]))
    ]
    return Comparison(
        gains=gains,
        spikes=moments(both),
        optimum=moments(optimal_posterior(gains)),
        gaussian=gaussian_optimum(gains),
        alone=(alone[0], alone[1]),
        posterior=both,
    )


comparisons = [compare(gains) for gains in GAINS]
print("gains         mean: spikes optimum Gauss | variance: spikes optimum Gauss | errors")
for one in comparisons:
    beliefs = (one.spikes, one.optimum, one.gaussian)
    means = " ".join(f"{belief.mean:7.3f}" for belief in beliefs)
    variances = " ".join(f"{belief.variance:6.3f}" for belief in beliefs)
    errors = f"mean {one.mean_error:.1%}, variance {one.variance_error:.1%}"
    print(f"{one.gains}  {means} | {variances} | {errors}, additivity {one.additivity_error:.1%}")

# %%
# Is it as wrong as it says?
# --------------------------
# If an observer knows how sure to be, the mean squared error of its estimates is the variance of
# its posteriors. Cues are drawn here from the model, m_i about s = 0 with the standard deviations
# σ_i, new ones for each presentation; the estimate is the mean position of the spikes.

N_TRIALS = 100


def error_over_variance(gains: tuple[float, float], n_trials: int = N_TRIALS) -> float:
    """Return the mean squared error of estimates over the mean variance of posteriors."""
    rng = np.random.default_rng([0, *(round(100 * gain) for gain in gains)])
    sigma = np.sqrt(2.0 * TUNING_WIDTH**2 / concentrations(gains))
    drawn = sigma * rng.standard_normal((n_trials, 2))
    shares = shares_of_spikes(np.array([sample(gains, tuple(cues)) for cues in drawn]))
    beliefs = [moments(posterior) for posterior in shares]
    error = np.mean([belief.mean**2 for belief in beliefs])
    return float(error / np.mean([belief.variance for belief in beliefs]))


ratios = [error_over_variance(gains) for gains in GAINS]
# The mean of n squares of Gaussians has a relative standard error of √(2/n).
print("squared error / variance:", *(f"{ratio:.2f}" for ratio in ratios))
print(f"all {np.mean(ratios):.2f}, standard error {np.sqrt(2.0 / N_TRIALS / len(GAINS)):.2f}")

# %%
# Bayes' line and the spikes
# --------------------------


def draw() -> None:
    """Draw one posterior, and mean and variance over all reliabilities."""
    _, axes = plt.subplots(1, 3, figsize=(9.5, 3.0), layout="constrained")
    example = comparisons[1]
    axes[0].plot(POSITIONS, optimal_posterior(example.gains), color=COLORS["rate"], label="Bayes")
    axes[0].plot(POSITIONS, example.posterior, ".", color=COLORS["event"], label="spikes")
    for single in np.diag(example.gains):
        axes[0].plot(POSITIONS, optimal_posterior(tuple(single)), color="#AAAAAA", lw=1.0, ls="--")
    axes[0].plot([], [], color="#AAAAAA", lw=1.0, ls="--", label="one cue alone")
    axes[0].set(
        xlim=(-7, 7),
        ylim=(0.0, 0.15),
        xlabel="position s",
        ylabel="posterior",
        title="gains 0.35 and 0.6",
    )
    axes[0].legend(loc="upper left")
    share = [gains[1] / sum(gains) for gains in GAINS]
    for axis, name in zip(axes[1:], Belief._fields, strict=True):
        optimum = [getattr(one.optimum, name) for one in comparisons]
        formula = [getattr(one.gaussian, name) for one in comparisons]
        axis.plot(share, optimum, color=COLORS["rate"], label="Bayes")
        axis.plot(share, formula, color="#D55E00", ls=":", label="Gaussian formula")
        measured = [getattr(one.spikes, name) for one in comparisons]
        axis.plot(share, measured, "o", color=COLORS["event"], label="spikes, both cues")
        axis.set(xlabel="γ₂ / (γ₁ + γ₂)", title=f"{name} of the posterior")
    for i, mark in enumerate("<>"):
        alone = [one.alone[i].variance for one in comparisons]
        axes[2].plot(share, alone, mark, color="#AAAAAA", label=f"spikes, cue {i + 1} alone")
    axes[2].set_ylim(0.0, 9.0)
    axes[1].legend()
    axes[2].legend()


with plt.rc_context(STYLE):
    draw()
    plt.show()
