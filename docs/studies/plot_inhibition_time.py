"""
How fast must inhibition be?
============================

Lateral inhibition finds the normaliser of the posterior. It hears the layer's spikes one step
late, and corrects itself with a time constant of its own. How slow may it be before spikes are no
longer samples of the posterior, and before the layer bursts whenever a stimulus comes?
"""

# %%
# From a gain to a time constant
# ------------------------------
# With ``inhibition="feedback"`` the pool moves by κ log((N + ½)/(r + ½)) nats in each step, where
# N is the number of spikes of the layer and r the number aimed at. The mean of log(N + ½) is the
# log of the mean of N, to second order, if N is Poisson; so that is κ times the distance to the log
# of the normaliser, and without its trend the pool would come closer by the factor 1 − κ a step:
#
#     τ_inh = −dt / log(1 − κ),  about dt/κ for a small gain;
#
# from κ = 1 on it oversteps and oscillates. The trend v adds memory with the time constant of the
# PSP, so that (distance, v) follow a matrix with the rows (1 − (2 − d) κ, d) and (−(1 − d) κ, d),
# where d = exp(−dt/τ_psp). The log of its larger eigenvalue gives the slowest relaxation.

from __future__ import annotations

from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from softhebb_spiking import SoftHebb, SpikingSoftHebb, load_dataset
from softhebb_spiking.params import NetworkParams
from softhebb_spiking.plots import COLORS, STYLE

FloatArray = NDArray[np.float64]
GAINS = (0.03, 0.05, 0.08, 0.15, 0.3, 0.5, 0.7, 0.9)
N_SAMPLES = 100
SEED = 0
NETWORK: dict[str, Any] = {
    "temperature": 0.02,
    "max_probability": 0.5,
    "psp_tau_ms": 20.0,
    "settle_steps": 60,
    "n_steps": 100,
    "population_size": 128,
    "random_state": SEED,
}


def inhibition_tau_ms(net: NetworkParams) -> float:
    """Return the time constant of the pool without its trend, −dt/log(1 − κ), for κ < 1."""
    return float(-net.dt_ms / np.log1p(-net.inhibition_gain))


def slowest_tau_ms(net: NetworkParams) -> float:
    """Return the time constant of the slowest relaxation of the pool with its trend."""
    kappa, d = net.inhibition_gain, np.exp(-net.dt_ms / net.psp_tau_ms)
    eigenvalues = np.linalg.eigvals([[1.0 - (2.0 - d) * kappa, d], [-(1.0 - d) * kappa, d]])
    return float(-net.dt_ms / np.log(np.abs(eigenvalues).max()))


# %%
# What is measured
# ----------------
# On digits, with weights that the rate rule learned, the same for all: the total variation between
# the shares of spikes and the softmax posterior; the variance of the layer's spikes in a step over
# their mean, which is 1 for a Poisson process, after settling; and the highest rate after the
# onset, averaged over samples, as a multiple of the rate aimed at. ``exact`` inhibition, an oracle
# that sees all drives at once, is the limit of no delay and no time constant.


class Measured(NamedTuple):
    """What one kind of inhibition does."""

    tau_ms: float
    slowest_tau_ms: float
    total_variation: float
    fano_factor: float
    mean_rate: float  # after settling, as a multiple of the rate aimed at
    overshoot: float  # highest rate after the onset, likewise
    course: FloatArray  # rate after the onset, likewise, in each step


def measure(weights: FloatArray, stimuli: FloatArray, **changes: Any) -> Measured:
    """Show stimuli to a frozen network, and look at the spikes of the layer in each step."""
    model = SpikingSoftHebb.from_weights(weights, **(NETWORK | changes))
    recording = model.record(stimuli)
    net = recording.params
    softmax = SoftHebb.from_weights(weights, temperature=net.temperature).predict_proba(stimuli)
    shares = recording.spike_counts / recording.spike_counts.sum(axis=1, keepdims=True)
    per_step = np.zeros((len(stimuli), net.presentation_steps))
    np.add.at(per_step, (recording.output_spikes[:, 0], recording.output_spikes[:, 1]), 1.0)
    read = per_step[:, net.settle_steps :]
    course = per_step.mean(axis=0) / net.total_rate
    feedback = net.inhibition == "feedback"
    return Measured(
        tau_ms=inhibition_tau_ms(net) if feedback else 0.0,
        slowest_tau_ms=slowest_tau_ms(net) if feedback else 0.0,
        total_variation=float(0.5 * np.abs(shares - softmax).sum(axis=1).mean()),
        fano_factor=float((read.var(axis=1) / read.mean(axis=1)).mean()),
        mean_rate=float(read.mean() / net.total_rate),
        overshoot=float(course.max()),
        course=course,
    )


