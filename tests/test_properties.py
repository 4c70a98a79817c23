"""What holds of every network: properties, tried over parameters, shapes and seeds.

Examples are derandomised, so a run repeats the last one. Bounds are derived where they stand.
"""

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from integer_oracle import run_oracle
from numpy.typing import NDArray

from softhebb_spiking import Checkpoint, SoftHebb, SpikingSoftHebb, load_model, theory
from softhebb_spiking.backends import event
from softhebb_spiking.fixed_network import fixed_network_of
from softhebb_spiking.params import INHIBITIONS, PROBES, FixedPointParams, Run
from softhebb_spiking.validation import unit_norm_samples

EPS = float(np.finfo(np.float64).eps)
Floats = NDArray[np.float64]
MakeRun = Callable[..., Run]
RUNGS = ("rate", "event", "fixed")


def examples(n: int) -> Any:
    """Return the settings of a property that is tried on `n` examples."""
    return settings(
        max_examples=n,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


sizes = st.integers(1, 6)
seeds = st.integers(0, 2**32 - 1)
inhibitions = st.sampled_from(INHIBITIONS)
temperatures = st.sampled_from([0.005, 0.02, 0.1, 1.0])
rungs = st.sampled_from(RUNGS)


def rows(seed: int, n_samples: int, n_features: int) -> Floats:
    """Samples of any strength, with some zeros, none of which is all zero."""
    rng = np.random.default_rng(seed)
    samples = rng.random((n_samples, n_features)) * (rng.random((n_samples, n_features)) < 0.7)
    samples[:, 0] += 0.1
    return np.asarray(samples * 10.0 ** rng.uniform(-3.0, 3.0, (n_samples, 1)))


def unit_weights(seed: int, n_units: int, n_features: int) -> Floats:
    return theory.unit_rows(np.random.default_rng(seed + 1).random((n_units, n_features)) + 0.01)


def estimator(rung: str, n_units: int, **changes: Any) -> Any:
    """A small estimator of a rung; changes that the rate rung does not know are left out."""
    common: dict[str, Any] = {
        "temperature": 0.05,
        "learning_rate": 0.3,
        "prior_learning_rate": 0.02,
        "random_state": 3,
    }
    spiking = {"population_size": 16, "total_rate": 3.0, "n_steps": 9, "settle_steps": 4}
    if rung == "rate":
        known = {name: changes[name] for name in changes if name in common | {"batch_size": 0}}
        return SoftHebb(n_units, **({"batch_size": 1} | common | known))
    arithmetic = "fixed" if rung == "fixed" else "float"
    return SpikingSoftHebb(n_units, arithmetic=arithmetic, **(common | spiking | changes))


def assert_same_state(one: Any, other: Any) -> None:
    for name in ("weights_", "log_prior_", "weight_scales_", "n_samples_seen_"):
        assert hasattr(one, name) == hasattr(other, name)
        if hasattr(one, name):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def batches(X: Floats, cuts: list[int]) -> Iterator[Floats]:
    bounds = [0, *sorted({cut % len(X) for cut in cuts} - {0}), len(X)]
    for start, stop in pairwise(bounds):
        yield X[start:stop]


# --- the posterior -------------------------------------------------------------------------------


@examples(150)
@given(rung=rungs, inhibition=inhibitions, n_units=sizes, n_features=sizes, seed=seeds,
       temperature=temperatures)  # fmt: skip
def test_posteriors_are_distributions(
    rung: str, inhibition: str, n_units: int, n_features: int, seed: int, temperature: float
) -> None:
    """A sum of K shares, each with a relative rounding of its own, is 1 within K + 1 roundings."""
    model = estimator(rung, n_units, inhibition=inhibition, temperature=temperature)
    X = rows(seed, 5, n_features)
    model.partial_fit(X)
    y = model.predict_proba(X)
    assert y.shape == (5, n_units)
    assert (y >= 0.0).all()
    assert (y <= 1.0 + EPS).all()
    assert np.abs(y.sum(axis=1) - 1.0).max() <= (n_units + 1) * EPS


@examples(80)
@given(inhibition=inhibitions, fixed=st.booleans(), n_units=sizes, seed=seeds)
def test_no_population_fires_more_than_all_its_neurons(
    inhibition: str, fixed: bool, n_units: int, seed: int
) -> None:
    model = estimator(
        "fixed" if fixed else "event",
        n_units,
        inhibition=inhibition,
        population_size=4,
        total_rate=3.5,
        temperature=0.005,
    )
    recording = model.partial_fit(rows(seed, 3, 4)).record(rows(seed, 3, 4))
    assert (recording.spike_counts >= 0).all()
    assert (recording.spike_counts <= 4 * 9).all()
    steps, counts = np.unique(recording.output_spikes, axis=0, return_counts=True)
    assert not counts.size or counts.max() <= 4
    assert (steps[:, 1] < 13).all()


# --- symmetries ----------------------------------------------------------------------------------


def rate_rounding_bound(X: Floats, weights: Floats, eta: float, temperature: float) -> float:
    """Largest difference of a weight after online learning, if sums are added up in another order.

    One step maps w_k to w_k + η y_k (x − u_k w_k). With W ≥ ‖w_k‖ for all k, its derivative by the
    weights is at most 1 + η L, L = 2 W + (1 + W²) W / (2τ): y_k (x ⊗ w + u) contributes 2 W, and
    |δy_k| ≤ max|δu| / (2τ) times ‖x − u w‖ ≤ 1 + W². A step rounds anew: u in n additions of
    relative 2⁻⁵³, y by what u/τ and K additions bring, the update in three operations.
    """
    n, K, steps = X.shape[1], len(weights), len(X)
    W = 1.0 + steps * eta**2  # ‖w‖² grows by at most (η y)² in a step that does not overshoot
    y_rounding = (n + 4.0) * W / temperature + K + 4.0
    rounding = 0.5 * EPS * ((1.0 + W**2) * (y_rounding + n + 4.0) + W)
    growth = 1.0 + eta * (2.0 * W + (1.0 + W**2) * W / (2.0 * temperature))
    return float(2.0 * rounding * (growth**steps - 1.0) / (growth - 1.0))


@examples(200)
@given(n_units=sizes, n_features=sizes, seed=seeds, temperature=st.sampled_from([0.2, 1.0]),
       eta=st.sampled_from([0.05, 0.2]))  # fmt: skip
def test_permuting_units_or_features_commutes_with_learning_on_rates(
    n_units: int, n_features: int, seed: int, temperature: float, eta: float
) -> None:
    X, start = rows(seed, 10, n_features), unit_weights(seed, n_units, n_features)
    prior = np.log(np.random.default_rng(seed).dirichlet(np.full(n_units, 5.0)))
    rng = np.random.default_rng(seed)
    units, features = rng.permutation(n_units), rng.permutation(n_features)

    def learned(samples: Floats, weights: Floats, log_prior: Floats) -> Floats:
        options: dict[str, Any] = {"temperature": temperature, "learning_rate": eta}
        model = SoftHebb.from_weights(weights, log_prior, batch_size=1, **options)
        return np.asarray(model.partial_fit(samples).weights_)

    expected = learned(X, start, prior)
    bound = rate_rounding_bound(X, start, eta, temperature)
    assert bound < 1e-6  # of differences that a wrong rule makes, 1e-2 and more
    of_units = learned(X, start[units], prior[units])
    assert np.abs(of_units - expected[units]).max() <= bound
    of_features = learned(X[:, features], start[:, features], prior)
    assert np.abs(of_features - expected[:, features]).max() <= bound


def clamped_bound(run: Run) -> float:
    """1000 float64 roundings in each step, relative to the largest value: as `verify` has it."""
    return 1000.0 * EPS * len(run.samples) * run.network.presentation_steps


@examples(100)
@given(inhibition=inhibitions, n_units=sizes, n_features=sizes, seed=seeds)
def test_permuting_units_or_features_commutes_with_clamped_spikes(
    clamped_run: MakeRun, inhibition: str, n_units: int, n_features: int, seed: int
) -> None:
    """Drawn spikes are keyed by index and move with none; given spikes are permuted alike."""
    run = clamped_run(seed, n_units=n_units, n_features=n_features, inhibition=inhibition)
    rng = np.random.default_rng(seed)
    units, features = rng.permutation(n_units), rng.permutation(n_features)
    assert run.input_spikes is not None
    assert run.output_spikes is not None
    inputs, outputs = run.input_spikes.copy(), run.output_spikes.copy()
    inputs[:, 2] = np.argsort(features)[inputs[:, 2]]
    outputs[:, 2] = np.argsort(units)[outputs[:, 2]]
    permuted = replace(
        run,
        samples=run.samples[:, features],
        weights=run.weights[np.ix_(units, features)],
        log_prior=run.log_prior[units],
        input_spikes=inputs,
        output_spikes=outputs,
    )
    one, other = event.simulate(run), event.simulate(permuted)
    pairs = [
        (one.weights[np.ix_(units, features)], other.weights),
        (one.log_prior[units], other.log_prior),
        (one.probes["drive"][..., units], other.probes["drive"]),
        (one.probes["psp"][..., features], other.probes["psp"]),
        (one.probes["inhibition"], other.probes["inhibition"]),
    ]
    for found, expected in pairs:
        largest = max(np.abs(expected).max(), 1.0)
        assert np.abs(found - expected).max() <= clamped_bound(run) * largest
    np.testing.assert_array_equal(one.spike_counts[:, units], other.spike_counts)


@examples(150)
@given(rung=rungs, inhibition=inhibitions, octaves=st.integers(-900, 900), seed=seeds)
def test_strength_by_a_power_of_two_changes_no_bit(
    rung: str, inhibition: str, octaves: int, seed: int
) -> None:
    X = rows(seed, 6, 5)
    models = [estimator(rung, 3, inhibition=inhibition) for _ in range(2)]
    one, other = models[0].fit(X), models[1].fit(np.ldexp(X, octaves))
    assert_same_state(one, other)
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(np.ldexp(X, octaves)))


