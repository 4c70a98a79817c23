"""The error budget: at one end it is the network in floating point, at the other its integers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hand_made import assert_same_run, made_ladder, unit

from softhebb_spiking import load_dataset
from softhebb_spiking.backends import event
from softhebb_spiking.backends._event_fixed import integer_constants
from softhebb_spiking.encoding import draw_input_spikes
from softhebb_spiking.fixed_network import fixed_network_of
from softhebb_spiking.params import (
    ROUNDINGS,
    FixedPointParams,
    NetworkParams,
    Run,
    RunResult,
)
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.verification import budget
from softhebb_spiking.verification._budget_kernel import _fire, _log_intensities
from softhebb_spiking.verification._plan import reading_network
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


def run_of_any_kind(rng: np.random.Generator) -> Run:
    """A run whose numbers saturate here and there: weights, traces, drives, priors, updates."""

    def one_of(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    n, units, neurons = one_of(1, 16, 23, 32, 40), one_of(1, 5, 8), one_of(1, 7, 20, 40)
    epoch = one_of(1, 2, 4)
    net = NetworkParams(
        n_features=n,
        n_units=units,
        temperature=one_of(0.005, 0.05, 0.3, 1.0),
        inhibition_gain=one_of(0.1, 0.7, 2.0),
        population_size=neurons,
        total_rate=neurons * one_of(0.02, 0.3, 0.95),
        n_steps=11,
        settle_steps=one_of(0, 4, 8),
        psp_tau_ms=one_of(0.5, 2.0, 6.0, 15.0),
        max_probability=one_of(0.1, 0.5, 1.0),
    )
    samples = rng.random((5, n)) * (rng.random((5, n)) < one_of(0.2, 0.9)) + 1e-3
    weights = rng.choice([0.0, 0.3, 1.0, 1.4], (units, n)) * rng.random((units, n))
    return Run(
        network=net,
        samples=samples / np.linalg.norm(samples, axis=1, keepdims=True),
        weights=weights,
        log_prior=rng.choice([0.0, -1.0, -8.0, -12.0, -22.1], units),
        learning_rates=rng.choice([0.05, 0.5, 3.0], 5),
        prior_learning_rates=rng.choice([0.0, 1e-4, 0.1, 2.0], 5),
        seed=int(rng.integers(2**40)),
        first_sample=one_of(0, 1000),
        fixed=FixedPointParams(
            rounding=one_of(*ROUNDINGS),
            learning_epoch=epoch if (net.presentation_steps + 1) % epoch == 0 else 1,
            learning_step=one_of(None, 2.0**-9, 2.0**-3),
            weight_exponent=one_of(None, -12, -10, -6),
            trace_exponent=one_of(None, -9, -7),
            table_bits=one_of(0, 3, 6, 11),
        ),
    )


@pytest.mark.parametrize("first", range(0, 60, 10))
@pytest.mark.filterwarnings("ignore::softhebb_spiking.fixed_point.FixedPointOverflow")
def test_with_all_roundings_it_is_the_integers_of_any_network(first: int) -> None:
    compared = 0
    for seed in range(first, first + 10):
        run = run_of_any_kind(np.random.default_rng(seed))
        try:
            fixed_network_of(run)
        except ValueError:  # its numbers fit no format
            continue
        ours, integers = simulate(run, ON), event.simulate(run)
        for name in ("spike_counts", "weights", "log_prior", "output_spikes"):
            np.testing.assert_array_equal(
                getattr(ours, name), getattr(integers, name), err_msg=f"{name}, {seed}"
            )
        compared += 1
    assert compared >= 3


@pytest.mark.parametrize(("learning_step", "epoch"), [(0.0625, 1), (0.5, 1), (0.9, 4)])
def test_the_size_of_an_update_is_no_rounding(learning_step: float, epoch: int) -> None:
    """Without roundings the rule's exponents, which follow the size, cancel."""
    runs = [
        replace(example(), fixed=FixedPointParams(learning_step=step, learning_epoch=epoch))
        for step in (2.0**-7, learning_step)
    ]
    rules = [fixed_network_of(run).learning for run in runs]
    assert rules[0].hebb_exponent != rules[1].hebb_exponent
    one, other = (simulate(run, OFF) for run in runs)
    np.testing.assert_array_equal(one.spike_counts, other.spike_counts)
    np.testing.assert_allclose(one.weights, other.weights, atol=2**-14)  # S has 16 bits
    assert np.abs(one.weights - runs[0].weights).max() > 0.05


