"""
Do spikes vary because the brain is unsure?
===========================================

Cortical spike counts vary from trial to trial, with a variance about as large as the mean
(Softky and Koch, J. Neurosci. 13, 1993; Shadlen and Newsome, J. Neurosci. 18, 1998). If spikes are
samples of a posterior, part of that is uncertainty. How much, follows from how they are drawn.
"""

# %%
# Two predictions
# ---------------
# Of N spikes, each is unit k's with probability y_k.
#
# *Poisson.* If populations fire independently, with inhibition that fixes the rates (``exact``),
# counts are nearly Poisson: a Fano factor (variance/mean) of 1 whatever the posterior is.
#
# *Multinomial.* If the number N of spikes is fixed, Var[n_k] = N y_k (1 − y_k): the Fano factor is
# 1 − y_k, and only the *uncertain* unit is variable.
#
# Both hold at a given drive. Input spikes are noisy too, and their PSPs outlast many output spikes,
# so drives, and with them the posterior itself, fluctuate from trial to trial: by the law of total
# variance that adds Var[Σ_t r y_k(t)] to the counts. It is computed from the recorded drives.
#
# With ``feedback`` inhibition, which hears spikes a step late, the rate of the whole layer
# fluctuates too, common to all units. That cannot change shares of spikes, so the read-out is
# looked at by itself: the variance of the shares, summed over units and times N, is
# 1 − Σ_k y_k² for multinomial draws; the fluctuation of the posterior adds
# N Σ_k Var[mean_t y_k(t)]. And the entropy of the population that fires, over trials, should be
# the entropy of the posterior.

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import entropy

from softhebb_spiking import SoftHebb, SpikingSoftHebb, load_dataset
from softhebb_spiking.plots import COLORS, STYLE

FloatArray = NDArray[np.float64]
N_STIMULI, N_TRIALS = 60, 100
N_UNITS, TEMPERATURE, SEED = 20, 0.02, 0
MIN_COUNT = 5.0  # mean spikes of a unit in a trial, for a Fano factor


class Variability(NamedTuple):
    """Statistics over trials, one row for each stimulus."""

    posterior: FloatArray  # (n_stimuli, n_units), softmax without any noise
    mean: FloatArray  # (n_stimuli, n_units), of spike counts
    variance: FloatArray
    from_drive: FloatArray  # variance of Σ_t r y_k(t)
    given_drive: FloatArray  # variance of independent populations at a given drive
    share_variance: FloatArray  # (n_stimuli,), Σ_k Var[n_k/N] times E[N]
    share_predicted: FloatArray  # likewise, from draws at the recorded drives
    spike_entropy: FloatArray  # (n_stimuli,), of the population that fires, nats
    total_fano: FloatArray  # (n_stimuli,), of N


def variability(
    inhibition: str, n_stimuli: int = N_STIMULI, n_trials: int = N_TRIALS
) -> Variability:
    """Show each stimulus many times to a frozen network that the rate rule trained."""
    digits = load_dataset("digits")
    rate = SoftHebb(N_UNITS, temperature=TEMPERATURE, random_state=SEED).fit(digits.X_train)
    stimuli = digits.X_test[:n_stimuli]
    model = SpikingSoftHebb.from_weights(
        rate.weights_,
        inhibition=inhibition,
        temperature=TEMPERATURE,
        max_probability=0.5,
        psp_tau_ms=20.0,
        settle_steps=80,
        population_size=128,
        random_state=SEED,
    )
    recording = model.record(np.repeat(stimuli, n_trials, axis=0), probes=("drive",))
    net = recording.params
    shape = (n_stimuli, n_trials, N_UNITS)
    counts = recording.spike_counts.reshape(shape)
    y = softmax(np.asarray(recording.drive) / TEMPERATURE, axis=-1)
    rho = net.total_rate / net.population_size * y
    binomial = (net.population_size * rho * (1.0 - rho)).sum(axis=1)
    expected = net.total_rate * y.sum(axis=1)
    total = counts.sum(axis=2)
    shares = counts / total[:, :, np.newaxis]
    mean_y = y.mean(axis=1).reshape(shape)
    drawn = (y * (1.0 - y)).mean(axis=1).sum(axis=1).reshape(shape[:2]).mean(axis=1)
    moved = mean_y.var(axis=1, ddof=1).sum(axis=1) * total.mean(axis=1)
    return Variability(
        posterior=rate.predict_proba(stimuli),
        mean=counts.mean(axis=1),
        variance=counts.var(axis=1, ddof=1),
        from_drive=expected.reshape(shape).var(axis=1, ddof=1),
        given_drive=binomial.reshape(shape).mean(axis=1),
        share_variance=shares.var(axis=1, ddof=1).sum(axis=1) * total.mean(axis=1),
        share_predicted=drawn + moved,
        spike_entropy=entropy(counts.sum(axis=1), axis=1),
        total_fano=total.var(axis=1, ddof=1) / total.mean(axis=1),
    )