@examples(200)
@given(factor=st.floats(1e-100, 1e100), n_features=sizes, seed=seeds)
def test_strength_changes_samples_by_rounding_only(
    factor: float, n_features: int, seed: int
) -> None:
    """An entry is rounded in: the product, the peak's product, the division by it, and the norm.

    The norm is half of the n + 1 roundings of a sum of squares of such entries, its root and the
    division. All are half an eps; twice that bounds products of them.
    """
    X = rows(seed, 6, n_features)
    one, other = unit_norm_samples(X), unit_norm_samples(factor * X)
    n_roundings = 3 + 3 + 0.5 * (n_features + 1) + 2  # of the scaled samples; the others: half
    assert (np.abs(one - other) <= 2.0 * n_roundings * EPS * one).all()
    assert np.abs(np.linalg.norm(other, axis=1) - 1.0).max() <= (n_features + 4) * EPS


# --- shifts of the log prior ---------------------------------------------------------------------


@examples(200)
@given(shift=st.floats(-500.0, 500.0), n_units=sizes, seed=seeds, temperature=temperatures)
def test_a_shift_of_all_log_priors_leaves_the_posterior(
    shift: float, n_units: int, seed: int, temperature: float
) -> None:
    """u/τ, b + c and their sum are rounded: an exponent is off by δ, a share by exp(2δ)."""
    rng = np.random.default_rng(seed)
    u, b = rng.random((7, n_units)), np.log(rng.dirichlet(np.full(n_units, 5.0)))
    one = theory.posterior(u, b, temperature)
    other = theory.posterior(u, b + shift, temperature)
    size = 1.0 / temperature + np.abs(b).max() + abs(shift)
    delta = 6.0 * EPS * size + n_units * EPS
    assert np.abs(one - other).max() <= math.expm1(2.0 * delta)