def test_log_intensities_without_roundings_by_hand() -> None:
    """4096 log2 of e^(u/τ + b), where b is held in 2^-18 and u in units of the drive."""
    fixed = fixed_network_of(example())
    u, log_prior = np.array([3000.7, -20.5]), np.array([-300000.25, -1e6])
    found = _log_intensities(
        OFF, integer_constants(fixed), budget._real_constants(fixed), u, log_prior
    )
    nats = u * fixed.drive_unit / 0.05 + log_prior / 2.0**18 * math.log(2)
    np.testing.assert_allclose(found, 4096 * nats / math.log(2), rtol=1e-12)


@pytest.mark.statistical
def test_neurons_without_roundings_fire_at_their_rates() -> None:
    """r/M 2^(L − h), from no more than what is left of 2^-33 to all; 5σ of 500 steps each."""
    fixed = fixed_network_of(example())
    net = integer_constants(fixed)._replace(population_size=64)
    real = budget._real_constants(fixed)._replace(neuron_rate_log=-4096.0 * 3)
    octaves = np.array([-60.0, -38.0, -3.0, -1.0, 0.5, 2.0, 3.0, 5.0])
    h, total = 777.0, np.zeros(8)
    for step in range(500):
        counts = np.zeros(8, np.int64)
        _fire(OFF, net, real, 4096.0 * octaves + h, h, counts, 3, 4, step)
        total += counts
    rho = np.minimum(1.0, 2.0 ** (octaves - 3))
    error = 5 * np.sqrt(500 * 64 * rho * (1 - rho))
    assert (np.abs(total - 500 * 64 * rho) <= error + 1e-4).all()
    assert total[-2:].tolist() == [32000, 32000]


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


def a_task(**changes: Any) -> Task:
    sizes: dict[str, Any] = {"n_units": 4, "n_train": 30, "n_posterior": 7, "n_repeats": 3}
    return Task.prepare(
        made_ladder().data, **(sizes | changes), seed=2, fixed=FixedPointParams(table_bits=5)
    )


def test_a_task_has_three_runs_from_the_same_start() -> None:
    task, data = a_task(), made_ladder().data
    X, X_test = unit(data.X_train[:30]), unit(data.X_test)
    read = reading_network(10, 4, 0.02)

    def expected(run: Run, **changes: Any) -> Run:
        n = len(changes["samples"])
        given: dict[str, Any] = {"learning_rates": np.zeros(n), "network": read} | changes
        return Run(
            weights=run.weights,
            log_prior=run.log_prior,
            prior_learning_rates=np.zeros(n),
            seed=2,
            keep_spikes=False,
            fixed=FixedPointParams(table_bits=5),
            **given,
        )

    falling = 0.1 * (30 - np.arange(30)) / 30
    short = replace(read, n_steps=50)
    for run, wanted in (
        (task.posterior, {"samples": X_test[:7]}),
        (
            task.update,
            {
                "samples": np.concatenate([X_test] * 3),
                "learning_rates": np.full(36, 0.01),
                "restart": True,
            },
        ),
        (task.learning, {"samples": X, "learning_rates": falling, "network": short}),
    ):
        n = len(run.samples)
        rounded = replace(
            run,
            samples=wanted["samples"],
            learning_rates=wanted.get("learning_rates", np.zeros(n)),
        )
        np.testing.assert_allclose(run.samples, rounded.samples, rtol=1e-14)
        np.testing.assert_allclose(run.learning_rates, rounded.learning_rates, rtol=1e-14)
        assert_same_run(rounded, expected(run, **wanted))
        np.testing.assert_allclose(np.exp(run.log_prior), np.full(4, 0.25), rtol=1e-14)
    assert task.data.name == data.name
    learned = SoftHebb(4, random_state=2).fit(data.X_train[:30])
    start = SoftHebb(4, random_state=2, learning_rate=0.0).fit(data.X_train[:30])
    np.testing.assert_allclose(task.posterior.weights, learned.weights_, rtol=1e-12)
    np.testing.assert_allclose(task.update.weights, learned.weights_, rtol=1e-12)
    np.testing.assert_allclose(task.learning.weights, start.weights_, rtol=1e-12)
    assert np.abs(learned.weights_ - start.weights_).max() > 0.01
    # No more is read with frozen weights than there is.
    assert len(a_task(n_posterior=100).posterior.samples) == 12


