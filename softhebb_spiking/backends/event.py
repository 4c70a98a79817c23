"""The event rung: the clocked network of `docs/model.md`, compiled, working only where spikes are.

A presentation costs one row of the weight matrix per input spike and one column per population
that fires. The decay of a whole column on learning is one multiplication, because a column is
stored as `scale_k · v_k`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit

from softhebb_spiking.encoding import (
    POPULATION_STREAM,
    draw_presentation,
    input_probabilities,
    philox_4x32,
    psp_decay,
    psp_gain,
    spike_rows,
    spike_thresholds,
)
from softhebb_spiking.params import INHIBITIONS, NetworkParams, Run, RunResult
from softhebb_spiking.validation import FloatArray, IntArray

# A population that is expected to emit fewer spikes than this in a step is not worth a draw:
# the random word has 32 bits.
_LOG_NEGLIGIBLE_RATE = -33.0 * math.log(2.0)
_SMALLEST_SCALE = 1e-6

_FEEDBACK, _GRADED, _EXACT = range(3)
_INHIBITION_CODES = dict(zip(INHIBITIONS, (_FEEDBACK, _GRADED, _EXACT), strict=True))


class _Constants(NamedTuple):
    """Numbers of a network in the form the kernel wants them."""

    concentration: float
    inhibition: int
    inhibition_gain: float
    population_size: int
    total_rate: float
    settle_steps: int
    decay: float


class _Probes(NamedTuple):
    """What is recorded in each step that is read; arrays of length 0 are not filled."""

    drive: FloatArray
    inhibition: FloatArray
    psp: FloatArray


def simulate(run: Run, *, progress: Callable[[int], None] | None = None) -> RunResult:
    """Run the network on the compiled event engine.

    Parameters
    ----------
    run : Run
        What to do.
    progress : callable, optional
        Called with the number of samples done after each.

    Returns
    -------
    RunResult
    """
    net, n_samples = run.network, len(run.samples)
    constants = _constants(net)
    columns = np.ascontiguousarray(run.weights.T)
    scales = np.ones(net.n_units)
    log_prior = run.log_prior.copy()
    spike_counts = np.zeros((n_samples, net.n_units), np.int64)
    probes = {name: _probe_array(name, run) for name in run.probes}
    input_rows: list[IntArray] = []
    output_rows: list[IntArray] = []
    gains = psp_gain(run.samples, net)
    per_spike = 1.0 / (net.total_rate * net.n_steps)
    sample_of = _SampleSpikes(run)

    for sample in range(n_samples):
        starts, indices = sample_of.inputs(sample)
        counts, clamped = sample_of.output_counts(sample)
        _present(
            constants,
            columns,
            scales,
            log_prior,
            starts,
            indices,
            gains[sample],
            counts,
            clamped,
            run.learning_rates[sample] * per_spike,
            run.prior_learning_rates[sample] * per_spike,
            run.seed,
            run.first_sample + sample,
            _sample_probes(probes, sample),
        )
        spike_counts[sample] = counts[net.settle_steps :].sum(axis=0)
        if run.keep_spikes:
            input_rows.append(spike_rows(sample, starts, indices))
            output_rows.append(_count_rows(sample, counts))
        if progress is not None:
            progress(sample + 1)

    empty = np.empty((0, 3), np.int64)
    return RunResult(
        spike_counts=spike_counts,
        weights=np.ascontiguousarray((columns * scales).T),
        log_prior=log_prior,
        input_spikes=np.concatenate([empty, *input_rows]),
        output_spikes=np.concatenate([empty, *output_rows]),
        probes=probes,
    )


class _SampleSpikes:
    """Hands out the spikes of one presentation at a time: given ones, or new draws."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._thresholds = spike_thresholds(
            input_probabilities(run.samples, run.network.max_probability)
        )
        samples = np.arange(len(run.samples) + 1)
        if run.input_spikes is not None:
            self._input_bounds = np.searchsorted(run.input_spikes[:, 0], samples)
        if run.output_spikes is not None:
            self._output_bounds = np.searchsorted(run.output_spikes[:, 0], samples)

    def inputs(self, sample: int) -> tuple[IntArray, IntArray]:
        run = self._run
        steps = run.network.presentation_steps
        if run.input_spikes is None:
            number = run.first_sample + sample
            drawn: tuple[IntArray, IntArray] = draw_presentation(
                self._thresholds[sample], steps, run.seed, number
            )
            return drawn
        rows = run.input_spikes[self._input_bounds[sample] : self._input_bounds[sample + 1]]
        return np.searchsorted(rows[:, 1], np.arange(steps + 1)), rows[:, 2].copy()

    def output_counts(self, sample: int) -> tuple[IntArray, bool]:
        run = self._run
        counts = np.zeros((run.network.presentation_steps, run.network.n_units), np.int64)
        if run.output_spikes is None:
            return counts, False
        rows = run.output_spikes[self._output_bounds[sample] : self._output_bounds[sample + 1]]
        np.add.at(counts, (rows[:, 1], rows[:, 2]), 1)
        return counts, True


