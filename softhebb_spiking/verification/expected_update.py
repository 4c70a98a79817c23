"""Expected update: averaged over spikes, learning does the rate update, per output spike.

A tiny learning rate makes the changes of many presentations add up at fixed weights. The target
is Σ over presentations of N/(r·n_steps) · η y_k (x − u_k w_k), N the output spikes the
presentation really drew: total rate may overshoot, direction and size per spike may not.
In integers no change is tiny, so there every presentation starts from the same weights, and the
learning rate is the one that the integers state they achieve.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from softhebb_spiking import theory
from softhebb_spiking.fixed_network import fixed_network
from softhebb_spiking.params import INHIBITIONS, FixedPointParams, NetworkParams, Run, RunResult
from softhebb_spiking.validation import FloatArray, IntArray
from softhebb_spiking.verification._plan import (
    FIXED,
    K_SIGMA,
    REQUIREMENT,
    SLOW_RUNGS,
    Ladder,
    Simulator,
)
from softhebb_spiking.verification._statistics import cosine, slope_through_origin
from softhebb_spiking.verification.check import Check

LEARNING_RATE = 1e-6
# In integers: of a presentation's update, about a hundredth is lost on its own progress.
FIXED_LEARNING_RATE = 0.01
FIXED_PRIOR_LEARNING_RATE = 1e-4
FIXED_REPEATS = 2  # updates come in few large steps, so the mean takes more presentations
MIN_COSINE = 0.995
SLOPE_BOUNDS = {"exact": (0.96, 1.02), "feedback": (0.93, 1.05), "graded": (0.93, 1.05)}
MIN_FIXED_COSINE = 0.99
FIXED_SLOPE_BOUNDS = (0.92, 1.05)
N_BLOCKS = 10
# Ten blocks estimate σ itself to a quarter: t with 9 degrees of freedom in place of 4σ.
T_QUANTILE = 7.0
CONVERGENCE_TAUS_MS = (5.0, 10.0, 20.0, 40.0)
ORDER_BOUNDS = (-1.3, -0.7)


@dataclass(frozen=True, kw_only=True)
class Convergence:
    """Error of the mean update against p_max·τ_psp.

    Attributes
    ----------
    spikes_per_psp : ndarray of shape (n_settings,)
        p_max · τ_psp / dt.
    errors : ndarray of shape (n_settings,)
        (mean update per spike − target) / ‖target‖, along the direction of the largest error.
    sigma : ndarray of shape (n_settings,)
        Their standard errors.
    order : float
        Slope of log error against log p_max·τ_psp.
    """

    spikes_per_psp: FloatArray
    errors: FloatArray
    sigma: FloatArray
    order: float


def plan(ladder: Ladder, simulators: Mapping[str, Simulator]) -> dict[tuple[str, str], Run]:
    """Show the same samples again and again; the fast rung in blocks that give error bars."""
    sizes = ladder.sizes
    samples = ladder.X_test[: sizes.update_samples]
    jobs = {}
    for rung in ladder.rungs:
        if rung in SLOW_RUNGS:
            run = _update_run(ladder, ladder.network, samples, sizes.slow_repeats)
            jobs["update", f"{rung}:feedback:0"] = run
            continue
        for inhibition in INHIBITIONS:
            net = ladder.with_inhibition(inhibition)
            repeats = sizes.update_repeats * (FIXED_REPEATS if rung == FIXED else 1)
            run = _update_run(ladder, net, samples, repeats // N_BLOCKS, rung)
            for block in range(N_BLOCKS):
                jobs["update", f"{rung}:{inhibition}:{block}"] = _block(run, block)
        if rung == FIXED:  # the order of the error is one of averaging, not of rounding
            continue
        for tau_ms in CONVERGENCE_TAUS_MS:
            net = replace(
                ladder.with_inhibition("exact"), psp_tau_ms=tau_ms, settle_steps=int(8 * tau_ms)
            )
            run = _update_run(ladder, net, samples, sizes.convergence_repeats // 2)
            for half in range(2):
                jobs["update", f"{rung}:tau{tau_ms:g}:{half}"] = _block(run, half)
    return jobs


def _update_run(
    ladder: Ladder, net: NetworkParams, samples: FloatArray, repeats: int, rung: str = ""
) -> Run:
    rates = (LEARNING_RATE, LEARNING_RATE)
    if rung == FIXED:
        rates = (FIXED_LEARNING_RATE, FIXED_PRIOR_LEARNING_RATE)
    run = ladder.run(
        net,
        np.tile(samples, (repeats, 1)),
        learning_rate=rates[0],
        prior_learning_rate=rates[1],
    )
    if rung == FIXED:
        run = replace(run, fixed=FixedPointParams(), restart=True)
    return run


def _stated_learning_rates(ladder: Ladder, rung: str) -> tuple[float, float]:
    """Return the learning rates, of weights and log prior, that a rung says it learns with."""
    if rung != FIXED:
        return LEARNING_RATE, LEARNING_RATE
    fixed = fixed_network(ladder.network, FixedPointParams(), learning_rate=FIXED_LEARNING_RATE)
    return fixed.effective_learning_rate(FIXED_LEARNING_RATE), FIXED_PRIOR_LEARNING_RATE


def _block(run: Run, number: int) -> Run:
    return replace(run, first_sample=number * len(run.samples))


def evaluate(ladder: Ladder, results: Mapping[tuple[str, str], RunResult]) -> list[Check]:
    """Check direction and size on every rung, and the order of the error on the fast one."""
    checks = []
    for rung in ladder.rungs:
        if rung in SLOW_RUNGS:
            checks += _slow_checks(ladder, rung, results)
        else:
            for inhibition in INHIBITIONS:
                checks += _fast_checks(ladder, rung, inhibition, results)
            if rung != FIXED:
                checks.append(_order_check(ladder, rung, results))
    return checks


def convergence(
    ladder: Ladder, rung: str, results: Mapping[tuple[str, str], RunResult]
) -> Convergence:
    """Measure how the error of the mean update falls with p_max·τ_psp.

    The direction of the error is taken from one half of the presentations with the shortest PSP,
    where it is largest, and every error is measured along it: one number, free of the noise of
    all other directions, and with an error bar from the two halves.
    """
    net = ladder.network
    halves = [
        [
            _relative_error(ladder, results["update", f"{rung}:tau{tau_ms:g}:{half}"])
            for half in range(2)
        ]
        for tau_ms in CONVERGENCE_TAUS_MS
    ]
    direction = halves[0].pop(0)
    direction /= np.linalg.norm(direction)
    along = [[float((error * direction).sum()) for error in own] for own in halves]
    errors = np.array([np.mean(own) for own in along])
    noise = np.sqrt(np.mean([(own[0] - own[1]) ** 2 / 2 for own in along[1:]]))
    sigma = noise / np.sqrt([len(own) for own in along])
    load = net.max_probability * np.array(CONVERGENCE_TAUS_MS) / net.dt_ms
    resolved = np.maximum(errors, sigma)
    order = np.polyfit(np.log(load), np.log(resolved), 1, w=resolved / sigma)[0]
    return Convergence(spikes_per_psp=load, errors=errors, sigma=sigma, order=float(order))


def _relative_error(ladder: Ladder, result: RunResult) -> FloatArray:
    """Return (mean update − target) / ‖target‖, shape (n_units, n_features)."""
    target, measured, _, _ = mean_update(ladder, "event", [result])
    return np.asarray((measured - target) / np.linalg.norm(target))


def mean_update(
    ladder: Ladder, rung: str, blocks: list[RunResult]
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return target and measured change of the weights, target and measured of the prior.

    All are sums over blocks of presentations of the same samples, divided by the learning rate.
    """
    w, b, net = ladder.rate.weights_, ladder.rate.log_prior_, ladder.network
    eta, eta_b = _stated_learning_rates(ladder, rung)
    X = ladder.X_test[: ladder.sizes.update_samples]
    u = theory.drive(X, w)
    y = theory.posterior(u, b, net.temperature)
    counts: IntArray = sum(block.spike_counts.reshape(-1, *y.shape).sum(axis=0) for block in blocks)
    # How often the nominal number of spikes each sample drew, over all its presentations.
    dose = counts.sum(axis=1, keepdims=True) / (net.total_rate * net.n_steps)
    target = theory.weight_update(X, u, dose * y, w)
    target_b = (dose * (y - np.exp(b))).sum(axis=0)
    measured = sum(block.weights - w for block in blocks) / eta
    # As a change of the prior itself, e^b Δb: in Δb a few units of vanishing prior outweigh all.
    measured_b = np.exp(b) * sum(block.log_prior - b for block in blocks) / eta_b
    return target, np.asarray(measured), target_b, np.asarray(measured_b)