def study(gains: tuple[float, ...], n_samples: int) -> tuple[list[Measured], Measured]:
    """Return what was measured for each gain of the feedback, and for `exact`."""
    digits = load_dataset("digits")
    weights = SoftHebb(20, temperature=0.02, random_state=SEED).fit(digits.X_train).weights_
    stimuli = digits.X_test[:n_samples]
    feedback = [measure(weights, stimuli, inhibition_gain=gain) for gain in gains]
    return feedback, measure(weights, stimuli, inhibition="exact")


feedback, exact = study(GAINS, N_SAMPLES)
print("gain   tau_inh  slowest   TV    Fano   rate  highest")
for gain, one in zip((*GAINS, "exact"), (*feedback, exact), strict=True):
    print(
        f"{gain!s:6} {one.tau_ms:6.2f} {one.slowest_tau_ms:8.2f}  {one.total_variation:.3f} "
        f"{one.fano_factor:6.2f} {one.mean_rate:6.2f} {one.overshoot:7.2f}"
    )

# %%
# Against the time constant
# -------------------------
# Inhibition is common to all units, so the ratios of their spikes do not see it: while the time
# constant is well below that of the PSPs (the grey line), the posterior is as good as an oracle's.
# What suffers first is the rate of the layer, which bursts at every onset: the drive rises with the
# PSP, and inhibition runs after it. When it is as slow as the PSP, all populations fire as fast as
# they can for most of a presentation, all alike, and the posterior is lost. Even the fastest
# feedback leaves the layer more variable than a Poisson process, and lets it burst at the onset.


def draw() -> None:
    """Draw the three measures against the time constant, and the onset."""
    _, axes = plt.subplots(2, 2, figsize=(8.5, 5.4), layout="constrained")
    tau = [one.tau_ms for one in feedback]
    panels = {
        "total_variation": "total variation to softmax",
        "fano_factor": "Fano factor of the layer",
        "overshoot": "highest rate after onset / aim",
    }
    for axis, (name, label) in zip(axes.flat, panels.items(), strict=False):
        values = [getattr(one, name) for one in feedback]
        axis.semilogx(tau, values, "o-", color=COLORS["event"], label="feedback")
        limit = getattr(exact, name)
        axis.axhline(limit, color=COLORS["rate"], ls="--", lw=1.0, label="exact: no delay")
        axis.axvline(NETWORK["psp_tau_ms"], color="#BBBBBB", lw=0.8, zorder=-1)
        axis.set(xlabel="time constant of inhibition (ms)", ylabel=label)
        if name != "total_variation":
            axis.set_yscale("log")
    axes[0, 0].set_ylim(0.0, None)
    axes[0, 0].text(1.05 * NETWORK["psp_tau_ms"], 0.25, "PSP", color="#777777")
    axes[0, 0].legend()
    for index, color in zip((1, 3, 6), ("#56B4E9", "#0072B2", "#003B5C"), strict=True):
        label = f"τ_inh = {feedback[index].tau_ms:.1f} ms"
        axes[1, 1].semilogy(feedback[index].course, color=color, lw=1.2, label=label)
    axes[1, 1].semilogy(exact.course, color=COLORS["rate"], ls="--", lw=1.0, label="exact")
    axes[1, 1].set(xlabel="time from the onset (ms)", ylabel="rate / aim")
    axes[1, 1].legend()


with plt.rc_context(STYLE):
    draw()
    plt.show()