@examples(100)
@given(shift=st.floats(-20.0, 20.0), n_units=sizes, seed=seeds)
def test_a_shift_of_all_log_priors_draws_the_same_spikes_with_exact_inhibition(
    clamped_run: MakeRun, free: MakeRun, shift: float, n_units: int, seed: int
) -> None:
    """Rates differ by rounding alone, so each of at most 500 draws here flips with P < 1e-12."""
    run = clamped_run(seed, n_units=n_units, inhibition="exact", prior_learning_rate=0.0)
    run = free(run)
    one = event.simulate(run, precision="double")
    moved = event.simulate(replace(run, log_prior=run.log_prior + shift), precision="double")
    np.testing.assert_array_equal(one.output_spikes, moved.output_spikes)
    np.testing.assert_array_equal(one.weights, moved.weights)
    inhibition = one.probes["inhibition"] + shift
    assert np.abs(moved.probes["inhibition"] - inhibition).max() <= 100.0 * EPS * 60.0


@examples(100)
@given(shift=st.floats(-5.0, 5.0), graded=st.booleans(), n_units=sizes, seed=seeds)
def test_a_pool_follows_a_shift_of_all_log_priors(
    clamped_run: MakeRun, shift: float, graded: bool, n_units: int, seed: int
) -> None:
    """Feedback hears spikes alone: given them, no bit changes. Graded messages carry the shift.

    Their pool starts at 0 and corrects by what it misses, so the shift δ of h obeys the pool's own
    equation, which is linear: e = c − δ, v ← d v + (1 − d) e, δ ← δ + e + v.
    """
    inhibition = "graded" if graded else "feedback"
    run = clamped_run(seed, n_units=n_units, inhibition=inhibition, prior_learning_rate=0.0)
    one = event.simulate(run)
    moved = event.simulate(replace(run, log_prior=run.log_prior + shift))
    np.testing.assert_array_equal(one.weights, moved.weights)
    np.testing.assert_array_equal(one.probes["drive"], moved.probes["drive"])
    net, expected, delta, trend = run.network, [], 0.0, 0.0
    d = math.exp(-net.dt_ms / net.psp_tau_ms)
    for _ in range(net.presentation_steps):
        expected.append(delta)
        error = shift - delta if graded else 0.0
        trend = d * trend + (1.0 - d) * error
        delta += error + trend
    found = moved.probes["inhibition"] - one.probes["inhibition"]
    by_step = np.broadcast_to(expected[net.settle_steps :], found.shape)
    largest = 1.0 + np.abs(one.probes["inhibition"]).max() + abs(shift)
    assert np.abs(found - by_step).max() <= 1000.0 * EPS * net.presentation_steps * largest


