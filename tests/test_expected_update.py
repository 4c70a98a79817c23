"""The expected-update comparison, on results whose update is a chosen multiple of the target."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hand_made import (
    TINY,
    Floats,
    assert_same_run,
    by_name,
    groups_of,
    made_ladder,
)
from numpy.typing import NDArray

from softhebb_spiking.fixed_network import fixed_network
from softhebb_spiking.params import (
    INHIBITIONS,
    FixedPointParams,
    NetworkParams,
    Run,
    RunResult,
)
from softhebb_spiking.verification import (
    expected_update,
)
from softhebb_spiking.verification._plan import (
    Ladder,
)


def presented_update(made: Ladder, counts: Any, network: NetworkParams) -> tuple[Floats, Floats]:
    """Target of weights and of the prior, in π = e^b, one presentation after the other."""
    w, b, net = made.rate.weights_, made.rate.log_prior_, network
    target, target_b = np.zeros_like(w), np.zeros_like(b)
    for number, own in enumerate(counts):
        x = made.X_test[number % TINY.update_samples]
        u = w @ x
        y = np.exp(u / net.temperature + b)
        y /= y.sum()
        dose = own.sum() / (net.total_rate * net.n_steps)
        for k in range(len(w)):
            target[k] += dose * y[k] * (x - u[k] * w[k])
        target_b += dose * (y - np.exp(b))
    return target, target_b


def shown_counts(made: Ladder, n: int, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).poisson(9.0, (n, made.network.n_units))


def update_result(
    made: Ladder,
    counts: Any,
    slopes: tuple[float, float],
    *,
    noise: float = 0.0,
    rates: tuple[float, float] = (1e-6, 1e-6),
    seed: int = 0,
) -> RunResult:
    """A result whose update is a multiple of the target, and noise at a right angle to it."""
    target, target_b = presented_update(made, counts, made.network)
    aside = np.random.default_rng(seed).normal(size=target.shape)
    aside -= target * (aside * target).sum() / (target * target).sum()
    measured = slopes[0] * target
    measured = measured + noise * np.linalg.norm(measured) / np.linalg.norm(aside) * aside
    change_b = slopes[1] * target_b / np.exp(made.rate.log_prior_)
    return RunResult(
        spike_counts=counts,
        weights=made.rate.weights_ + rates[0] * measured,
        log_prior=made.rate.log_prior_ + rates[1] * change_b,
    )


def fixed_rates(made: Ladder) -> tuple[float, float]:
    """What integers say that they achieve of η = 0.01; they differ from it."""
    fixed = fixed_network(made.network, FixedPointParams(), learning_rate=0.01)
    achieved = fixed.effective_learning_rate(0.01)
    assert achieved != 0.01
    return achieved, 1e-4


# 1e-16 of a weight beside 1e-6 of an update of order 1.
OF_TINY_UPDATES = 1e-7


@pytest.mark.parametrize("rung", ["event", "fixed"])
def test_mean_update_per_spike_of_several_blocks(rung: str) -> None:
    made = made_ladder()
    rates = fixed_rates(made) if rung == "fixed" else (1e-6, 1e-6)
    counts = [shown_counts(made, 15, seed) for seed in (0, 1)]
    blocks = [update_result(made, own, (1.5, 0.5), rates=rates) for own in counts]
    target, measured, target_b, measured_b = expected_update.mean_update(made, rung, blocks)
    expected, expected_b = presented_update(made, np.concatenate(counts), made.network)
    np.testing.assert_allclose(target, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(target_b, expected_b, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(measured, 1.5 * expected, atol=OF_TINY_UPDATES)
    np.testing.assert_allclose(measured_b, 0.5 * expected_b, atol=OF_TINY_UPDATES)


def test_what_is_shown_for_the_mean_update() -> None:
    made = made_ladder()
    runs = expected_update.plan(made, {})
    taus = ("5", "10", "20", "40")
    kinds = [f"{inhibition}:{block}" for inhibition in INHIBITIONS for block in range(10)]
    assert set(runs) == {
        *(("update", f"{rung}:{kind}") for rung in ("event", "fixed") for kind in kinds),
        *(("update", f"event:tau{tau}:{half}") for tau in taus for half in (0, 1)),
        ("update", "lava:feedback:0"),
        ("update", "brian2:feedback:0"),
    }
    shown = made.X_test[:5]

    def expected(net: NetworkParams, repeats: int, block: int, **changes: Any) -> Run:
        samples = np.concatenate([shown] * repeats)
        rates = {"learning_rate": 1e-6, "prior_learning_rate": 1e-6}
        if changes:
            rates = {"learning_rate": 0.01, "prior_learning_rate": 1e-4}
        run = made.run(net, samples, **rates)
        return replace(run, first_sample=block * len(samples), **changes)

    for inhibition, block in itertools.product(INHIBITIONS, range(10)):
        net = made.with_inhibition(inhibition)
        assert_same_run(
            runs["update", f"event:{inhibition}:{block}"], expected(net, 20 // 10, block)
        )
        in_integers = expected(net, 2 * 20 // 10, block, fixed=FixedPointParams(), restart=True)
        assert_same_run(runs["update", f"fixed:{inhibition}:{block}"], in_integers)
    for tau, half in itertools.product(taus, (0, 1)):
        net = replace(
            made.with_inhibition("exact"), psp_tau_ms=float(tau), settle_steps=8 * int(tau)
        )
        assert_same_run(runs["update", f"event:tau{tau}:{half}"], expected(net, 8 // 2, half))
    for rung in ("lava", "brian2"):
        assert_same_run(runs["update", f"{rung}:feedback:0"], expected(made.network, 3, 0))


BLOCK_SLOPES = np.linspace(0.97, 1.03, 10)
LOADS = 0.3 * np.array([5.0, 10.0, 20.0, 40.0])


def convergence_results(
    made: Ladder, errors: Any, halves: Any, *, aside: float = 0.0
) -> dict[tuple[str, str], RunResult]:
    """Updates of given relative error along one direction, ± a difference of the two halves.

    The error of the second half of each also has a part at right angles to the direction.
    """
    rng = np.random.default_rng(8)
    shape = made.rate.weights_.shape
    direction = rng.normal(size=shape)
    direction /= np.linalg.norm(direction)
    other = rng.normal(size=shape)
    other -= direction * (other * direction).sum()
    other /= np.linalg.norm(other)
    results = {}
    halves = np.broadcast_to(halves, 4)
    for tau, error, apart in zip((5, 10, 20, 40), errors, halves, strict=True):
        for half, sign in enumerate((1, -1)):
            counts = shown_counts(made, 20, half)
            target, _ = presented_update(made, counts, made.network)
            off = (error + sign * apart) * direction + half * aside * other
            results["update", f"event:tau{tau}:{half}"] = RunResult(
                spike_counts=counts,
                weights=made.rate.weights_ + 1e-6 * (target + np.linalg.norm(target) * off),
                log_prior=made.rate.log_prior_,
            )
    return results


def all_updates(made: Ladder) -> dict[tuple[str, str], RunResult]:
    """Blocks whose slopes are known and lie about 1, slow rungs of slope 1."""
    results = convergence_results(made, 0.3 / LOADS, 1e-3)
    for inhibition, block in itertools.product(INHIBITIONS, range(10)):
        slope = BLOCK_SLOPES[block]
        counts = np.full((10, made.network.n_units), 8)  # blocks of one dose: slopes average
        for rung, rates in (("event", (1e-6, 1e-6)), ("fixed", fixed_rates(made))):
            results["update", f"{rung}:{inhibition}:{block}"] = update_result(
                made, counts, (slope, 2 - slope), noise=0.05, rates=rates, seed=block
            )
    for rung in ("lava", "brian2"):
        results["update", f"{rung}:feedback:0"] = update_result(
            made, shown_counts(made, 15), (1.01, 0.98)
        )
    return results


def test_right_updates_pass_and_have_their_size() -> None:
    made = made_ladder()
    checks = expected_update.evaluate(made, all_updates(made))
    assert [item.name for item in checks if not item.passed] == []
    for rung, cosine, bounds in (
        ("event", 0.995, {"exact": (0.96, 1.02)} | dict.fromkeys(INHIBITIONS[:2], (0.93, 1.05))),
        ("fixed", 0.99, dict.fromkeys(INHIBITIONS, (0.92, 1.05))),
    ):
        found = by_name(checks, "rate", rung)
        assert ("order" in found) == (rung == "event")
        for inhibition in INHIBITIONS:
            direction = found[f"direction, {inhibition}"]
            # Noise of a twentieth of each of ten blocks, at right angles, drawn for each.
            assert direction.value == pytest.approx(1 - 0.05**2 / 10 / 2, abs=3e-4)
            assert direction.value < 1 - 1e-5
            assert (direction.low, direction.high) == (cosine, None)
            assert "over 100 presentations" in direction.statistic
            slope, prior = (
                found[f"slope per spike, {inhibition}"],
                found[f"log prior, {inhibition}"],
            )
            assert slope.value == pytest.approx(BLOCK_SLOPES.mean(), abs=OF_TINY_UPDATES)
            assert prior.value == pytest.approx((2 - BLOCK_SLOPES).mean(), abs=OF_TINY_UPDATES)
            assert (slope.low, slope.high) == (prior.low, prior.high) == bounds[inhibition]
            error = BLOCK_SLOPES.std(ddof=1) / math.sqrt(10)
            assert f"standard error of the slope here {error:.2g}" in slope.bound_from


def test_a_slow_rung_is_compared_with_blocks_of_the_fast_one() -> None:
    """t with 9 degrees of freedom in place of 4σ: 7, of a mean of blocks and of a part of one."""
    made = made_ladder()
    checks = expected_update.evaluate(made, all_updates(made))
    share = 15 / 10
    width = 7.0 * BLOCK_SLOPES.std(ddof=1) * math.sqrt(1 / share + 1 / 10)
    for rung in ("lava", "brian2"):
        found = by_name(checks, "event", rung)
        direction = by_name(checks, "rate", rung)["direction, feedback"]
        assert set(found) == {"slope per spike, feedback", "log prior, feedback"}
        for item, mean, value in (
            (found["slope per spike, feedback"], BLOCK_SLOPES.mean(), 1.01),
            (found["log prior, feedback"], (2 - BLOCK_SLOPES).mean(), 0.98),
        ):
            assert item.value == pytest.approx(value, abs=OF_TINY_UPDATES)
            assert item.low == pytest.approx(mean - width, abs=1e-6)
            assert item.high == pytest.approx(mean + width, abs=1e-6)
            assert "mean of event ± 7.0σ" in item.bound_from
            assert "over 15 presentations" in item.statistic
        assert direction.value == pytest.approx(1.0, abs=1e-9)
        assert "over 15 presentations" in direction.statistic
        assert "event" in direction.bound_from
        # The noise, squared, is that of a block in as many presentations, twice.
        assert direction.low == pytest.approx((1 + 2 * 0.05**2 / share) ** -0.5, abs=1e-6)
        assert direction.high is None


@pytest.mark.parametrize("rungs", [("lava",), ("lava", "fixed"), ("brian2", "lava")])
def test_a_slow_rung_alone_has_the_requirements(rungs: tuple[str, ...]) -> None:
    made = made_ladder(rungs)
    checks = [
        item for item in expected_update.evaluate(made, all_updates(made)) if "lava" in item.rungs
    ]
    found = by_name(checks, "rate", "lava")
    assert found["direction, feedback"].low == 0.995
    for name in ("slope per spike, feedback", "log prior, feedback"):
        assert (found[name].low, found[name].high) == (0.93, 1.05)
        assert found[name].bound_from == found["direction, feedback"].bound_from
        assert "requirement" in found[name].bound_from


def test_convergence_by_hand() -> None:
    """Errors fall as c/load; what is at right angles to their direction does not count."""
    made = made_ladder(dt_ms=0.5)
    errors = 0.3 / LOADS
    apart = np.array([1e-3, 2e-3, 1e-3, 3e-3])
    found = expected_update.convergence(
        made, "event", convergence_results(made, errors, apart, aside=0.5)
    )
    np.testing.assert_allclose(found.spikes_per_psp, LOADS / 0.5, rtol=1e-12)
    # Of the shortest only the second half counts; the first has given the direction.
    np.testing.assert_allclose(found.errors, errors - [1e-3, 0, 0, 0], atol=1e-6)
    noise = math.sqrt(2 * (4 + 1 + 9) / 3) * 1e-3
    np.testing.assert_allclose(found.sigma, noise / np.sqrt([1, 2, 2, 2]), rtol=1e-3)
    # Weighted least squares of log error, by its normal equations.
    x, y = np.log(LOADS), np.log(errors - [1e-3, 0, 0, 0])
    weight = ((errors - [1e-3, 0, 0, 0]) / found.sigma) ** 2
    middle = (weight * x).sum() / weight.sum()
    slope = (weight * (x - middle) * y).sum() / (weight * (x - middle) ** 2).sum()
    assert found.order == pytest.approx(slope, abs=1e-4)


def test_errors_lost_in_noise_count_as_the_noise() -> None:
    made = made_ladder()
    found = expected_update.convergence(
        made, "event", convergence_results(made, [0.2, 0.0, -0.01, 0.0], 0.05)
    )
    np.testing.assert_allclose(found.errors, [0.15, 0.0, -0.01, 0.0], atol=1e-6)
    noise = math.sqrt(2) * 0.05
    y, x = np.log([0.15, *[noise / math.sqrt(2)] * 3]), np.log(LOADS)
    weight = np.array([0.15 / noise, 1, 1, 1]) ** 2
    middle = (weight * x).sum() / weight.sum()
    slope = (weight * (x - middle) * y).sum() / (weight * (x - middle) ** 2).sum()
    assert found.order == pytest.approx(slope, abs=1e-4)


def test_the_order_of_the_error_is_checked() -> None:
    made = made_ladder(("event",))
    for power, passed in ((-1, True), (-0.5, False), (-2, False)):
        results = all_updates(made) | convergence_results(made, 0.3 * LOADS**power, 1e-3)
        checks = expected_update.evaluate(made, results)
        order = by_name(checks, "rate", "event")["order"]
        assert order.passed is passed
        assert (order.low, order.high) == (-1.3, -0.7)
        assert f"{0.3 * LOADS[1] ** power:.3f}" in order.statistic
        assert "at 1.5, 3, 6, 12" in order.statistic


@pytest.mark.parametrize("rungs", [("fixed", "lava", "event"), ("lava", "fixed", "event")])
def test_the_order_of_rungs_does_not_matter(rungs: tuple[str, ...]) -> None:
    """What a slow rung, or integers, are not asked is asked of the rungs after them."""
    made, same = made_ladder(rungs), made_ladder(("event", "lava", "fixed"))
    assert set(expected_update.plan(made, {})) == set(expected_update.plan(same, {}))
    results = all_updates(made)
    one, other = (expected_update.evaluate(each, results) for each in (made, same))
    assert sorted(one, key=str) == sorted(other, key=str)
    assert groups_of(one) == {"expected update"}


def test_slow_rungs_and_integers_have_no_order() -> None:
    made = made_ladder(("fixed", "lava"))
    checks = expected_update.evaluate(made, all_updates(made))
    assert not any("order" in item.name for item in checks)