def test_of_the_test_samples_twenty_are_shown_again_and_again() -> None:
    data = load_dataset("digits")
    task = Task.prepare(
        data, n_units=3, n_train=5, n_posterior=1, n_repeats=2, seed=0, fixed=FixedPointParams()
    )
    np.testing.assert_array_equal(task.update.samples[:20], task.update.samples[20:])
    np.testing.assert_allclose(task.update.samples[:20], unit(data.X_test[:20]), rtol=1e-14)


def test_a_verification_has_a_task_of_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    made = made_ladder()
    monkeypatch.setattr(Task, "prepare", lambda data, **given: (data, given))
    assert budget.task_for(made) == (
        made.data,
        {
            "n_units": 22,
            "n_train": 7,
            "n_posterior": 6,
            "n_repeats": 2,
            "seed": 5,
            "fixed": FixedPointParams(),
        },
    )


def test_measures_of_a_row_by_hand() -> None:
    """Every block's update is another multiple of its target, with noise at a right angle."""
    task = a_task(n_repeats=5)
    slopes, seen = iter([0.8, 0.9, 1.0, 1.1, 1.3]), []
    targets, updates = [], []
    rng = np.random.default_rng(0)
    read = rng.integers(1, 9, (7, 4))
    best = unit(0.3 + np.kron(np.eye(4, 5), np.ones(2)))

    def simulator(run: Run) -> RunResult:
        seen.append(run)
        if run is task.posterior:
            return RunResult(spike_counts=read, weights=run.weights, log_prior=run.log_prior)
        if run is task.learning:
            return RunResult(
                spike_counts=np.zeros((30, 4), int), weights=3.0 * best, log_prior=run.log_prior
            )
        counts, target = rng.poisson(90.0, (len(run.samples), 4)), np.zeros((4, 10))
        for x, own in zip(run.samples, counts, strict=True):
            u = run.weights @ x
            y = np.exp((u - u.max()) / 0.02)
            step = (y / y.sum())[:, None] * (x - u[:, None] * run.weights)
            target += own.sum() / (8.0 * 100) * step
        aside = rng.normal(size=target.shape)
        aside -= target * (aside * target).sum() / (target**2).sum()
        targets.append(target)
        updates.append(
            next(slopes) * target
            + 0.1 * np.linalg.norm(target) * unit(aside.ravel()).reshape(4, 10)
        )
        return RunResult(
            spike_counts=counts,
            weights=run.weights + 0.01 * updates[-1],
            log_prior=run.log_prior,
        )

    row = budget._measure("a name", task, simulator)
    assert row.name == "a name"
    u = task.posterior.samples @ task.posterior.weights.T
    y = np.exp((u - u.max(axis=1, keepdims=True)) / 0.02)
    y /= y.sum(axis=1, keepdims=True)
    shares = read / read.sum(axis=1, keepdims=True)
    distance = 0.5 * np.abs(shares - y).sum(axis=1).mean()
    assert row.total_variation == pytest.approx(distance, rel=1e-9)
    target, update = sum(targets), sum(updates)
    product = (target * update).sum()
    assert row.slope == pytest.approx(product / (target**2).sum(), rel=1e-9)
    assert row.cosine == pytest.approx(
        product / math.sqrt((target**2).sum() * (update**2).sum()), rel=1e-9
    )
    spread = np.std([0.8, 0.9, 1.0, 1.1, 1.3], ddof=1) / math.sqrt(5)
    assert row.slope_error == pytest.approx(spread, rel=1e-9)
    # Weights are the labels' own directions, so that all are named right, whatever their norm.
    assert row.accuracy == 1.0
    blocks = seen[1:6]
    np.testing.assert_array_equal(
        np.concatenate([block.samples for block in blocks]), task.update.samples
    )
    assert [block.first_sample for block in blocks] == [0, 12, 24, 36, 48]
    for block in blocks:
        assert block.restart
        np.testing.assert_array_equal(block.learning_rates, np.full(12, 0.01))
        assert block.prior_learning_rates.shape == (12,)