# --- weights stay where they must ----------------------------------------------------------------


@examples(200)
@given(n_units=sizes, n_features=st.integers(1, 30), seed=seeds, batch_size=st.integers(1, 5),
       one_hot=st.booleans(), temperature=temperatures)  # fmt: skip
def test_weights_on_rates_stay_between_zero_and_one_below_a_learning_rate(
    n_units: int, n_features: int, seed: int, batch_size: int, one_hot: bool, temperature: float
) -> None:
    """From [0, 1], w ← (1 − a u) w + a x with a ≤ min(1/2, 1/√n) stays in [0, 1].

    Above: u ≥ w_i x_i, so w_i grows by at most z (1 − w_i²), z = a x_i, and w + z (1 − w²) ≤ 1 for
    w ≤ 1, z ≤ 1/2. Below: u ≤ max(w) Σ x ≤ √n, so 1 − a u ≥ 0. A batch is such a step with a
    the summed a y, at most 1.
    """
    eta = min(0.5, 1.0 / math.sqrt(n_features))
    options: dict[str, Any] = {"learning_rate": eta / batch_size, "batch_size": batch_size}
    X = rows(seed, 40, n_features)
    if one_hot:  # grows the norm most: to √n
        X[: min(n_features, 20)] = np.eye(n_features)[: min(n_features, 20)]
    start = unit_weights(seed, n_units, n_features)
    model = SoftHebb.from_weights(start, temperature=temperature, **options).partial_fit(X)
    assert model.weights_.min() >= 0.0
    assert model.weights_.max() <= 1.0 + 40 * EPS


def test_above_that_learning_rate_weights_on_rates_can_become_negative() -> None:
    """One unit and one-hot samples: ‖w‖ = √n, and a sample along w overshoots for η √n > 1."""
    X = np.vstack([np.eye(9)[1:], np.ones((1, 9))])
    model = SoftHebb.from_weights(np.eye(9)[:1], learning_rate=1.0, batch_size=1).partial_fit(X)
    np.testing.assert_allclose(model.weights_, 1.0 - 3.0 + 1.0 / 3.0, rtol=1e-12)


def overshoot(run: Run, drive: Floats, output_spikes: Any) -> float:
    """Return the largest η_s n u of an update; above 1, it turns the sign of a weight."""
    net, counts = run.network, np.zeros(drive.shape)
    sample, step, unit = output_spikes.T
    is_read = step >= net.settle_steps
    np.add.at(counts, (sample[is_read], step[is_read] - net.settle_steps, unit[is_read]), 1.0)
    eta_s = run.learning_rates / (net.total_rate * net.n_steps)
    return float((eta_s[:, np.newaxis, np.newaxis] * counts * drive).max())