def _fast_checks(
    ladder: Ladder, rung: str, inhibition: str, results: Mapping[tuple[str, str], RunResult]
) -> list[Check]:
    blocks = [results["update", f"{rung}:{inhibition}:{i}"] for i in range(N_BLOCKS)]
    target, measured, target_b, measured_b = mean_update(ladder, rung, blocks)
    n_shown = sum(len(block.spike_counts) for block in blocks)
    low, high = FIXED_SLOPE_BOUNDS if rung == FIXED else SLOPE_BOUNDS[inhibition]
    slopes = [_slope(ladder, rung, block) for block in blocks]
    spread = np.std(slopes, ddof=1) / np.sqrt(N_BLOCKS)
    bound_from = f"{REQUIREMENT}; standard error of the slope here {spread:.2g}"
    return [
        Check(
            name=f"expected update/direction, {inhibition}",
            rungs=("rate", rung),
            statistic=f"cosine of mean Δw over {n_shown} presentations with η y (x − u w)",
            value=cosine(target, measured),
            low=MIN_FIXED_COSINE if rung == FIXED else MIN_COSINE,
            bound_from=REQUIREMENT,
        ),
        Check(
            name=f"expected update/slope per spike, {inhibition}",
            rungs=("rate", rung),
            statistic="slope of mean Δw against η y (x − u w), per realised output spike",
            value=slope_through_origin(target, measured),
            low=low,
            high=high,
            bound_from=bound_from,
        ),
        Check(
            name=f"expected update/log prior, {inhibition}",
            rungs=("rate", rung),
            statistic="slope of mean exp(b) Δb against η (y − exp(b)), per realised output spike",
            value=slope_through_origin(target_b, measured_b),
            low=low,
            high=high,
            bound_from="as for the weights",
        ),
    ]