def _constants(net: NetworkParams) -> _Constants:
    return _Constants(
        concentration=1.0 / net.temperature,
        inhibition=_INHIBITION_CODES[net.inhibition],
        inhibition_gain=float(net.inhibition_gain),
        population_size=int(net.population_size),
        total_rate=float(net.total_rate),
        settle_steps=int(net.settle_steps),
        decay=psp_decay(net),
    )


def _probe_array(name: str, run: Run) -> FloatArray:
    net = run.network
    widths = {"drive": (net.n_units,), "inhibition": (), "psp": (net.n_features,)}
    return np.zeros((len(run.samples), net.n_steps, *widths[name]))


def _sample_probes(probes: dict[str, FloatArray], sample: int) -> _Probes:
    off = {"drive": np.empty((0, 0)), "inhibition": np.empty(0), "psp": np.empty((0, 0))}
    views = {name: probes[name][sample] if name in probes else off[name] for name in off}
    return _Probes(**views)


def _count_rows(sample: int, counts: IntArray) -> IntArray:
    steps, units = np.nonzero(counts)
    repeats = counts[steps, units]
    return np.column_stack(
        [np.full(repeats.sum(), sample), np.repeat(steps, repeats), np.repeat(units, repeats)]
    )


@njit(cache=True)
def _present(  # type: ignore[no-untyped-def]
    net,
    columns,
    scales,
    log_prior,
    starts,
    indices,
    gain,
    counts,
    clamped,
    learning_rate,
    prior_learning_rate,
    seed,
    sample,
    probes,
):
    """Show one sample: the steps of `docs/model.md`, in its order; fills `counts` and probes."""
    n_units = log_prior.size
    u = np.zeros(n_units)
    current = np.zeros(n_units)
    psp = np.zeros(columns.shape[0])
    active = np.unique(indices)
    h = 0.0
    next_h = 0.0
    trend = 0.0
    missed = 0.0
    for step in range(starts.size - 1):
        reading = step - net.settle_steps
        for k in range(n_units):
            u[k] = net.decay * u[k] + current[k]
        if net.inhibition == _EXACT:
            h = _log_normalizer(u, log_prior, net.concentration)
        if not clamped:
            _draw_counts(net, u, log_prior, h, counts[step], seed, sample, step)
        if net.inhibition == _GRADED:  # sent before this step's learning
            missed = _log_normalizer(u, log_prior, net.concentration) - h
        if net.inhibition != _EXACT:
            if net.inhibition == _FEEDBACK:
                ratio = (counts[step].sum() + 0.5) / (net.total_rate + 0.5)
                correction = net.inhibition_gain * math.log(ratio)
            else:
                correction = _log_normalizer(u, log_prior, net.concentration) - h
            trend = net.decay * trend + (1.0 - net.decay) * correction
            next_h = h + correction + trend
        fired = indices[starts[step] : starts[step + 1]]
        for i in active:
            psp[i] *= net.decay
        for i in fired:
            psp[i] += gain
        _sum_currents(columns, scales, fired, gain, current)
        if reading >= 0:
            _probe(probes, reading, u, h, psp)
            for k in range(n_units):
                if counts[step, k] > 0 and learning_rate > 0.0:
                    eta = learning_rate * counts[step, k]
                    _learn_column(columns, scales, k, eta, u[k], psp, active)
            if prior_learning_rate > 0.0:
                _learn_log_prior(log_prior, counts[step], prior_learning_rate)
        h = next_h