@examples(300)
@given(inhibition=inhibitions, n_units=sizes, n_features=sizes, seed=seeds,
       eta=st.sampled_from([0.1, 0.5, 1.0]), n_steps=st.integers(2, 30))  # fmt: skip
def test_weights_in_spikes_stay_non_negative_while_no_spike_overshoots(
    clamped_run: MakeRun, free: MakeRun, inhibition: str, n_units: int, n_features: int, seed: int,
    eta: float, n_steps: int,
) -> None:  # fmt: skip
    """w ← (1 − η_s n u) w + η_s n s has only non-negative terms if η_s n u ≤ 1 at each update.

    u is probed, n counted; half a per cent covers single precision.
    """
    run = free(clamped_run(seed, n_units=n_units, n_features=n_features, inhibition=inhibition,
                           learning_rate=eta, n_steps=n_steps, total_rate=6.0))  # fmt: skip
    result = event.simulate(run)
    assert np.isfinite(result.weights).all()
    assume(overshoot(run, result.probes["drive"], result.output_spikes) <= 0.995)
    assert result.weights.min() >= 0.0


@examples(80)
@given(n_units=sizes, n_features=sizes, seed=seeds, inhibition=inhibitions,
       rounding=st.sampled_from(["per_synapse", "shared"]))  # fmt: skip
def test_integer_weights_stay_in_their_byte(
    n_units: int, n_features: int, seed: int, inhibition: str, rounding: str
) -> None:
    model = estimator("fixed", n_units, inhibition=inhibition, rounding=rounding, learning_rate=1.0)
    model.partial_fit(rows(seed, 20, n_features))
    run = model.make_run(rows(seed, 1, n_features))
    in_units = model.weights_ / 2.0 ** fixed_network_of(run).weight.exponent
    np.testing.assert_array_equal(in_units, np.rint(in_units))
    assert in_units.min() >= 0
    assert in_units.max() <= 255
    assert (model.log_prior_ <= 0.0).all()


# Few steps at a high learning rate: a population that fires as one overshoots.
OVERSHOOTS: dict[str, Any] = {
    "learning_rate": 1.0,
    "n_steps": 2,
    "settle_steps": 2,
    "population_size": 32,
    "prior_learning_rate": 0.0,
}


def test_weights_that_diverge_are_refused_and_leave_the_state() -> None:
    model = estimator("event", 4, **(OVERSHOOTS | {"total_rate": 2.0, "inhibition": "feedback"}))
    X = np.random.default_rng(0).random((200, 16))
    with pytest.raises(FloatingPointError, match="diverged"), np.errstate(all="ignore"):
        model.partial_fit(X)
    assert not hasattr(model, "weights_")


def test_what_overshot_is_saved_and_loaded(tmp_path: Path) -> None:
    model = estimator("event", 4, **(OVERSHOOTS | {"total_rate": 8.0, "inhibition": "exact"}))
    model.partial_fit(np.random.default_rng(0).random((30, 16)))
    assert model.weight_scales_.min() < 0.0
    assert np.isfinite(model.weights_).all()
    model.save(tmp_path / "model")
    assert_same_state(model, load_model(tmp_path / "model"))


# --- rungs ---------------------------------------------------------------------------------------

roundings = st.sampled_from(["per_synapse", "shared"])
small_layers: dict[str, Any] = {"inhibition": inhibitions, "n_units": sizes, "n_features": sizes}
clamped_networks: dict[str, Any] = small_layers | {
    "n_steps": st.integers(1, 20),
    "settle_steps": st.integers(0, 6),
    "temperature": st.sampled_from([0.02, 0.1, 1.0]),
    "inhibition_gain": st.sampled_from([0.3, 0.7, 1.5]),
    "max_probability": st.sampled_from([0.1, 0.5, 1.0]),
    "psp_tau_ms": st.sampled_from([0.5, 5.0, 20.0]),
}