def fano_factors(found: Variability) -> tuple[FloatArray, FloatArray]:
    """Return the spike share and the Fano factor of each unit that fires enough."""
    fires = found.mean >= MIN_COUNT
    share = found.mean / found.mean.sum(axis=1, keepdims=True)
    return share[fires], (found.variance[fires] / found.mean[fires])


def explained_variance(found: Variability) -> float:
    """Return Σ Var[n] measured over Σ predicted by the law of total variance."""
    return float(found.variance.sum() / (found.given_drive + found.from_drive).sum())


def explained_share_variance(found: Variability) -> float:
    """Return the same ratio for the shares of spikes, which a common rate does not move."""
    return float(found.share_variance.sum() / found.share_predicted.sum())


def share_from_drive(found: Variability) -> float:
    """Return the share of the predicted variance of counts that fluctuating drives make."""
    return float(found.from_drive.sum() / (found.from_drive + found.given_drive).sum())


kinds = {name: variability(name) for name in ("exact", "feedback")}
posterior_entropy = entropy(kinds["exact"].posterior, axis=1)
for name, found in kinds.items():
    share, fano = fano_factors(found)
    sure, unsure = fano[share > 0.9], fano[(share > 0.1) & (share < 0.6)]
    correlation = np.corrcoef(posterior_entropy, found.share_variance)[0, 1]
    print(
        f"{name}: Fano factor, median of units with share > 0.9 {np.median(sure):.2f}, "
        f"0.1 to 0.6 {np.median(unsure):.2f}; of all spikes {found.total_fano.mean():.2f}"
    )
    print(
        f"  measured / predicted variance: counts {explained_variance(found):.2f}, shares "
        f"{explained_share_variance(found):.2f}; of the predicted variance of counts "
        f"{share_from_drive(found):.0%} is the drive's"
    )
    difference = np.mean(found.spike_entropy - posterior_entropy)
    print(
        f"  entropy of spikes − of the posterior {difference:+.3f} nats on average; correlation of "
        f"the variance of shares with entropy {correlation:.2f}"
    )

# %%
# Measured beside predicted
# -------------------------
# With ``exact`` inhibition a sure unit is a Poisson process. An uncertain one is more variable than
# the draws of its spikes alone would make it, because the posterior itself moves with the noise of
# the inputs, and most where it is undecided: so variability does grow with uncertainty, but more
# through the inputs than through sampling. Spikes over many trials have the posterior's entropy,
# somewhat raised by the same noise. Feedback adds a fluctuation that is common to all units and
# leaves their shares as they were.


def draw() -> None:
    """Draw Fano factors, the variance of the read-out, and the entropy of spikes."""
    figure, axes = plt.subplots(1, 3, figsize=(10.0, 3.9), layout="constrained")
    line = {"color": "#777777", "lw": 1.0}
    axis = np.linspace(0.0, 0.95, 96)
    axes[0].plot(axis, np.ones_like(axis), ls="--", **line, label="Poisson")
    axes[0].plot(axis, 1.0 - axis, **line, label="multinomial, independent spikes")
    axes[1].plot(axis[1:], axis[1:], **line)
    axes[2].plot([0.0, 2.5], [0.0, 2.5], **line)
    marks = {"marker": "o", "ls": "", "ms": 3.0, "alpha": 0.7, "mew": 0.0}
    exact = kinds["exact"]
    fires = exact.mean >= MIN_COUNT
    for name, color in (("feedback", COLORS["event"]), ("exact", COLORS["lava"])):
        found, look = kinds[name], marks | {"color": color, "label": name}
        axes[0].plot(*fano_factors(found), **look)
        gini = 1.0 - (found.posterior**2).sum(axis=1)
        axes[1].plot(gini, found.share_variance, **look)
        axes[2].plot(posterior_entropy, found.spike_entropy, **look)
    predicted = marks | {"marker": "_", "ms": 7.0, "mew": 1.2, "color": "#000000"}
    predicted["label"] = "exact, predicted from the drives"
    law = (exact.given_drive + exact.from_drive)[fires] / exact.mean[fires]
    axes[0].plot(fano_factors(exact)[0], law, **predicted)
    axes[1].plot(1.0 - (exact.posterior**2).sum(axis=1), exact.share_predicted, **predicted)
    axes[0].set(
        xlabel="spike share of the unit", ylabel="Fano factor", yscale="log", ylim=(0.3, 40)
    )
    axes[1].set(xlabel="1 − Σ y², uncertainty", ylabel="N · Σ Var[share]", yscale="log")
    axes[2].set(xlabel="entropy of the posterior (nats)", ylabel="entropy of spikes (nats)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)


with plt.rc_context(STYLE):
    draw()
    plt.show()