@njit(cache=True)
def _log_normalizer(u, log_prior, concentration):  # type: ignore[no-untyped-def]
    """Return log Σ_k exp(u_k/τ + b_k)."""
    largest = -np.inf
    for k in range(u.size):
        largest = max(largest, concentration * u[k] + log_prior[k])
    total = 0.0
    for k in range(u.size):
        exponent = concentration * u[k] + log_prior[k] - largest
        if exponent > -40.0:  # below, the term is lost in the rounding of the sum
            total += math.exp(exponent)
    return largest + math.log(total)


@njit(cache=True)
def _draw_counts(net, u, log_prior, h, counts, seed, sample, step):  # type: ignore[no-untyped-def]
    """Draw n_k ~ Binomial(M, ρ_k), ρ_k = min(1, (r/M) exp(u_k/τ + b_k − h))."""
    log_total_rate = math.log(net.total_rate)
    for k in range(u.size):
        log_rate = log_total_rate + net.concentration * u[k] + log_prior[k] - h
        if log_rate > _LOG_NEGLIGIBLE_RATE:
            rho = min(1.0, math.exp(log_rate) / net.population_size)
            four = philox_4x32(np.uint64(seed), POPULATION_STREAM, sample, step, k // 4)
            counts[k] = binomial_quantile(four[k % 4], net.population_size, rho)


@njit(cache=True)
def binomial_quantile(word, n, p):  # type: ignore[no-untyped-def]
    """Return the Binomial(n, p) quantile at (word + ½) / 2³², by summing its probabilities.

    Parameters
    ----------
    word : uint64
        Uniform in [0, 2³²).
    n : int
        Trials, at most 1024.
    p : float
        Probability, in [0, 1].

    Returns
    -------
    int
        A Binomial(n, p) variate if `word` is uniform.
    """
    if p >= 1.0:
        return n
    if p > 0.5:  # summing from the likely end keeps (1 − p)^n inside the float range
        return n - binomial_quantile(np.uint64(0xFFFFFFFF) - word, n, 1.0 - p)
    uniform = (float(word) + 0.5) * 2.0**-32
    odds = p / (1.0 - p)
    probability = math.exp(n * math.log1p(-p))
    cumulative = probability
    k = 0
    while cumulative < uniform and k < n:
        k += 1
        probability *= odds * (n - k + 1) / k
        cumulative += probability
    return k


@njit(cache=True)
def _sum_currents(columns, scales, fired, gain, current):  # type: ignore[no-untyped-def]
    """Set a_k = g Σ_fired w_ki: one row of the transposed weights per spike."""
    current[:] = 0.0
    for i in fired:
        row = columns[i]
        for k in range(current.size):
            current[k] += row[k]
    for k in range(current.size):
        current[k] *= gain * scales[k]


@njit(cache=True)
def _learn_column(columns, scales, k, eta, u_k, psp, active):  # type: ignore[no-untyped-def]
    """Apply w_k ← w_k + η (s − u_k w_k), the decay through the scale of the column."""
    keep = 1.0 - eta * u_k
    if abs(scales[k] * keep) < _SMALLEST_SCALE:
        for i in range(columns.shape[0]):
            columns[i, k] *= scales[k] * keep
        scales[k] = 1.0
    else:
        scales[k] *= keep
    step = eta / scales[k]
    for i in active:
        columns[i, k] += step * psp[i]


@njit(cache=True)
def _learn_log_prior(log_prior, counts, rate):  # type: ignore[no-untyped-def]
    """Apply b_k ← min(0, b_k + η (n_k e^(−b_k) − N))."""
    total = counts.sum()
    for k in range(log_prior.size):
        growth = counts[k] * math.exp(-log_prior[k]) if counts[k] > 0 else 0.0
        log_prior[k] = min(0.0, log_prior[k] + rate * (growth - total))


@njit(cache=True)
def _probe(probes, reading, u, h, psp):  # type: ignore[no-untyped-def]
    if probes.drive.size:
        probes.drive[reading] = u
    if probes.inhibition.size:
        probes.inhibition[reading] = h
    if probes.psp.size:
        probes.psp[reading] = psp