def assert_agree(run: Run, result: Any, expected: Any) -> None:
    """Same spikes in float64: 1000 roundings a step of the largest value there is."""
    pairs = [(result.weights, expected.weights), (result.log_prior, expected.log_prior)]
    for name in PROBES:
        other = expected.probes[name] if hasattr(expected, "probes") else getattr(expected, name)
        pairs.append((result.probes[name], other))
    for found, other in pairs:
        largest = max(np.abs(other).max(), 1.0)
        assert np.abs(found - other).max() <= clamped_bound(run) * largest
    np.testing.assert_array_equal(result.spike_counts, expected.spike_counts)


@examples(200)
@given(seed=seeds, changes=st.fixed_dictionaries(clamped_networks))
def test_clamped_events_are_the_equations(
    clamped_run: MakeRun, oracle: Callable[..., Any], seed: int, changes: dict[str, Any]
) -> None:
    run = clamped_run(seed, **changes)
    expected = oracle(run)
    assert_agree(run, event.simulate(run), expected)


@pytest.mark.brian2
@examples(6)
@given(seed=seeds, changes=st.fixed_dictionaries(clamped_networks))
def test_clamped_events_are_what_brian2_does(
    clamped_run: MakeRun, seed: int, changes: dict[str, Any]
) -> None:
    from softhebb_spiking.backends import brian2

    run = clamped_run(seed, n_samples=2, **changes)
    expected = brian2.simulate(run)
    assert_agree(run, event.simulate(run), expected)


@pytest.mark.parametrize("inhibition", ["feedback", "graded"])
def test_drives_below_zero_decay_as_others_do(
    clamped_run: MakeRun, oracle: Callable[..., Any], inhibition: str
) -> None:
    """A spike that overshoots leaves a negative weight; then a step comes without inputs."""
    run = clamped_run(0, n_units=1, n_features=1, n_steps=1, settle_steps=3, psp_tau_ms=0.5,
                      max_probability=0.1, inhibition=inhibition)  # fmt: skip
    expected = oracle(run)
    assert expected.drive.min() < 0.0
    assert_agree(run, event.simulate(run), expected)


@examples(60)
@given(seed=seeds, rounding=roundings, changes=st.fixed_dictionaries(small_layers))
def test_free_events_in_integers_are_the_integer_oracle(
    clamped_run: MakeRun, free: MakeRun, seed: int, rounding: str, changes: dict[str, Any]
) -> None:
    run = clamped_run(seed, n_samples=2, settle_steps=2, **changes)
    run = free(run, fixed=FixedPointParams(rounding=rounding), seed=seed)
    fixed = fixed_network_of(run)
    result, expected = event.simulate(run), run_oracle(run, fixed)
    np.testing.assert_array_equal(result.weights, fixed.weights_as_float(expected.weights))
    np.testing.assert_array_equal(result.log_prior, fixed.log_prior_as_float(expected.log_prior))
    np.testing.assert_array_equal(result.spike_counts, expected.spike_counts)
    spikes = np.array(expected.output_spikes, np.int64).reshape(-1, 3)
    np.testing.assert_array_equal(result.output_spikes, spikes)
    for name in PROBES:
        values = getattr(fixed, f"{name}_as_float")(getattr(expected, name))
        np.testing.assert_array_equal(result.probes[name], values, err_msg=name)


@pytest.mark.lava
@pytest.mark.slow
@examples(4)
@given(seed=seeds, changes=st.fixed_dictionaries(clamped_networks))
def test_clamped_events_are_what_lava_does(
    clamped_run: MakeRun, seed: int, changes: dict[str, Any]
) -> None:
    from softhebb_spiking.backends import lava

    run = clamped_run(seed, n_samples=2, **changes)
    assert_agree(run, event.simulate(run), lava.simulate(run))


@pytest.mark.lava
@pytest.mark.slow
@examples(4)
@given(seed=seeds, rounding=roundings, changes=st.fixed_dictionaries(small_layers))
def test_free_events_in_integers_are_what_lava_does(
    clamped_run: MakeRun, free: MakeRun, seed: int, rounding: str, changes: dict[str, Any]
) -> None:
    from softhebb_spiking.backends import lava

    run = clamped_run(seed, n_samples=2, settle_steps=2, **changes)
    run = free(run, fixed=FixedPointParams(rounding=rounding), seed=seed)
    one, other = event.simulate(run), lava.simulate(run)
    for name in ("weights", "log_prior", "spike_counts", "input_spikes", "output_spikes"):
        found, expected = getattr(one, name), getattr(other, name)
        np.testing.assert_array_equal(found, expected, err_msg=name)
    for name in PROBES:
        np.testing.assert_array_equal(one.probes[name], other.probes[name], err_msg=name)