def _slope(ladder: Ladder, rung: str, block: RunResult) -> float:
    target, measured, _, _ = mean_update(ladder, rung, [block])
    return slope_through_origin(target, measured)


def _slow_checks(
    ladder: Ladder, rung: str, results: Mapping[tuple[str, str], RunResult]
) -> list[Check]:
    """Compare a slow rung's few presentations with the fast rung's blocks, within error bars.

    Without a fast rung to compare with, the requirements on the fast rung are used.
    """
    own = results["update", f"{rung}:feedback:0"]
    target, measured, target_b, measured_b = mean_update(ladder, rung, [own])
    n_shown = len(own.spike_counts)
    fast = [name for name in ladder.rungs if name not in (*SLOW_RUNGS, FIXED)]
    blocks = [results["update", f"{fast[0]}:feedback:{i}"] for i in range(N_BLOCKS) if fast]
    compared = [mean_update(ladder, fast[0], [block]) for block in blocks]
    share = n_shown / len(blocks[0].spike_counts) if blocks else 1.0
    lowest, origin = MIN_COSINE, REQUIREMENT
    if blocks:
        # The part of a mean update that is noise, relative, grows as presentations get fewer.
        noise = np.mean([cosine(block[0], block[1]) ** -2 - 1 for block in compared]) / share
        lowest = float((1 + 2 * noise) ** -0.5)
        origin = f"twice the noise that {fast[0]} has in as many presentations"
    weight_bound = _t_interval([slope_through_origin(c[0], c[1]) for c in compared], share)
    prior_bound = _t_interval([slope_through_origin(c[2], c[3]) for c in compared], share)
    rungs = (fast[0] if fast else "rate", rung)
    slope_origin = (
        f"mean of {rungs[0]} ± {T_QUANTILE}σ (t₉ at the false-alarm rate of {K_SIGMA:g}σ)"
    )
    return [
        Check(
            name="expected update/direction, feedback",
            rungs=("rate", rung),
            statistic=f"cosine of mean Δw over {n_shown} presentations with η y (x − u w)",
            value=cosine(target, measured),
            low=lowest,
            bound_from=origin,
        ),
        Check(
            name="expected update/slope per spike, feedback",
            rungs=rungs,
            statistic=f"slope of mean Δw over {n_shown} presentations, per spike",
            value=slope_through_origin(target, measured),
            low=weight_bound[0],
            high=weight_bound[1],
            bound_from=slope_origin if fast else REQUIREMENT,
        ),
        Check(
            name="expected update/log prior, feedback",
            rungs=rungs,
            statistic=f"slope of mean exp(b) Δb over {n_shown} presentations, per spike",
            value=slope_through_origin(target_b, measured_b),
            low=prior_bound[0],
            high=prior_bound[1],
            bound_from=slope_origin if fast else REQUIREMENT,
        ),
    ]


def _t_interval(slopes: list[float], share: float) -> tuple[float, float]:
    """Return where a slope measured on `share` of a block must lie, given those of the blocks."""
    if not slopes:
        return SLOPE_BOUNDS["feedback"]
    width = T_QUANTILE * np.std(slopes, ddof=1) * np.sqrt(1 / share + 1 / len(slopes))
    return float(np.mean(slopes) - width), float(np.mean(slopes) + width)


def _order_check(ladder: Ladder, rung: str, results: Mapping[tuple[str, str], RunResult]) -> Check:
    found = convergence(ladder, rung, results)
    listed = ", ".join(f"{error:.3f}" for error in found.errors)
    return Check(
        name="expected update/order",
        rungs=("rate", rung),
        statistic="order of the error of mean Δw in p_max·τ_psp "
        f"(errors {listed} at {', '.join(f'{x:g}' for x in found.spikes_per_psp)})",
        value=found.order,
        low=ORDER_BOUNDS[0],
        high=ORDER_BOUNDS[1],
        bound_from="theory: −1, the leading term of averaging over the noise of s",
    )
