"""The LIF circuit in Lava, floats and integers, and in Brian2: small seeded versions.

`benchmarks/lif_circuit.py` has the long ones.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from softhebb_spiking.backends import brian2_circuit, lava_circuit
from softhebb_spiking.calibration import random_drives
from softhebb_spiking.circuit import common_drive, fit_temperature
from softhebb_spiking.circuit_params import (
    CircuitResult,
    CircuitRun,
    LifCircuitParams,
    TwoFactorDecay,
)
from softhebb_spiking.networks import LifCircuit
from softhebb_spiking.params import FixedPointParams

FIXED = FixedPointParams()
TAU = 0.05
# Noise of a current lasts a few steps, so spikes come in runs: their counts scatter as if there
# were this much fewer of them.
RUN_LENGTH = 4.0


def clamped_run(**options: Any) -> CircuitRun:
    drives = random_drives(12, 5, TAU, seed=2)
    circuit = LifCircuitParams(
        n_features=5,
        n_units=5,
        gain=1.0 / TAU,
        common_drive=common_drive(drives, TAU),
        n_steps=400,
        settle_steps=40,
    )
    return CircuitRun(circuit=circuit, weights=np.eye(5), drives=drives, seed=3, **options)


@pytest.fixture(scope="module")
def results() -> dict[str, CircuitResult]:
    return {
        "float": lava_circuit.simulate(clamped_run()),
        "fixed": lava_circuit.simulate(clamped_run(fixed=FIXED)),
        "brian2": brian2_circuit.simulate(clamped_run()),
    }


@pytest.mark.lava
@pytest.mark.brian2
@pytest.mark.statistical
@pytest.mark.parametrize("rung", ["float", "fixed", "brian2"])
def test_populations_fire_as_softmax(results: dict[str, CircuitResult], rung: str) -> None:
    """Total variation to softmax is that of counting, plus 0.03 for the imperfect exponential.

    Of N effective spikes with shares p the mean distance is ½ Σ √(2 p (1 − p) / (π N)); the mean of
    12 drives lies above 1.5 times that once in some thousands.
    """
    run, result = clamped_run(), results[rung]
    drives = np.asarray(run.drives)
    fitted = fit_temperature(drives, result.spike_counts)
    assert fitted.value == pytest.approx(TAU, rel=0.12)
    shares = softmax(drives / fitted.value, axis=1)
    effective = result.spike_counts.sum(axis=1, keepdims=True) / RUN_LENGTH
    by_counting = 0.5 * np.sqrt(2.0 * shares * (1.0 - shares) / np.pi / effective).sum(axis=1)
    distances = 0.5 * np.abs(result.posterior - shares).sum(axis=1)
    assert distances.mean() < 0.03 + 1.5 * by_counting.mean()
    wrong = softmax(-drives / fitted.value, axis=1)
    assert 0.5 * np.abs(result.posterior - wrong).sum(axis=1).mean() > 0.3


@pytest.mark.lava
@pytest.mark.brian2
@pytest.mark.statistical
def test_rungs_agree(results: dict[str, CircuitResult]) -> None:
    """Floats and integers hear the same spikes; Brian2 has its own."""
    drives = np.asarray(clamped_run().drives)
    exact, held, other = (results[name] for name in ("float", "fixed", "brian2"))
    by_step = [result.step_counts.sum(axis=2).ravel() for result in (exact, held)]
    assert np.corrcoef(*by_step)[0, 1] > 0.8
    assert np.abs(exact.posterior - held.posterior).max() < 0.05
    rates = [result.spike_counts.sum() for result in (exact, other)]
    assert rates[0] == pytest.approx(rates[1], rel=0.15)
    fits = [fit_temperature(drives, result.spike_counts) for result in (exact, other)]
    # Each has stratified weights of its own; that is worth up to 4 % of temperature.
    error = np.hypot(*(fit.standard_error for fit in fits))
    assert abs(fits[0].value - fits[1].value) < 5.0 * error + 0.04 * TAU


@pytest.mark.lava
def test_a_run_repeats_and_a_seed_matters(results: dict[str, CircuitResult]) -> None:
    run = replace(clamped_run(), drives=np.asarray(clamped_run().drives)[:2])
    first, again = lava_circuit.simulate(run), lava_circuit.simulate(run)
    np.testing.assert_array_equal(first.step_counts, again.step_counts)
    other = lava_circuit.simulate(replace(run, seed=4))
    assert (first.step_counts != other.step_counts).any()


def clusters(n: int, seed: int = 0) -> Any:
    """Samples about three directions, and weights that start between them."""
    rng = np.random.default_rng(seed)
    centres = np.kron(np.eye(3), np.ones(4)) + 0.15
    samples = centres[rng.integers(0, 3, n)] + 0.05 * rng.random((n, 12))
    start = centres.mean(axis=0) + 0.3 * centres
    return (
        samples / np.linalg.norm(samples, axis=1, keepdims=True),
        start / np.linalg.norm(start, axis=1, keepdims=True),
        centres / np.linalg.norm(centres, axis=1, keepdims=True),
    )


def learning_run(learning: str, **options: Any) -> CircuitRun:
    samples, start, _ = clusters(60)
    circuit = LifCircuitParams(
        n_features=12,
        n_units=3,
        gain=15.0,
        common_drive=0.8,
        largest_input=0.55,
        max_probability=0.8,
        population_size=20,
    )
    run = {
        "circuit": circuit,
        "weights": start,
        "samples": samples,
        "learning": learning,
        "learning_rates": np.full(60, 0.2),
    }
    return CircuitRun(**(run | options))


@pytest.mark.lava
@pytest.mark.parametrize("fixed", [None, FIXED, FixedPointParams(rounding="shared")])
def test_three_factor_learning_finds_clusters(fixed: FixedPointParams | None) -> None:
    run = learning_run("three_factor", fixed=fixed)
    centres = clusters(60)[2]
    learned = lava_circuit.simulate(run).weights
    before = (run.weights * centres).sum(axis=1)
    after = (learned * centres).sum(axis=1) / np.linalg.norm(learned, axis=1)
    assert (after > before).all()
    assert after.min() > 0.97
    tolerance = 0.03 if fixed is None else 0.15 if fixed.rounding == "shared" else 0.06
    np.testing.assert_allclose(np.linalg.norm(learned, axis=1), 1.0, atol=tolerance)


@pytest.mark.lava
def test_two_factor_learning_finds_clusters() -> None:
    circuit = replace(learning_run("three_factor").circuit, population_size=1, total_rate=0.3)
    run = learning_run(
        "two_factor",
        circuit=circuit,
        learning_rates=np.full(60, 0.15),
        decay=TwoFactorDecay(constant=0.9, per_spike=0.01),
    )
    centres = clusters(60)[2]
    learned = lava_circuit.simulate(run).weights
    after = (learned * centres).sum(axis=1) / np.linalg.norm(learned, axis=1)
    assert after.min() > 0.97
    np.testing.assert_allclose(np.linalg.norm(learned, axis=1), 1.0, atol=0.1)
    stronger = replace(run, decay=TwoFactorDecay(constant=1.1))
    norms = np.linalg.norm(lava_circuit.simulate(stronger).weights, axis=1)
    assert (norms < np.linalg.norm(learned, axis=1)).all()


@pytest.mark.lava
def test_a_long_run_goes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lava_circuit, "_NUMBERS_AT_ONCE", 7 * 80 * (12 + 512 + 3))
    run = learning_run("three_factor")
    parts = lava_circuit.parts(run)
    assert [part.n_samples for part in parts] == [7] * 8 + [4]
    assert [part.first_sample for part in parts] == list(range(0, 60, 7))
    np.testing.assert_array_equal(np.vstack([part.samples for part in parts]), run.samples)


@pytest.mark.lava
def test_circuit_for_lava_users() -> None:
    run = replace(clamped_run(), drives=np.asarray(clamped_run().drives)[:1])
    with LifCircuit(run) as circuit:
        circuit.present()
        result = circuit.result()
    assert result.spike_counts.sum() > 100
    recorded = lava_circuit.simulate(run)
    np.testing.assert_array_equal(result.step_counts, recorded.step_counts)
    assert result.step_counts.shape == (1, 440, 5)
    with pytest.raises(RuntimeError, match="build another"):
        circuit.present()


@pytest.mark.lava
def test_a_circuit_that_takes_too_long_ends() -> None:
    with pytest.raises(TimeoutError, match="LIF circuit of 5 populations"):
        lava_circuit.simulate(clamped_run(), timeout_s=1.0)


@pytest.mark.brian2
@pytest.mark.parametrize(
    ("options", "message"),
    [({"learning": "three_factor"}, "no learning"), ({"fixed": FIXED}, "no integers")],
)
def test_brian2_says_what_it_has_not(options: dict[str, Any], message: str) -> None:
    run = learning_run("three_factor") if "learning" in options else clamped_run(**options)
    with pytest.raises(ValueError, match=message):
        brian2_circuit.simulate(run)


@pytest.mark.brian2
def test_brian2_from_samples() -> None:
    samples, _, centres = clusters(9)
    run = replace(
        learning_run("three_factor"),
        learning=None,
        learning_rates=None,
        samples=samples,
        weights=centres,
    )
    result = brian2_circuit.simulate(run)
    best = (samples @ centres.T).argmax(axis=1)
    np.testing.assert_array_equal(result.posterior.argmax(axis=1), best)
    with pytest.raises(ValueError, match="target"):
        brian2_circuit.simulate(run, target="cuda")