# --- parts and wholes ----------------------------------------------------------------------------


@examples(80)
@given(rung=rungs, cut=st.integers(1, 29), seed=seeds, inhibition=inhibitions)
def test_saved_loaded_and_continued_is_continued(
    rung: str, cut: int, seed: int, inhibition: str
) -> None:
    X = rows(seed, 30, 5)
    model = estimator(rung, 4, inhibition=inhibition).partial_fit(X[:cut])
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model")
        loaded = load_model(f"{folder}/model")
    assert_same_state(model, loaded)
    assert_same_state(model.partial_fit(X[cut:]), loaded.partial_fit(X[cut:]))


class Stopped(Exception):
    """Raised in place of a power cut."""


@examples(20)
@given(rung=rungs, n_samples=st.integers(1001, 2600), n_done=st.integers(1, 2), seed=seeds)
def test_a_stopped_training_resumed_is_the_whole(
    rung: str, n_samples: int, n_done: int, seed: int
) -> None:
    X = rows(seed, n_samples, 5)
    expected = estimator(rung, 4, inhibition="exact").fit(X)
    calls: list[object] = []

    def stop(progress: object) -> None:
        calls.append(progress)
        if len(calls) == n_done:
            raise Stopped

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ckpt"
        model = estimator(rung, 4, inhibition="exact")
        with contextlib.suppress(Stopped):
            model.fit(X, checkpoint=Checkpoint(path, every_samples=1), callback=stop)
        resumed = estimator(rung, 4, inhibition="exact")
        resumed.fit(X, checkpoint=Checkpoint(path, resume=True))
    assert_same_state(resumed, expected)


@examples(150)
@given(rung=rungs, cuts=st.lists(st.integers(1, 39), max_size=5), seed=seeds,
       inhibition=inhibitions, n_units=sizes)  # fmt: skip
def test_batches_cut_anywhere_learn_online_alike(
    rung: str, cuts: list[int], seed: int, inhibition: str, n_units: int
) -> None:
    X, start = rows(seed, 40, 5), unit_weights(seed, n_units, 5)

    def model() -> Any:
        found = estimator(rung, n_units, inhibition=inhibition)
        found._set_state(start, None)
        return found

    expected, parts = model().partial_fit(X), model()
    for batch in batches(X, cuts):
        parts.partial_fit(batch)
    assert_same_state(parts, expected)
    assert_same_state(model().partial_fit(batches(X, cuts)), expected)
    in_one = model().fit(X, initial_weights=start)
    stream = model().fit(batches(X, cuts), initial_weights=start, n_samples=40)
    assert_same_state(stream, in_one)


@examples(60)
@given(n_units=sizes, n_samples=st.integers(1, 40), seed=seeds, inhibition=inhibitions,
       arithmetic=st.sampled_from(["float", "fixed"]))  # fmt: skip
def test_threads_read_the_same_bits(
    n_units: int, n_samples: int, seed: int, inhibition: str, arithmetic: str
) -> None:
    X = rows(seed, n_samples, 5)
    rung = "fixed" if arithmetic == "fixed" else "event"
    model = estimator(rung, n_units, inhibition=inhibition).partial_fit(X)
    expected = model.predict_proba(X)
    for n_threads in (2, 3):
        model.set_params(backend_options={"n_threads": n_threads})
        np.testing.assert_array_equal(model.predict_proba(X), expected)


@examples(8)
@given(n_units=st.integers(2048, 3200), seed=seeds, inhibition=inhibitions)
def test_threads_learn_the_same_bits(n_units: int, seed: int, inhibition: str) -> None:
    """A thread that learns has 1024 units at least."""
    X = rows(seed, 12, 5)
    expected = estimator("event", n_units, inhibition=inhibition).fit(X)
    for n_threads in (2, 3):
        options = {"n_threads": n_threads}
        model = estimator("event", n_units, inhibition=inhibition, backend_options=options)
        assert_same_state(model.fit(X), expected)
