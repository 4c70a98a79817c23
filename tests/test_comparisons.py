"""What the comparisons of the ladder share, clamped runs and integers, on results made by hand.

`tests/test_verification.py` plants faults in rungs and runs them. Here nothing runs but arithmetic:
a result is built so that a statistic must come out as a number that was chosen.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hand_made import (
    ALL,
    STATES,
    TINY,
    a_check,
    a_state,
    assert_same_run,
    by_name,
    made_ladder,
    unit,
)

from softhebb_spiking.backends import event
from softhebb_spiking.params import (
    PROBES,
    ROUNDINGS,
    FixedPointParams,
    NetworkParams,
    Run,
    RunResult,
)
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.verification import (
    _statistics,
    check,
    clamped,
    integers,
)
from softhebb_spiking.verification._plan import (
    SIZES,
    Ladder,
    reading_network,
    suitable_sizes,
)

# --- numbers and bounds --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "–"),
        (0.1, "0.1"),
        (0.099999, "0.1"),
        (0.0123456, "0.01235"),
        (1.23456, "1.2346"),
        (1.00006, "1.0001"),
        (-1.23456, "-1.2346"),
        (9.99996, "10"),
        (10.0, "10"),
        (12.34567, "12.35"),
        (10.12345, "10.12"),
        (123456.0, "1.235e+05"),
        (0.0, "0"),
        (2.0, "2"),
        (0.1000049, "0.1"),
    ],
)
def test_numbers_in_print(number: float | None, text: str) -> None:
    assert check.brief(number) == text


def test_bounds_in_print() -> None:
    assert a_check(value=1.0, high=0.5).bound == "≤ 0.5"
    assert a_check(value=1.0, low=0.25).bound == "≥ 0.25"
    assert a_check(value=1.0, low=0.25, high=12.0).bound == "in [0.25, 12]"


def test_a_check_as_plain_data() -> None:
    assert a_check(value=0.4, low=0.5, high=math.inf).as_dict() == {
        "name": "a/b",
        "rungs": ["x"],
        "statistic": "s",
        "value": 0.4,
        "bound": [0.5, None],
        "bound_from": "f",
        "passed": False,
    }
    found = a_check(value=math.inf, high=0.5).as_dict()
    assert (found["value"], found["bound"], found["passed"]) == (None, [None, 0.5], False)


def test_both_ends_of_a_bound_are_within() -> None:
    assert a_check(value=0.5, low=0.5, high=0.5).passed
    assert not a_check(value=0.5, low=0.5 + 1e-15).passed
    assert not a_check(value=0.5, high=0.5 - 1e-15).passed
    assert not a_check(value=math.nan).passed


# --- statistics ----------------------------------------------------------------------------------


def test_total_variation_by_hand() -> None:
    p, q = (
        np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]]),
        np.array([[0.0, 0.5, 0.5], [0.2, 0.3, 0.5]]),
    )
    np.testing.assert_allclose(_statistics.total_variation(p, q), [0.5, 0.0])
    assert _statistics.total_variation(p[0], q[0]) == 0.5
    np.testing.assert_allclose(_statistics.total_variation(p[None], q[None]), [[0.5, 0.0]])


def test_cosine_and_slope_by_hand() -> None:
    a, b = np.array([[3.0, 0.0], [0.0, 4.0]]), np.array([[4.0, 0.0], [0.0, 3.0]])
    assert _statistics.cosine(a, 2 * b) == pytest.approx(24 / 25, rel=1e-14)
    assert _statistics.slope_through_origin(a, 2 * b) == pytest.approx(48 / 25, rel=1e-14)


def test_counts_as_a_posterior_by_hand() -> None:
    counts = np.array([[1, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_array_equal(
        _statistics.normalized_counts(counts),
        [[0.25, 0.75, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25], [0.0, 0.0, 0.0, 1.0]],
    )


def test_the_sampling_floor_of_one_and_of_no_spike() -> None:
    """One spike of unit k, with probability y_k, is 1 − y_k off: Σ y_k (1 − y_k) in the mean."""
    y = np.array([[0.5, 0.3, 0.2]] * 2)
    floor = _statistics.sampling_floor(y, np.array([1, 0]))
    np.testing.assert_allclose(floor, 1 - (y**2).sum(axis=1), rtol=1e-13)


def test_units_are_matched_by_the_greatest_total_cosine_whatever_their_norms() -> None:
    # Greedily, unit 0 would take its best, which is worth more to unit 1.
    reference = np.array([[1.0, 0.0], [0.0, 1.0]])
    weights = 7.0 * unit(np.array([[0.8, 0.6], [1.0, 0.0]]))
    order, cosines = _statistics.match_units(weights, reference)
    np.testing.assert_array_equal(order, [1, 0])
    np.testing.assert_allclose(cosines, [1.0, 0.6], rtol=1e-14)


# --- what all comparisons share ------------------------------------------------------------------


def test_sizes_that_suit_a_data_set() -> None:
    for quick in (False, True):
        assert suitable_sizes("digits", quick=quick) is SIZES["digits", quick]
        for name in ("mnist", "fashion-mnist"):
            assert suitable_sizes(name, quick=quick) is SIZES["mnist", quick]
    assert SIZES["mnist", False].train == 60_000


def test_few_inputs_get_more_spikes_and_neurons() -> None:
    many, few = (reading_network(n, 7, 0.05) for n in (256, 255))
    for net, n in ((many, 256), (few, 255)):
        assert (net.n_features, net.n_units, net.temperature) == (n, 7, 0.05)
        assert (net.n_steps, net.settle_steps, net.psp_tau_ms) == (100, 40, 20.0)
    default = NetworkParams(n_features=256, n_units=7)
    assert many.max_probability == default.max_probability < few.max_probability
    assert many.population_size == default.population_size < few.population_size


def test_a_ladder_trains_its_reference_on_unit_samples() -> None:
    made = made_ladder()
    prepared = Ladder.prepare(made.data, ("event",), seed=3, sizes=TINY)
    np.testing.assert_allclose(prepared.X_train, made.X_train[:40], rtol=1e-14)
    np.testing.assert_allclose(prepared.X_test, made.X_test, rtol=1e-14)
    own = SoftHebb(22, prior_learning_rate=0.001, random_state=3).fit(made.X_train[:40])
    np.testing.assert_allclose(prepared.rate.weights_, own.weights_, rtol=1e-12)
    np.testing.assert_allclose(prepared.rate.log_prior_, own.log_prior_, rtol=1e-12)
    assert np.ptp(own.log_prior_) > 0
    assert prepared.network == reading_network(10, 22, own.temperature)
    assert (prepared.data, prepared.rungs, prepared.seed) == (made.data, ("event",), 3)
    assert prepared.sizes is TINY


def test_log_priors_that_integers_could_not_hold_are_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fit = SoftHebb.fit

    def with_a_dead_unit(self: SoftHebb, *args: Any, **given: Any) -> SoftHebb:
        fitted = fit(self, *args, **given)
        fitted.log_prior_[:2] = -400.0, -1.0
        return fitted

    monkeypatch.setattr(SoftHebb, "fit", with_a_dead_unit)
    prepared = Ladder.prepare(made_ladder().data, ("event",), seed=3, sizes=TINY)
    lowest = prepared.rate.log_prior_[0]
    assert -23.0 < lowest < -20.0
    assert lowest / math.log(2) > -32.0  # what 24 bits in steps of 2^-18 octaves reach
    assert prepared.rate.log_prior_[1] == -1.0


def test_a_run_of_a_ladder_has_the_reference_and_constant_rates() -> None:
    made = made_ladder()
    net = made.with_inhibition("exact")
    assert net == replace(made.network, inhibition="exact")
    run = made.run(
        net,
        made.X_test[:3],
        learning_rate=0.2,
        prior_learning_rate=0.1,
        probes=("psp",),
        keep_spikes=True,
    )
    expected = Run(
        network=net,
        samples=made.X_test[:3],
        weights=made.rate.weights_,
        log_prior=made.rate.log_prior_,
        learning_rates=np.full(3, 0.2),
        prior_learning_rates=np.full(3, 0.1),
        seed=made.seed,
        probes=("psp",),
        keep_spikes=True,
    )
    assert_same_run(run, expected)
    frozen = made.run(net, made.X_test[:3])
    assert not frozen.learn
    assert not frozen.keep_spikes
    assert frozen.probes == ()


# --- clamped -------------------------------------------------------------------------------------


def drawn_result(run: Run) -> RunResult:
    return RunResult(
        spike_counts=np.zeros((len(run.samples), run.network.n_units), np.int64),
        weights=run.weights,
        log_prior=run.log_prior,
        input_spikes=np.array([[0, 1, 2], [3, 4, 5]]),
        output_spikes=np.array([[1, 2, 3]]),
    )


@pytest.mark.parametrize(
    ("rungs", "source"), [(ALL, "event"), (("fixed", "event"), "event"), (("lava", "x"), "lava")]
)
def test_all_rungs_are_clamped_to_spikes_drawn_once(rungs: tuple[str, ...], source: str) -> None:
    made, free = made_ladder(rungs), []

    def draw(run: Run) -> RunResult:
        free.append(run)
        return drawn_result(run)

    runs = clamped.plan(made, {source: draw})
    assert list(runs) == [("clamped", rung) for rung in rungs]
    (drawn,) = free
    assert (drawn.input_spikes, drawn.output_spikes, drawn.keep_spikes) == (None, None, True)
    net = drawn.network
    assert net == NetworkParams(n_features=10, n_units=20, n_steps=50, settle_steps=10)
    expected = Run(
        network=net,
        samples=made.X_train[:40],
        weights=made.rate.weights_[:20],
        log_prior=np.full(20, math.log(1 / 20)),
        learning_rates=np.full(40, 0.1),
        prior_learning_rates=np.full(40, 0.02),
        seed=made.seed,
    )
    np.testing.assert_allclose(drawn.log_prior, expected.log_prior, rtol=1e-15)
    assert_same_run(replace(drawn, log_prior=expected.log_prior), expected)
    given = drawn_result(drawn)
    for run in runs.values():
        assert run.keep_spikes is False
        assert set(run.probes) == set(PROBES)
        np.testing.assert_array_equal(run.input_spikes, given.input_spikes)
        np.testing.assert_array_equal(run.output_spikes, given.output_spikes)
        assert_same_run(
            replace(run, input_spikes=None, output_spikes=None, probes=(), keep_spikes=True), drawn
        )


def states_by_rung(**factors: dict[str, float]) -> dict[tuple[str, str], RunResult]:
    return {("clamped", rung): a_state(np.random.default_rng(0), factors.get(rung)) for rung in ALL}


def test_rungs_in_floating_point_are_compared_in_pairs_and_integers_with_the_first() -> None:
    checks = clamped.evaluate(made_ladder(), states_by_rung())
    pairs = [("event", "lava"), ("event", "brian2"), ("lava", "brian2"), ("event", "fixed")]
    assert [(item.rungs, item.name) for item in checks] == [
        (pair, f"clamped/{name}") for pair in pairs for name in STATES
    ]
    assert all(item.value == 0 and item.passed for item in checks)
    for rungs, expected in ((("fixed",), []), (("event",), []), (("fixed", "lava"), ["lava"])):
        found = clamped.evaluate(made_ladder(rungs), states_by_rung())
        assert {item.rungs for item in found} == {(name, "fixed") for name in expected}


@pytest.mark.parametrize("state", STATES)
def test_a_difference_of_a_clamped_state_has_its_size(state: str) -> None:
    results = states_by_rung(lava={state: 1 + 1e-3}, fixed={state: 1 + 1e-3})
    checks = clamped.evaluate(made_ladder(("event", "lava", "fixed")), results)
    for rung in ("lava", "fixed"):
        found = by_name(checks, "event", rung)
        assert found[state].value == pytest.approx(1e-3, rel=1e-9)
        assert all(item.value == 0 for name, item in found.items() if name != state)
    # A thousand float64 roundings in each of 40 · 60 steps are 5e-10.
    assert by_name(checks, "event", "lava")[state].high == 1000 * 2.0**-52 * 40 * 60
    rounded = by_name(checks, "event", "fixed")[state]
    assert rounded.high == clamped.ROUNDED_BOUNDS[state]
    assert rounded.low is None
    assert str(rounded.high) not in rounded.bound_from
    assert "requirement" in rounded.bound_from


def test_floats_are_compared_by_the_largest_difference_and_integers_by_its_rms() -> None:
    results = states_by_rung()
    drive = results["clamped", "event"].probes["drive"]
    top = np.abs(drive).max()
    off = drive.copy()
    off[0, 0, 0] += 0.5 * top
    for rung in ("lava", "fixed"):
        own = results["clamped", rung]
        results["clamped", rung] = replace(own, probes=own.probes | {"drive": off})
    checks = clamped.evaluate(made_ladder(("event", "lava", "fixed")), results)
    assert by_name(checks, "event", "lava")["drive"].value == pytest.approx(0.5, rel=1e-12)
    rms = math.sqrt((0.5 * top) ** 2 / (drive**2).sum())
    assert by_name(checks, "event", "fixed")["drive"].value == pytest.approx(rms, rel=1e-12)


# --- integers ------------------------------------------------------------------------------------


def test_the_rung_in_integers_gives_formats_to_runs_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event, "simulate", lambda run: run)
    made = made_ladder()
    run = made.run(made.network, made.X_test)
    assert_same_run(integers.simulate(run), replace(run, fixed=FixedPointParams()))
    shared = replace(run, fixed=FixedPointParams(rounding="shared"))
    assert_same_run(integers.simulate(shared), shared)


@pytest.mark.parametrize("rungs", [("fixed",), ("lava", "event"), ("event",)])
def test_integers_are_compared_only_where_both_take_part(rungs: tuple[str, ...]) -> None:
    assert integers.plan(made_ladder(rungs), {}) == {}
    assert integers.evaluate(made_ladder(rungs), {}) == []


def test_both_learn_the_same_in_integers_with_either_rounding() -> None:
    made = made_ladder()
    runs = integers.plan(made, {})
    assert set(runs) == {
        ("integers", f"{rung}:{rounding}") for rung in ("fixed", "lava") for rounding in ROUNDINGS
    }
    for (_, variant), run in runs.items():
        expected = Run(
            network=NetworkParams(n_features=10, n_units=20, n_steps=30, settle_steps=9),
            samples=made.X_train[:12],
            weights=made.rate.weights_[:20],
            log_prior=run.log_prior,
            learning_rates=np.full(12, 0.2),
            prior_learning_rates=np.full(12, 0.02),
            seed=made.seed,
            probes=PROBES,
            fixed=FixedPointParams(rounding=variant.split(":")[1]),
        )
        assert_same_run(run, expected)
        np.testing.assert_allclose(np.exp(run.log_prior), np.full(20, 1 / 20), rtol=1e-14)


def test_numbers_that_differ_are_counted_over_all_states() -> None:
    one = replace(a_state(np.random.default_rng(1)), input_spikes=np.zeros((4, 3), np.int64))
    assert integers.count_differences(one, one) == 0
    weights, psp = one.weights.copy(), one.probes["psp"].copy()
    weights[0, :2] += 1e-9
    psp[0, 0, 0] += 1.0
    other = replace(
        one,
        weights=weights,
        log_prior=one.log_prior + 1.0,
        spike_counts=one.spike_counts + 1,
        probes=one.probes | {"psp": psp},
    )
    assert integers.count_differences(one, other) == 2 + 3 + 6 + 1
    # Lists of spikes of another length differ in all they hold.
    longer = replace(one, input_spikes=np.zeros((6, 3), np.int64))
    assert integers.count_differences(one, longer) == 18
    assert integers.count_differences(longer, one) == 18
    spikes = replace(one, output_spikes=np.zeros((1, 3), np.int64))
    assert integers.count_differences(one, spikes) == 3
    with pytest.raises(ValueError, match="zip"):  # of what is missing nothing can be said
        integers.count_differences(one, replace(one, probes={}))


def test_one_bit_between_the_engines_fails() -> None:
    state = a_state(np.random.default_rng(1))
    results = {
        ("integers", f"{rung}:{rounding}"): state
        for rung in ("fixed", "lava")
        for rounding in ROUNDINGS
    }
    checks = integers.evaluate(made_ladder(("lava", "fixed")), results)
    assert [item.name for item in checks] == [f"integers/bits, {name}" for name in ROUNDINGS]
    assert all((item.low, item.high) == (None, 0.0) for item in checks)
    assert all(item.passed and item.rungs == ("fixed", "lava") for item in checks)
    assert f"after {12 * 40} steps" in checks[0].statistic
    results["integers", "lava:shared"] = replace(state, log_prior=state.log_prior + 2.0**-18)
    found = by_name(integers.evaluate(made_ladder(), results), "fixed", "lava")
    assert found["bits, shared"].value == 3
    assert not found["bits, shared"].passed
    assert found["bits, per_synapse"].passed
    assert [item.bound_from for item in found.values()] == ["exact", "exact"]
