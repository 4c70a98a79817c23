"""Posterior: with frozen weights, spike counts are samples of the softmax posterior.

Three independent questions are asked of every rung. Is the drive w·x? Given drive and inhibition,
do populations fire with ρ_k ∝ exp(u_k/τ + b_k), whatever h is? And does what comes out, all noise
included, come close to the posterior of the rate network?
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from softhebb_spiking import theory
from softhebb_spiking.params import Run, RunResult
from softhebb_spiking.validation import FloatArray, IntArray
from softhebb_spiking.verification._plan import (
    FIXED,
    K_SIGMA,
    REQUIREMENT,
    SLOW_RUNGS,
    Ladder,
    Simulator,
)
from softhebb_spiking.verification._statistics import (
    normalized_counts,
    sampling_floor,
    slope_through_origin,
    total_variation,
)
from softhebb_spiking.verification.check import Check

NOISE_ALLOWANCE = 0.04
ROUNDING_ALLOWANCE = 0.02
MAX_LOST_SHARE = 0.01
TOTAL_RATE = (0.8, 1.6)
_LOG_LOWEST_RATE = -12.0


def plan(ladder: Ladder, simulators: Mapping[str, Simulator]) -> dict[tuple[str, str], Run]:
    """Show test samples to every rung, with spike feedback and frozen weights."""
    sizes = ladder.sizes
    return {
        ("posterior", rung): ladder.run(
            ladder.network,
            ladder.X_test[: sizes.slow_posterior if rung in SLOW_RUNGS else sizes.posterior],
            probes=("drive", "inhibition"),
            keep_spikes=True,
        )
        for rung in ladder.rungs
    }


def evaluate(ladder: Ladder, results: Mapping[tuple[str, str], RunResult]) -> list[Check]:
    """Ask the three questions of every rung."""
    checks = []
    for rung in ladder.rungs:
        result = results["posterior", rung]
        X = ladder.X_test[: len(result.spike_counts)]
        rates = _LogRates(ladder, result)
        checks += [
            _silence(rung, result),
            _total_rate(ladder, rung, result),
            _total_variation(ladder, rung, X, result, results),
            _drive(ladder, rung, X, result),
            rates.log_ratio_slope(rung),
            rates.dependence_on_inhibition(rung),
            rates.saturation(rung),
        ]
    return checks


def _silence(rung: str, result: RunResult) -> Check:
    return Check(
        name="posterior/silent samples",
        rungs=(rung,),
        statistic="samples without a single output spike while read",
        value=float((result.spike_counts.sum(axis=1) == 0).sum()),
        high=0.0,
        bound_from="exact",
    )


def _total_rate(ladder: Ladder, rung: str, result: RunResult) -> Check:
    net = ladder.network
    nominal = net.total_rate * net.n_steps
    return Check(
        name="posterior/total rate",
        rungs=(rung,),
        statistic="output spikes of the layer, as a multiple of total_rate",
        value=float(result.spike_counts.sum(axis=1).mean() / nominal),
        low=TOTAL_RATE[0],
        high=TOTAL_RATE[1],
        bound_from=f"{REQUIREMENT}: inhibition lags by a step, so the rate lies above",
    )


def _total_variation(
    ladder: Ladder,
    rung: str,
    X: FloatArray,
    result: RunResult,
    results: Mapping[tuple[str, str], RunResult],
) -> Check:
    y = ladder.rate.predict_proba(X)
    counts = result.spike_counts
    floor = float(sampling_floor(y, counts.sum(axis=1)).mean())
    bound = floor + NOISE_ALLOWANCE
    bound_from = (
        f"{floor:.4f} is the floor of sampling {counts.sum(axis=1).mean():.0f} spikes "
        f"a sample, {NOISE_ALLOWANCE} is allowed for the noise of the PSPs"
    )
    if rung == FIXED and "event" in ladder.rungs:
        in_float = normalized_counts(results["posterior", "event"].spike_counts)
        distance = float(total_variation(in_float, y).mean())
        bound = distance + ROUNDING_ALLOWANCE
        bound_from = f"{distance:.4f} in floating point, {ROUNDING_ALLOWANCE} more is allowed"
    return Check(
        name="posterior/total variation",
        rungs=("rate", rung),
        statistic=f"mean TV between spike-count and softmax posterior, {len(X)} test samples",
        value=float(total_variation(normalized_counts(counts), y).mean()),
        high=bound,
        bound_from=bound_from,
    )


def _drive(ladder: Ladder, rung: str, X: FloatArray, result: RunResult) -> Check:
    """Regress the time-averaged drive on w·x; the slope must be 1.

    A spike of input i moves the mean drive by a fixed kernel of its step, so with Bernoulli inputs
    of probability p_i the variance of the slope follows exactly.
    """
    net = ladder.network
    decay = np.exp(-net.dt_ms / net.psp_tau_ms)
    kernel = _mean_kernel(net.settle_steps, net.n_steps, decay)
    # The PSP is read from one step later than the drive, which lags by the synapse's one step.
    lag = kernel.sum() / _mean_kernel(net.settle_steps + 1, net.n_steps, decay).sum()
    target = theory.drive(X, ladder.rate.weights_) * lag
    measured = result.probes["drive"].mean(axis=1)
    p = net.max_probability * X / X.max(axis=1, keepdims=True)
    gain = X.max(axis=1, keepdims=True) / net.max_probability * lag / kernel.sum()
    per_input = gain * np.sqrt((kernel**2).sum() * p * (1 - p))
    weighted = (target @ ladder.rate.weights_) * per_input
    sigma = float(np.sqrt((weighted**2).sum()) / (target**2).sum())
    return Check(
        name="posterior/drive",
        rungs=("rate", rung),
        statistic="slope of the time-averaged drive against w·x",
        value=slope_through_origin(target, measured),
        low=1 - K_SIGMA * sigma,
        high=1 + K_SIGMA * sigma,
        bound_from=f"{K_SIGMA:g}σ of Bernoulli inputs through the PSP kernel, σ = {sigma:.2g}",
    )


def _mean_kernel(settle_steps: int, n_steps: int, decay: float) -> FloatArray:
    """Return what a spike of each step adds to the mean drive of the steps that are read."""
    n_total = settle_steps + n_steps
    kernel = np.zeros(n_total)
    for j in range(settle_steps, n_total):
        sent = np.arange(j)
        kernel[:j] += decay ** (j - 1 - sent)
    return kernel / n_steps


class _LogRates:
    """Counts per step beside the log-rates that drive and inhibition imply.

    If a population fires with ρ = min(1, (r/M) exp(x − h)), x = u/τ + b, its counts have mean Mρ
    and variance Mρ(1 − ρ) given the past, so the score of any regressor z, Σ (n − Mρ) z, is a sum
    of martingale differences with variance Σ Mρ(1 − ρ) z².
    """

    def __init__(self, ladder: Ladder, result: RunResult) -> None:
        net = ladder.network
        drive, h = result.probes["drive"], result.probes["inhibition"]
        x = drive / net.temperature + ladder.rate.log_prior_
        log_rate = np.log(net.total_rate / net.population_size) + x - h[..., np.newaxis]
        counts = _counts_per_step(result, net.settle_steps, net.n_steps)
        # The relative log-intensity of a population within its step: what ratios depend on.
        top = x.max(axis=-1, keepdims=True)
        used = log_rate > _LOG_LOWEST_RATE
        rho = np.exp(np.minimum(log_rate, 0.0))
        self.lost = np.exp(log_rate) - rho
        self.mean = net.population_size * rho[used]
        self.variance = self.mean * (1 - rho[used])
        self.total_mean = rho.sum() * net.population_size
        self.lost_share = float(self.lost.sum() * net.population_size / self.total_mean)
        self.residual = counts[used] - self.mean
        self.ratio = (x - top)[used]
        error = h[..., np.newaxis] - np.log(np.exp(x - top).sum(-1, keepdims=True)) - top
        self.inhibition_error = np.broadcast_to(error, x.shape)[used]

    def _slope(self, regressor: FloatArray) -> tuple[float, float]:
        if not self.variance.any():  # every population saturates: nothing can be told
            return math.nan, math.nan
        centered = regressor - np.average(regressor, weights=self.variance)
        information = float((self.variance * centered**2).sum())
        return float((self.residual * centered).sum() / information), information**-0.5

    def log_ratio_slope(self, rung: str) -> Check:
        step, sigma = self._slope(self.ratio)
        return Check(
            name="posterior/log-ratio slope",
            rungs=(rung,),
            statistic="slope of log spike-count ratios against u/τ + b, step by step",
            value=1.0 + step,
            low=1 - K_SIGMA * sigma,
            high=1 + K_SIGMA * sigma,
            bound_from=f"{K_SIGMA:g}σ of binomial counts, σ = {sigma:.2g}",
        )

    def dependence_on_inhibition(self, rung: str) -> Check:
        interaction = self.ratio * (self.inhibition_error - self.inhibition_error.mean())
        step, sigma = self._slope(interaction)
        return Check(
            name="posterior/independence of h",
            rungs=(rung,),
            statistic="change of the log-ratio slope per nat of inhibition",
            value=step,
            low=-K_SIGMA * sigma,
            high=K_SIGMA * sigma,
            bound_from=f"{K_SIGMA:g}σ of binomial counts, σ = {sigma:.2g}",
        )

    def saturation(self, rung: str) -> Check:
        return Check(
            name="posterior/no saturated population",
            rungs=(rung,),
            statistic="share of output spikes lost because a population cannot fire more",
            value=self.lost_share,
            high=MAX_LOST_SHARE,
            bound_from=f"a lost share of {MAX_LOST_SHARE} moves a log ratio by as many nats",
        )


def _counts_per_step(result: RunResult, settle_steps: int, n_steps: int) -> IntArray:
    n_samples, n_units = result.spike_counts.shape
    counts = np.zeros((n_samples, n_steps, n_units), np.int64)
    rows = result.output_spikes[result.output_spikes[:, 1] >= settle_steps]
    np.add.at(counts, (rows[:, 0], rows[:, 1] - settle_steps, rows[:, 2]), 1)
    return counts