def test_blocks_go_on_counting_from_where_a_run_begins() -> None:
    run = replace(a_task().update, first_sample=5, learning_rates=np.linspace(0, 1, 36))
    blocks = budget._blocks(run)
    assert [len(block.samples) for block in blocks] == [7, 7, 7, 7, 8]
    assert [block.first_sample for block in blocks] == [5, 12, 19, 26, 33]
    np.testing.assert_array_equal(
        np.concatenate([block.learning_rates for block in blocks]), run.learning_rates
    )


def test_one_random_number_for_all_is_drawn_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all roundings on both give the same bits, so that only being asked tells them apart."""
    run = example(6)
    monkeypatch.setattr(budget, "simulate", lambda given, switches: ("here", given, switches))
    monkeypatch.setattr(event, "simulate", lambda given: ("rung", given))
    shared = replace(run, fixed=FixedPointParams(rounding="shared"))
    where, given, switches = budget.simulate_shared(run, ON)
    assert (where, switches) == ("here", ON)
    assert_same_run(given, shared)
    where, given = budget.simulate_shared(run, None)
    assert where == "rung"
    assert_same_run(given, shared)
    asked: dict[str, Any] = {}
    monkeypatch.setattr(budget, "_measure", lambda name, _, how: asked.update({name: how(run)}))
    error_budget(a_task())
    assert {name: found[0] for name, found in asked.items() if "shared" in str(found[1].fixed)} == {
        "+ one random number for all": "here",
        "+ one random number for all (rung)": "rung",
    }
    assert asked["+ one random number for all"][2] == ON


def test_what_integers_stand_for_before_they_are_rounded() -> None:
    """Growth and decay of the rule balance at a norm of 1 exactly, where nothing is rounded."""
    run = example(7)
    fixed = fixed_network_of(run)
    real, rule = budget._real_constants(fixed), fixed.learning
    assert real.decay == pytest.approx(math.exp(-1 / 6), rel=1e-15)
    assert real.octaves_per_unit == pytest.approx(
        4096 * fixed.drive_unit / math.log(2) / 0.05, rel=1e-14
    )
    assert real.neuron_rate_log == 4096 * -2.0  # 4 spikes of 16 neurons
    assert real.pool_gain == 0.7
    assert real.target_log == pytest.approx(4096 * math.log2(9), rel=1e-15)
    scale = real.y2_per_unit / fixed.drive_unit * 2.0 ** (rule.decay_exponent - 12)
    assert rule.decay_mantissa * rule.y1_quantum * scale == pytest.approx(rule.step, rel=1e-13)


def test_what_was_learned_is_named_by_the_samples_shown() -> None:
    """Two units alike can name only the label that is most frequent where they win."""
    task = a_task()
    alike = np.tile(unit(np.ones((1, 10))), (4, 1))
    result = RunResult(spike_counts=np.zeros((30, 4), int), weights=alike, log_prior=np.zeros(4))
    labels, counts = np.unique(task.data.y_train[:30], return_counts=True)
    share = (task.data.y_test == labels[counts.argmax()]).mean()
    assert budget._accuracy(task, result) == share
    assert 0 < share < 1
    y = task.data.y_train.copy()
    y[30:] = 7  # of samples that were not learned from
    other = replace(task, data=replace(task.data, y_train=y))
    assert budget._accuracy(other, result) == share


def test_rows_switch_on_one_rounding_more_each(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[str, Any, Any]] = []
    task = a_task()
    monkeypatch.setattr(budget, "_measure", lambda name, own, how: given.append((name, own, how)))
    rows = error_budget(task)
    assert rows == [None] * 10
    assert all(own is task for _, own, _ in given)
    run = task.learning
    names = [name for name, _, _ in given]
    assert names == [
        "floating point",
        "+ 8-bit weights",
        "+ 7-bit traces",
        "+ exponential by table",
        "+ integer inhibition",
        "+ 16-bit random compare",
        "+ stochastic rounding",
        "+ stochastic rounding (rung)",
        "+ one random number for all",
        "+ one random number for all (rung)",
    ]
    short = replace(
        run,
        samples=run.samples[:3],
        learning_rates=run.learning_rates[:3],
        prior_learning_rates=np.zeros(3),
    )
    results = [how(short) for _, _, how in given]
    shared = replace(short, fixed=FixedPointParams(rounding="shared"))
    for number, own in (
        (0, event.simulate(replace(short, fixed=None))),
        *((n, simulate(short, Switches(*[True] * n, *[False] * (6 - n)))) for n in range(1, 7)),
        (7, event.simulate(short)),
        (8, simulate(shared, ON)),
        (9, event.simulate(shared)),
    ):
        np.testing.assert_array_equal(results[number].weights, own.weights, err_msg=names[number])
        np.testing.assert_array_equal(results[number].spike_counts, own.spike_counts)
    weights = [result.weights for result in results]
    for number in (1, 2, 3, 4, 5, 6, 8):
        assert not np.array_equal(weights[number], weights[number - 1])


@pytest.mark.parametrize(
    "measure", ["total_variation", "slope", "slope_error", "cosine", "accuracy"]
)
@pytest.mark.parametrize("which", [0, 1])
def test_each_measure_must_sum_up(measure: str, which: int) -> None:
    row = Row(name="", total_variation=0.04, slope=1.0, slope_error=0.01, cosine=1.0, accuracy=0.9)
    names = ["+ stochastic rounding", "+ one random number for all"]
    rows = [replace(row, name=name) for name in (*names, *(f"{name} (rung)" for name in names))]
    rows[which] = replace(rows[which], **{measure: 0.5})
    found = checks(rows)
    assert [check.value for check in found] == [float(which == 0), float(which == 1)]
    assert [check.passed for check in found] == [which == 1, which == 0]
    assert [check.name for check in found] == [
        "error budget/sums up, stochastic rounding",
        "error budget/sums up, one random number for all",
    ]
    for check in found:
        assert (check.rungs, check.low, check.high) == (("fixed",), None, 0.0)
        assert isinstance(check.statistic, str)
        assert isinstance(check.bound_from, str)


def test_spikes_are_kept_if_they_are_wanted() -> None:
    run = example(4)
    kept = simulate(run, ON).output_spikes
    own = event.simulate(run).output_spikes
    np.testing.assert_array_equal(kept, own)
    dropped = simulate(replace(run, keep_spikes=False), ON).output_spikes
    assert (dropped.shape, dropped.dtype) == ((0, 3), np.int64)


def test_a_run_is_left_as_it_was() -> None:
    run = example(5)
    before = run.weights.copy(), run.log_prior.copy()
    for restart in (False, True):
        simulate(replace(run, restart=restart), OFF)
        np.testing.assert_array_equal(run.weights, before[0])
        np.testing.assert_array_equal(run.log_prior, before[1])


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
