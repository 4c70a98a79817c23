"""The error budget: at one end it is the network in floating point, at the other its integers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from softhebb_spiking import load_dataset
from softhebb_spiking.backends import event
from softhebb_spiking.encoding import draw_input_spikes
from softhebb_spiking.params import ROUNDINGS, FixedPointParams, NetworkParams, Run
from softhebb_spiking.verification.budget import (
    OFF,
    ROWS,
    Row,
    Switches,
    Task,
    checks,
    error_budget,
    simulate,
)

ON = Switches(*[True] * len(OFF))


def example(seed: int = 0, **fixed: object) -> Run:
    rng = np.random.default_rng(seed)
    net = NetworkParams(
        n_features=23,
        n_units=5,
        temperature=0.05,
        population_size=16,
        total_rate=4.0,
        n_steps=13,
        settle_steps=6,
        psp_tau_ms=6.0,
    )
    samples = rng.random((15, 23)) * (rng.random((15, 23)) < 0.6) + 1e-3
    weights = rng.random((5, 23)) + 0.01
    return Run(
        network=net,
        samples=samples / np.linalg.norm(samples, axis=1, keepdims=True),
        weights=weights / np.linalg.norm(weights, axis=1, keepdims=True),
        log_prior=np.log(rng.dirichlet(np.full(5, 5.0))),
        learning_rates=np.linspace(0.3, 0.1, 15),
        prior_learning_rates=np.full(15, 0.05),
        seed=seed + 11,
        first_sample=4,
        fixed=FixedPointParams(**fixed),  # type: ignore[arg-type]
    )


def test_without_roundings_it_learns_as_the_network_in_floating_point() -> None:
    run = example()
    ours = simulate(run, OFF)
    replayed = replace(
        run,
        fixed=None,
        input_spikes=draw_input_spikes(run.samples, run.network, run.seed, run.first_sample),
        output_spikes=ours.output_spikes,
    )
    floats = event.simulate(replayed)
    np.testing.assert_array_equal(ours.spike_counts, floats.spike_counts)
    # 300 steps of a few float64 operations; the drive has a multiplier of 16 bits nowhere here,
    # but S, and so the decay, comes from one: 2^-16 of a change below 1, over the run.
    np.testing.assert_allclose(ours.weights, floats.weights, atol=2**-14)
    np.testing.assert_allclose(ours.log_prior, floats.log_prior, rtol=1e-9)


@pytest.mark.statistical
@pytest.mark.parametrize("rate_scale", [1.0, 1.05])
def test_without_roundings_it_fires_as_the_network_in_floating_point(rate_scale: float) -> None:
    """Same input spikes, draws of their own: differences of counts have mean 0.

    Their spread is measured, over 60 repeats: t with 59 degrees of freedom exceeds 6 once in
    8 million times, and there are 75 numbers; the sum of all exceeds 5 sigma once in 1.7 million.
    """
    n_repeats = 60
    run = example()
    frozen = replace(
        run,
        samples=np.repeat(run.samples, n_repeats, axis=0),
        learning_rates=np.zeros(15 * n_repeats),
        prior_learning_rates=np.zeros(15 * n_repeats),
        keep_spikes=False,
    )
    network = replace(run.network, total_rate=rate_scale * run.network.total_rate)
    ours = simulate(frozen, OFF).spike_counts
    floats = event.simulate(replace(frozen, fixed=None, network=network)).spike_counts
    # Of each sample by itself: samples that attract and repel a unit would cancel.
    off = (ours - floats).sum(axis=1)
    sigma = off.std() / math.sqrt(off.size)
    each = (ours - floats).reshape(15, n_repeats, 5)
    spread = each.std(axis=1).clip(0.1) / math.sqrt(n_repeats)
    deviation = np.abs(each.mean(axis=1) / spread).max()
    assert (deviation < 6.0 and abs(off.mean()) < 5.0 * sigma) == (rate_scale == 1.0)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("epoch", [1, 4, 10])
def test_with_all_roundings_it_is_the_integers(rounding: str, epoch: int) -> None:
    run = example(1, rounding=rounding, learning_epoch=epoch)
    ours, integers = simulate(run, ON), event.simulate(run)
    for name in ("spike_counts", "weights", "log_prior"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(integers, name))
    assert not np.array_equal(ours.weights, simulate(run, OFF).weights)


@pytest.mark.parametrize("switch", Switches._fields)
def test_each_switch_alone_changes_what_is_learned(switch: str) -> None:
    run = example(2)
    rounded = simulate(run, OFF._replace(**{switch: True}))
    assert not np.array_equal(rounded.weights, simulate(run, OFF).weights)


def test_restart_takes_every_change_back() -> None:
    # The rule is made for the largest learning rate of a run: let all be the same.
    run = replace(example(3), restart=True, learning_rates=np.full(15, 0.3))
    alone = [
        simulate(
            replace(
                run,
                samples=run.samples[i : i + 1],
                learning_rates=run.learning_rates[i : i + 1],
                prior_learning_rates=run.prior_learning_rates[i : i + 1],
                first_sample=run.first_sample + i,
            ),
            ON,
        ).weights
        - run.weights
        for i in range(len(run.samples))
    ]
    # Sums of multiples of 2^-9 in float64, beside the weights: a few roundings of 2^-52.
    np.testing.assert_allclose(simulate(run, ON).weights - run.weights, sum(alone), atol=1e-12)


def test_the_budget_sums_up() -> None:
    task = Task.prepare(
        load_dataset("digits"),
        n_units=10,
        n_train=200,
        n_posterior=20,
        n_repeats=2,
        seed=0,
        fixed=FixedPointParams(),
    )
    seen: list[str] = []
    rows = error_budget(task, seen.append)
    assert [row.name for row in rows] == seen
    assert len(rows) == len(ROWS) + 4
    assert [check.passed for check in checks(rows)] == [True, True]


def test_a_budget_that_does_not_sum_up_is_named() -> None:
    row = Row(name="", total_variation=0.04, slope=1.0, slope_error=0.01, cosine=1.0, accuracy=0.9)
    names = ["+ stochastic rounding", "+ one random number for all"]
    rows = [replace(row, name=name) for name in (*names, *(f"{name} (rung)" for name in names))]
    assert all(check.passed for check in checks(rows))
    rows[2] = replace(rows[2], slope=1.0 + 1e-15)
    assert [check.passed for check in checks(rows)] == [False, True]


@pytest.mark.parametrize(
    "change",
    [{"input_spikes": np.zeros((1, 3), int)}, {"output_spikes": np.zeros((1, 3), int)}, {}],
    ids=["input", "output", "graded"],
)
def test_what_it_cannot_run_is_refused(change: dict[str, object]) -> None:
    run = example()
    if not change:
        change = {"network": replace(run.network, inhibition="graded")}
    with pytest.raises(ValueError, match="spike feedback with drawn spikes only"):
        simulate(replace(run, **change), OFF)
