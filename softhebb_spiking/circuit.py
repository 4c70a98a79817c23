"""Equations of the LIF circuit: why its neurons fire as a softmax, and what keeps them in range.

A neuron's current u decays by d in a step and its voltage follows at once, so that

    it fires when  gain · w_k · s + b_k + ξ − h  >  threshold.

ξ is a current from background spikes. If they arrive with probability 1 − d per step and raise the
current by an exponentially distributed amount of mean 1 nat, then ξ is exponentially distributed
[1]_, and a neuron below threshold by v fires with probability e^−v: a softmax over populations of
temperature 1/gain, whatever the inhibition h that all of them share.

References
----------
.. [1] Gaver and Lewis, "First-order autoregressive gamma sequences and point processes", Adv.
   Appl. Prob. 12, 1980.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix
from scipy.special import log_softmax, logsumexp

from softhebb_spiking.circuit_params import CircuitRun, LifCircuitParams, TwoFactorDecay
from softhebb_spiking.encoding import draw_presentation, spike_thresholds
from softhebb_spiking.philox import BACKGROUND_STREAM, uniform_words
from softhebb_spiking.validation import FloatArray, IntArray, unit_norm_samples

N_FEED_FORWARD = 8  # neurons that fire while there is input; their synapses share its inhibition
THRESHOLDS_PER_OCTAVE = 2  # of the neurons that count the layer's spikes


def current_decay(circuit: LifCircuitParams) -> float:
    """Return d = exp(−dt/τ_psp), by which a current falls in one step."""
    return math.exp(-circuit.dt_ms / circuit.psp_tau_ms)


def psp_height(circuit: LifCircuitParams) -> float:
    """Return the height g of a PSP with which the mean PSP of an input x_i is x_i."""
    rate = circuit.max_probability / circuit.largest_input
    return (1.0 - current_decay(circuit)) / rate


def feedback_per_octave(circuit: LifCircuitParams) -> float:
    """Return the inhibition, in nats per step, for each doubling of the layer's spikes.

    At most as much as keeps the loop steady: a leak of τ steps, and two steps on the way, bear a
    gain of about π/4 τ between the logarithm of the layer's rate and its inhibition.
    """
    taus = circuit.psp_tau_ms / circuit.dt_ms
    steady = 0.25 * math.pi * taus * (1.0 - current_decay(circuit)) * math.log(2.0)
    return min(circuit.gain * circuit.feedback, steady)


def common_voltage(circuit: LifCircuitParams) -> float:
    """Return what has to be taken from all voltages, in nats, threshold included.

    gain · drive − inhibition is the logarithm of a neuron's rate. Spikes at a constant rate N keep
    up a feedback of `feedback_per_octave` · log2(1 + N) / (1 − d), so that with this a layer whose
    best drive is `common_drive` fires `total_rate` spikes per step.
    """
    silence = math.log(circuit.population_size / circuit.total_rate)
    octaves = math.log2(1.0 + circuit.total_rate) / (1.0 - current_decay(circuit))
    drive = circuit.gain * circuit.common_drive
    return drive + silence - feedback_per_octave(circuit) * octaves


def firing_threshold(circuit: LifCircuitParams) -> float:
    """Return the threshold above the resting voltage, in nats: `threshold`, or less if need be."""
    return max(0.0, min(circuit.threshold, common_voltage(circuit)))


def feed_forward_inhibition(circuit: LifCircuitParams) -> float:
    """Return the inhibition, in nats, while there is input; it grows as the PSPs do."""
    return max(0.0, common_voltage(circuit) - circuit.threshold)


def common_drive(drives: FloatArray, temperature: float, quantile: float = 0.02) -> float:
    """Return the drive that all samples but a few have in common.

    Parameters
    ----------
    drives : ndarray of shape (n_samples, n_units)
        w_k · x.
    temperature : float
        τ.
    quantile : float
        Share of samples with less.

    Returns
    -------
    float
        That quantile of τ log Σ_k e^(u_k/τ), at least 0.
    """
    best = temperature * logsumexp(np.asarray(drives) / temperature, axis=1)
    return max(0.0, float(np.quantile(best, quantile)))


def circuit_for_samples(
    weights: FloatArray, samples: FloatArray, *, gain: float, **options: Any
) -> LifCircuitParams:
    """Return a circuit that fits weights, and samples like those it will be shown.

    Parameters
    ----------
    weights : ndarray of shape (n_units, n_features)
        Weights.
    samples : ndarray of shape (n_samples, n_features)
        Non-negative; scaled to unit norm inside.
    gain : float
        See `LifCircuitParams`.
    **options
        Other parameters of the circuit; `common_drive` and `largest_input` are chosen from the
        samples unless given.

    Returns
    -------
    LifCircuitParams
    """
    shown = unit_norm_samples(samples)
    n_units, n_features = np.shape(weights)
    chosen = {
        "common_drive": common_drive(shown @ np.asarray(weights).T, 1.0 / gain),
        "largest_input": float(shown.max()),
    }
    return LifCircuitParams(n_features=n_features, n_units=n_units, gain=gain, **(chosen | options))


def exponential_heights(n: int) -> FloatArray:
    """Return n synaptic weights, the means of n equally likely parts of Exp(1); their mean is 1.

    The part above its share q has the mean 1 − log(1 − q), so the integral of the part between
    two shares is the difference of (1 − q)(1 − log(1 − q)).
    """
    rest = 1.0 - np.arange(n) / n
    above = np.append(rest * (1.0 - np.log(rest)), 0.0)
    return np.asarray(n * (above[:-1] - above[1:]))


def background_synapses(circuit: LifCircuitParams, seed: int) -> csr_matrix:
    """Return the synapses of background sources, nats, shape (n_neurons, n_background).

    Each neuron hears `background_fan_in` sources chosen at random; its weights are
    `exponential_heights` in random order.
    """
    fan_in, shape = circuit.background_fan_in, (circuit.n_neurons, circuit.n_background)
    generator = np.random.default_rng([seed, BACKGROUND_STREAM])
    order = generator.random(shape).argpartition(fan_in - 1, axis=1)[:, :fan_in]
    heights = generator.permuted(np.tile(exponential_heights(fan_in), (shape[0], 1)), axis=1)
    starts = np.arange(shape[0] + 1) * fan_in
    return csr_matrix((heights.ravel(), order.ravel(), starts), shape=shape)


def background_probability(circuit: LifCircuitParams) -> float:
    """Return the spike probability of a source, with which a neuron hears 1 − d spikes a step."""
    return (1.0 - current_decay(circuit)) / circuit.background_fan_in


def counting_thresholds(circuit: LifCircuitParams) -> IntArray:
    """Return how many spikes of the layer each counting neuron needs, ascending.

    They are spaced so that of N spikes about THRESHOLDS_PER_OCTAVE · log2(1 + N) neurons fire.
    """
    n = math.floor(THRESHOLDS_PER_OCTAVE * math.log2(1 + circuit.n_neurons))
    octaves = np.arange(1, n + 1) / THRESHOLDS_PER_OCTAVE
    return np.asarray(np.ceil(np.exp2(octaves) - 1.0), np.int64)


def input_spikes(run: CircuitRun) -> IntArray:
    """Return the input spikes as 0 and 1, shape (n_samples · presentation_steps, n_features)."""
    circuit, samples = run.circuit, run.samples
    assert samples is not None
    n_steps = circuit.presentation_steps
    thresholds = spike_thresholds(circuit.max_probability / circuit.largest_input * samples)
    spikes = np.zeros((len(samples) * n_steps, circuit.n_features), np.int64)
    for number, row in enumerate(thresholds):
        starts, indices = draw_presentation(row, n_steps, run.seed, run.first_sample + number)
        steps = np.repeat(np.arange(n_steps), np.diff(starts))
        spikes[number * n_steps + steps, indices] = 1
    return spikes


def background_spikes(run: CircuitRun, n_steps: int) -> IntArray:
    """Return the background spikes of a run as 0 and 1, shape (n_steps, n_background)."""
    threshold = spike_thresholds(np.asarray(background_probability(run.circuit)))
    spikes = np.empty((n_steps, run.circuit.n_background), np.int64)
    seed: Any = np.uint64(run.seed)
    for step in range(n_steps):
        words = uniform_words(seed, BACKGROUND_STREAM, run.first_sample, step, spikes.shape[1])
        spikes[step] = words < threshold
    return spikes


@dataclass(frozen=True)
class FittedTemperature:
    """A temperature, and its standard error.

    Attributes
    ----------
    value, standard_error : float
        Both in units of the drive.
    """

    value: float
    standard_error: float


def fit_temperature(
    drives: FloatArray, counts: IntArray, log_prior: FloatArray | None = None
) -> FittedTemperature:
    """Return the temperature at which softmax explains spike counts best.

    Maximum likelihood over 1/τ. The error is that of an M-estimator [1]_ over presentations, since
    the spikes of one presentation come in bursts and are no independent draws.

    Parameters
    ----------
    drives : ndarray of shape (n_samples, n_units)
        w_k · x.
    counts : ndarray of shape (n_samples, n_units)
        Spikes.
    log_prior : ndarray of shape (n_units,), optional
        Log prior, nats.

    Returns
    -------
    FittedTemperature

    Raises
    ------
    ValueError
        If nothing fired, the drives of no sample differ, or only the best units fired.

    References
    ----------
    .. [1] White, "Maximum likelihood estimation of misspecified models", Econometrica 50, 1982.
    """
    drives, counts = np.asarray(drives, np.float64), np.asarray(counts)
    prior = 0.0 if log_prior is None else np.asarray(log_prior)
    spread = np.ptp(drives, axis=1).max()
    if counts.sum() == 0 or spread == 0.0:
        raise ValueError(
            f"A temperature cannot be read from {counts.sum()} spikes at drives that differ by "
            f"{spread:g}; show drives that differ, and let the circuit fire."
        )

    def loss(log_inverse: float) -> float:
        logs = log_softmax(drives * math.exp(log_inverse) + prior, axis=1)
        return -float((counts * logs).sum())

    middle = -math.log(spread)
    low, high = middle - 6.0, middle + 12.0
    best = minimize_scalar(loss, bounds=(low, high), method="bounded")
    inverse = math.exp(best.x)
    shares = np.exp(log_softmax(drives * inverse + prior, axis=1))
    mean = (shares * drives).sum(axis=1)
    variance = (shares * drives**2).sum(axis=1) - mean**2
    scores = (counts * drives).sum(axis=1) - counts.sum(axis=1) * mean
    information = float((counts.sum(axis=1) * variance).sum())
    if information == 0.0 or not low + 0.1 < best.x < high - 0.1:
        raise ValueError(
            "A temperature cannot be read from these spikes: they fit any that is low enough, or "
            "high enough. Show drives that differ less, or more, than they do."
        )
    error = math.sqrt(float((scores**2).sum())) / information
    return FittedTemperature(1.0 / inverse, error / inverse**2)


def tangent_decay(
    circuit: LifCircuitParams, mean_drive: float, mean_trace: float, trace_tau_ms: float = 20.0
) -> TwoFactorDecay:
    """Return the decay of a two-factor rule that keeps the norms of all weights at 1.

    Oja's rule decays by u_k w. A neuron with two factors does not know u_k, but its own recent
    spikes tell: inhibition grows by `feedback` per octave of spikes, so at equilibrium

        d log(1 + N) / du = gain (1 − d) log(2) / (nats of inhibition per octave),

    and the mean trace y1 of its spikes follows N. The decay c0 + c1 y1 is the tangent of u there:
    it has the value u and the slope 1 where y1 is `mean_trace`. Without it (c1 = 0) the norm at
    the fixed point, |E[y_k s]| / (E[y_k] c0), is the mean resultant length of what the unit wins,
    which differs between units.

    Parameters
    ----------
    circuit : LifCircuitParams
        The circuit.
    mean_drive : float
        Mean drive of the unit that fires, per spike.
    mean_trace : float
        Mean of its trace y1, per spike.
    trace_tau_ms : float
        Time constant of the trace.

    Returns
    -------
    TwoFactorDecay

    Raises
    ------
    ValueError
        If feedback is so strong that spikes hardly follow the drive.
    """
    leak = 1.0 - current_decay(circuit)
    slope = circuit.gain * leak * math.log(2.0) / feedback_per_octave(circuit)
    share = 1.0 / (mean_drive * slope)
    if share >= 1.0:
        raise ValueError(
            f"Spikes tell too little of a drive of {mean_drive:g}: at equilibrium their logarithm "
            f"rises by {slope:.3g} per unit of drive. Lower feedback, below "
            f"{circuit.feedback / share:.3g}, makes it rise faster."
        )
    return TwoFactorDecay(
        constant=(1.0 - share) * mean_drive,
        per_spike=share * mean_drive / mean_trace,
        trace_tau_ms=trace_tau_ms,
    )


def mean_spike_trace(counts: IntArray, circuit: LifCircuitParams, trace_tau_ms: float) -> float:
    """Return the mean, per spike, of the trace that a neuron's own spikes leave.

    Parameters
    ----------
    counts : ndarray of shape (n_samples, presentation_steps, n_units)
        Spikes of single neurons.
    circuit : LifCircuitParams
        Gives the duration of a step.
    trace_tau_ms : float
        Time constant of the trace.
    """
    series = counts.reshape(-1, counts.shape[-1])
    decay = math.exp(-circuit.dt_ms / trace_tau_ms)
    trace, total = np.zeros(series.shape[1]), 0.0
    for fired in series:
        trace = decay * trace + fired
        total += float(trace @ fired)
    return total / max(1.0, float(series.sum()))
