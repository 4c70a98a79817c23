"""Equations of the LIF circuit, its integers, and its calibration, without a simulator."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import logsumexp, softmax

from softhebb_spiking.calibration import Calibration, calibrate, random_drives
from softhebb_spiking.circuit import (
    background_probability,
    background_spikes,
    background_synapses,
    circuit_for_samples,
    common_drive,
    counting_thresholds,
    current_decay,
    exponential_heights,
    feed_forward_inhibition,
    firing_threshold,
    fit_temperature,
    input_spikes,
    mean_spike_trace,
    psp_height,
    tangent_decay,
)
from softhebb_spiking.circuit_constants import circuit_constants, input_payloads
from softhebb_spiking.circuit_params import (
    CircuitResult,
    CircuitRun,
    LifCircuitParams,
    TwoFactorDecay,
)
from softhebb_spiking.params import FixedPointParams

SMALL = LifCircuitParams(n_features=6, n_units=3, population_size=10)


def make_run(circuit: LifCircuitParams = SMALL, **options: Any) -> CircuitRun:
    rng = np.random.default_rng(0)
    weights = rng.random((circuit.n_units, circuit.n_features))
    options = {"weights": weights, "drives": rng.random((2, circuit.n_units))} | options
    return CircuitRun(circuit=circuit, **options)


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_heights_are_the_means_of_parts_of_an_exponential(n: int) -> None:
    heights = exponential_heights(n)
    for i, height in enumerate(heights):
        low = -np.log1p(-i / n)
        high = np.inf if i == n - 1 else -np.log1p(-(i + 1) / n)
        mean = n * quad(lambda x: x * np.exp(-x), low, high)[0]
        assert height == pytest.approx(mean, rel=1e-6)
    assert heights.mean() == pytest.approx(1.0)


def test_every_neuron_hears_its_fan_in_once_each() -> None:
    circuit = replace(SMALL, n_background=100, background_fan_in=20)
    synapses = background_synapses(circuit, seed=3)
    assert synapses.shape == (30, 100)
    assert (np.diff(synapses.indptr) == 20).all()
    dense = synapses.toarray()
    assert ((dense > 0).sum(axis=1) == 20).all()  # no source twice
    np.testing.assert_allclose(
        np.sort(dense, axis=1)[:, -20:], np.tile(np.sort(exponential_heights(20)), (30, 1))
    )
    assert (background_synapses(circuit, seed=4) != synapses).nnz > 0


@pytest.mark.statistical
def test_background_makes_the_membrane_exponential() -> None:
    """P(ξ > x) = e^-x, to 10 %: sources are few, and two may fire at once.

    400 neurons over 6000 steps with a memory of 2 τ = 20 steps are about 120 000 independent
    draws; of e^-4 of them the relative standard error is 2 %, and of e^-2 it is 0.8 %. So the
    bound of 10 % is 5 σ away where it is tightest.
    """
    circuit = replace(SMALL, n_units=20, population_size=20)
    run = make_run(circuit, seed=1)
    synapses = background_synapses(circuit, seed=1)
    spikes = background_spikes(run, 6100)
    assert spikes.mean() == pytest.approx(background_probability(circuit), rel=0.03)
    xi, above, n = np.zeros(circuit.n_neurons), np.zeros(3), 0
    for step, fired in enumerate(spikes):
        xi = current_decay(circuit) * xi + synapses @ fired
        if step >= 100:
            above += [(xi > level).sum() for level in (1.0, 2.0, 4.0)]
            n += xi.size
    np.testing.assert_allclose(above / n, np.exp([-1.0, -2.0, -4.0]), rtol=0.10)


def test_counting_neurons_count_octaves() -> None:
    needed = counting_thresholds(replace(SMALL, n_units=100, population_size=50))
    assert (np.diff(needed) >= 0).all()
    assert needed[0] == 1
    assert needed[-1] <= 5000
    for n in (1, 3, 15, 100, 4999):
        fired = int((needed <= n).sum())
        assert abs(fired - 2 * np.log2(1 + n)) <= 1.0


@pytest.mark.parametrize("gain", [5.0, 20.0, 50.0, 90.0])
def test_at_the_common_drive_the_layer_is_in_balance(gain: float) -> None:
    """log(neurons) + drive − threshold − inhibition − feedback(r) = log r, whatever the gain."""
    circuit = replace(SMALL, gain=gain, common_drive=0.7)
    per_octave = min(gain * circuit.feedback, np.pi / 4 * 10 * (1 - np.exp(-0.1)) * np.log(2.0))
    feedback = per_octave * np.log2(1 + circuit.total_rate)
    feedback /= 1.0 - current_decay(circuit)
    inhibition = firing_threshold(circuit) + feed_forward_inhibition(circuit) + feedback
    log_rate = np.log(circuit.population_size) + gain * circuit.common_drive - inhibition
    expected = np.log(circuit.total_rate)
    if firing_threshold(circuit) > 0.0:
        assert log_rate == pytest.approx(expected)
    assert firing_threshold(circuit) <= circuit.threshold


def test_common_drive_is_a_quantile_of_the_best() -> None:
    drives = np.random.default_rng(0).random((1000, 5))
    best = 0.05 * logsumexp(drives / 0.05, axis=1)
    found = common_drive(drives, 0.05, quantile=0.1)
    assert (best < found).mean() == pytest.approx(0.1, abs=0.002)


def test_input_spikes_have_the_mean_of_the_sample() -> None:
    samples = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6708204]])
    circuit = replace(SMALL, largest_input=0.7, n_steps=40_000, settle_steps=0)
    run = CircuitRun(circuit=circuit, weights=np.zeros((3, 6)), samples=samples, seed=2)
    spikes = input_spikes(run)
    psp = spikes.mean(axis=0) * psp_height(circuit) / (1.0 - current_decay(circuit))
    probabilities = samples[0] * circuit.max_probability / circuit.largest_input
    sigma = psp_height(circuit) / (1.0 - current_decay(circuit))
    sigma = sigma * np.sqrt(probabilities * (1 - probabilities) / 40_000)
    assert (np.abs(psp - samples[0]) < 5.0 * sigma).all()  # fails once in 300 000


@pytest.mark.statistical
def test_a_temperature_is_found_again_and_its_error_is_right() -> None:
    """Over 40 data sets the fits scatter as their own standard errors say.

    The ratio of both has a relative standard error of 1/√80 = 11 %, so 0.55 and 1.6 lie 4 σ and
    5 σ away.
    """
    rng = np.random.default_rng(1)
    drives = random_drives(15, 8, 0.05, seed=0)
    fits = []
    for _ in range(40):
        counts = np.array([rng.multinomial(300, p) for p in softmax(drives / 0.05, axis=1)])
        fits.append(fit_temperature(drives, counts))
    values = np.array([fit.value for fit in fits])
    errors = np.array([fit.standard_error for fit in fits])
    assert 0.55 < values.std() / errors.mean() < 1.6
    assert abs(values.mean() - 0.05) < 5.0 * errors.mean() / np.sqrt(40)


def test_a_prior_is_no_temperature() -> None:
    prior = np.log(np.array([0.7, 0.2, 0.1]))
    drives = np.random.default_rng(0).random((30, 3))
    counts = np.rint(1e6 * softmax(drives / 0.1 + prior, axis=1)).astype(int)
    assert fit_temperature(drives, counts, prior).value == pytest.approx(0.1, rel=1e-3)
    assert fit_temperature(drives, counts).value != pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize(
    ("drives", "counts"), [(np.eye(2), np.zeros((2, 2), int)), (np.ones((2, 2)), np.ones((2, 2)))]
)
def test_no_temperature_without_spikes_or_differences(drives: Any, counts: Any) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        fit_temperature(drives, counts)


def test_tangent_decay_is_the_tangent() -> None:
    """Norms at the fixed point, with the trace that equilibrium of the inhibition gives.

    A unit that wins samples of mean resultant length R has u = |w| R, and y1 = ȳ (1 + N(u))/(1 +
    N̄) with log(1 + N) rising by `slope` per unit of drive. Its norm solves R = |w| (c0 + c1 y1).
    """
    circuit = replace(SMALL, gain=50.0)
    mean_drive, mean_trace = 0.92, 6.0
    decay = tangent_decay(circuit, mean_drive, mean_trace)
    assert decay.constant + decay.per_spike * mean_trace == pytest.approx(mean_drive)
    slope = (1.0 - current_decay(circuit)) * np.log(2.0) / circuit.feedback

    def norm(resultant: float, decay: TwoFactorDecay) -> float:
        low, high = 0.5, 1.5
        for _ in range(60):
            size = 0.5 * (low + high)
            trace = mean_trace * np.exp(slope * (size * resultant - mean_drive))
            grows = resultant > size * (decay.constant + decay.per_spike * trace)
            low, high = (size, high) if grows else (low, size)
        return low

    assert norm(mean_drive, decay) == pytest.approx(1.0)
    lengths = (0.87, 0.97)
    tangent = np.ptp([norm(length, decay) for length in lengths])
    constant = np.ptp([norm(length, TwoFactorDecay(constant=mean_drive)) for length in lengths])
    assert constant == pytest.approx((0.97 - 0.87) / 0.92)
    assert tangent < 0.3 * constant


def test_mean_spike_trace() -> None:
    counts = np.zeros((1, 6, 2), int)
    counts[0, [0, 1, 4], 0] = 1
    decay = np.exp(-1.0 / 5.0)
    expected = (1.0 + (1.0 + decay) + (1.0 + decay**3 * (1.0 + decay))) / 3.0
    assert mean_spike_trace(counts, SMALL, 5.0) == pytest.approx(expected)


@pytest.mark.parametrize("gain", [4.0, 20.0, 100.0])
@pytest.mark.parametrize("clamped", [True, False])
def test_integers_stand_for_the_floats(gain: float, clamped: bool) -> None:
    circuit = replace(SMALL, gain=gain, largest_input=1.0)
    shown: dict[str, Any] = {} if clamped else {"drives": None, "samples": np.eye(6)[:2]}
    run = make_run(circuit, log_prior=np.log([0.6, 0.3, 0.1]), **shown)
    floats = circuit_constants(run)
    integers = circuit_constants(replace(run, fixed=FixedPointParams()))
    scale = integers.current_per_nat
    for name in ("background", "inhibition", *(["inputs"] if not clamped else [])):
        exact, held = getattr(floats, name), getattr(integers, name)
        exact, weights = exact.weights, held.weights
        if name == "background":
            exact, weights = exact.toarray(), weights.toarray()
        assert np.abs(weights).max() <= 255
        assert 0 <= held.exponent <= 7
        unit = 2.0**held.exponent / scale
        np.testing.assert_allclose(weights * unit, exact, atol=0.501 * unit)
    bias = integers.excitatory.bias * 2.0**integers.excitatory.bias_exponent / 64.0 / scale
    np.testing.assert_allclose(bias, floats.excitatory.bias, atol=2.0**-10)
    assert integers.excitatory.vth / scale == pytest.approx(floats.excitatory.vth, abs=1.0 / scale)
    assert integers.excitatory.vth <= 2**17 - 1


def test_graded_payloads_are_even_and_right_in_the_mean() -> None:
    samples = np.full((1, 6), 6**-0.5)
    circuit = replace(SMALL, largest_input=0.5, n_steps=4000, settle_steps=0)
    run = CircuitRun(
        circuit=circuit,
        weights=np.full((3, 6), 0.4),
        samples=samples,
        learning="three_factor",
        learning_rates=np.ones(1),
        fixed=FixedPointParams(),
    )
    constants = circuit_constants(run)
    payloads = input_payloads(run, constants)
    fired = payloads[payloads > 0]
    assert (fired % 2 == 0).all()
    assert constants.network is not None
    half = psp_height(circuit) * constants.network.payload_per_gain
    sigma = 0.5 / np.sqrt(fired.size)
    assert abs(fired.mean() / 2.0 - half) < 5.0 * sigma


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gain": 0.0}, "gain"),
        ({"population_size": 0}, "population_size"),
        ({"n_background": 10}, "n_background"),
        ({"max_probability": 1.5}, "max_probability"),
        ({"settle_steps": -1}, "settle_steps"),
    ],
)
def test_parameters_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": np.eye(6)}, "either samples or drives"),
        ({"drives": None, "samples": np.eye(6) * 2}, "unit_norm_samples"),
        ({"drives": None, "samples": -np.eye(6)}, "unit_norm_samples"),
        ({"drives": None}, "either samples or drives"),
        ({"weights": np.ones((2, 6))}, r"weights must have shape \(3, 6\)"),
        ({"weights": -np.ones((3, 6))}, "must not be negative"),
        ({"drives": None, "samples": np.eye(6)}, "Set largest_input to 1 or more"),
        ({"learning": "hebb", "learning_rates": np.ones(2)}, "learning"),
        ({"learning": "two_factor", "learning_rates": np.ones(2)}, "cannot be clamped"),
        ({"log_prior": np.zeros(2)}, "log_prior"),
    ],
)
def test_runs_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_run(**options)


def test_two_factor_synapses_belong_to_one_neuron() -> None:
    circuit = replace(SMALL, largest_input=1.0)
    shown = {"drives": None, "samples": np.eye(6), "learning_rates": np.ones(6)}
    with pytest.raises(ValueError, match="population_size must be 1, got 10"):
        make_run(circuit, learning="two_factor", **shown)
    single = replace(circuit, population_size=1)
    with pytest.raises(ValueError, match="learning='three_factor'"):
        make_run(single, learning="two_factor", fixed=FixedPointParams(), **shown)
    fixed = FixedPointParams(learning_epoch=3)
    with pytest.raises(ValueError, match="learning_epoch must be 1"):
        make_run(circuit, learning="three_factor", fixed=fixed, **shown)


def test_a_voltage_too_large_for_the_chip_is_told() -> None:
    circuit = replace(SMALL, gain=3e4)
    run = make_run(circuit, fixed=FixedPointParams())
    with pytest.raises(ValueError, match="The largest gain that fits is about"):
        circuit_constants(run)


def softmax_circuit(run: CircuitRun) -> CircuitResult:
    """A circuit whose temperature is 0.9 / gain."""
    assert run.drives is not None
    shares = softmax(run.drives * run.circuit.gain / 0.9, axis=1)
    counts = np.rint(1e5 * shares).astype(np.int64)[:, np.newaxis]
    return CircuitResult(step_counts=counts, settle_steps=0, weights=run.weights)


def test_calibration_gives_the_gain_that_makes_a_temperature() -> None:
    found = calibrate(SMALL, simulate=softmax_circuit)
    for asked in (0.02, 0.04, 0.1, 0.19):
        assert found.gain(asked) == pytest.approx(0.9 / asked, rel=2e-3)
        assert found.circuit_for(asked).gain == found.gain(asked)
    assert str(found).count("\n") == 6


@pytest.mark.parametrize("asked", [0.001, 0.5])
def test_a_temperature_out_of_range_is_refused(asked: float) -> None:
    found = calibrate(SMALL, temperatures=(0.05, 0.1), simulate=softmax_circuit)
    assert isinstance(found, Calibration)
    with pytest.raises(ValueError, match=r"calibrated range \[0.045, 0.09\].*both sides"):
        found.gain(asked)
    with pytest.raises(ValueError, match="temperatures"):
        calibrate(SMALL, temperatures=(asked,), simulate=softmax_circuit)


def test_a_circuit_is_chosen_for_samples() -> None:
    rng = np.random.default_rng(0)
    samples, weights = rng.random((50, 6)), rng.random((3, 6))
    found = circuit_for_samples(weights, samples, gain=20.0, population_size=7)
    unit = samples / np.linalg.norm(samples, axis=1, keepdims=True)
    assert found.largest_input == pytest.approx(unit.max())
    assert found.common_drive == pytest.approx(common_drive(unit @ weights.T, 0.05))
    assert found.population_size == 7
    assert circuit_for_samples(weights, samples, gain=1.0, common_drive=0.1).common_drive == 0.1


def test_the_posterior_of_silence_is_uniform() -> None:
    counts = np.zeros((2, 3, 4), np.int64)
    counts[0, 1:, 2] = 5
    result = CircuitResult(step_counts=counts, settle_steps=1, weights=np.ones((4, 1)))
    np.testing.assert_array_equal(result.posterior, [[0, 0, 1, 0], [0.25] * 4])


def test_a_small_prior_fits_the_integers() -> None:
    run = make_run(
        replace(SMALL, gain=2.5), log_prior=np.log([0.9, 0.099, 0.001]), fixed=FixedPointParams()
    )
    integers = circuit_constants(run)
    exponents = 2.0**integers.excitatory.bias_exponent
    bias = integers.excitatory.bias * exponents / 64.0 / integers.current_per_nat
    np.testing.assert_allclose(bias[-1], np.log(0.001 * 3), rtol=1e-3)


def test_a_clamped_pool_hears_spikes_not_payloads() -> None:
    for fixed in (None, FixedPointParams()):
        constants = circuit_constants(make_run(fixed=fixed))
        weights = constants.inputs_to_pool.weights
        assert set(np.unique(weights)) == {0, 1}
        assert constants.inputs_to_pool.exponent == 0


def test_only_winners_tell_no_temperature() -> None:
    with pytest.raises(ValueError, match="any that is low enough"):
        fit_temperature(np.eye(3), 100 * np.eye(3, dtype=int))


def test_feedback_too_strong_for_a_tangent() -> None:
    circuit = replace(SMALL, gain=2.0, feedback=0.2)
    with pytest.raises(ValueError, match="Lower feedback"):
        tangent_decay(circuit, mean_drive=0.3, mean_trace=5.0)


def test_calibration_checks_before_it_measures() -> None:
    with pytest.raises(ValueError, match="at least two"):
        calibrate(SMALL, temperatures=(0.1,), simulate=softmax_circuit)
    with pytest.raises(ValueError, match="n_units"):
        calibrate(replace(SMALL, n_units=1), simulate=softmax_circuit)

    def stuck(run: CircuitRun) -> CircuitResult:
        return softmax_circuit(replace(run, circuit=replace(run.circuit, gain=20.0)))

    with pytest.raises(ValueError, match="do not rise"):
        calibrate(SMALL, simulate=stuck)
