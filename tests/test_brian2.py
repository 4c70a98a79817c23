"""The Brian2 backend computes what docs/model.md says, and draws from the laws it states."""

import gc
import importlib.util
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

b2 = pytest.importorskip("brian2")

from softhebb_spiking.backends import brian2 as backend  # noqa: E402
from softhebb_spiking.params import INHIBITIONS, PROBES, NetworkParams, Run, RunResult  # noqa: E402

pytestmark = pytest.mark.brian2

# Two-sided, per comparison: a normal deviate exceeds it with probability 6.8e-6. Every statistical
# test below makes at most 40 comparisons, so that fewer than 3 of 10 000 seeds fail it; the seeds
# are fixed.
K_SIGMA = 4.5
Oracle = Callable[..., Any]
Clamp = Callable[..., Run]


def make_run(n_samples: int = 4, *, learning_rate: float = 0.5, **changes: Any) -> Run:
    """Return a small run; changes go to its network or to itself."""
    rng = np.random.default_rng(5)
    run_fields = {key: changes.pop(key) for key in list(changes) if key in Run.__annotations__}
    options = {"n_features": 12, "n_units": 5, "temperature": 0.1, "population_size": 16}
    options |= {"total_rate": 4.0, "n_steps": 12, "settle_steps": 5, "psp_tau_ms": 5.0}
    net = NetworkParams(**(options | changes))
    samples = rng.random((n_samples, net.n_features)) * (rng.random(net.n_features) < 0.7)
    weights = rng.random((net.n_units, net.n_features))
    run = Run(
        network=net,
        samples=samples / np.linalg.norm(samples, axis=1, keepdims=True),
        weights=weights / np.linalg.norm(weights, axis=1, keepdims=True),
        log_prior=np.log(rng.dirichlet(np.full(net.n_units, 5.0))),
        learning_rates=np.linspace(learning_rate, learning_rate / 2, n_samples),
        prior_learning_rates=np.linspace(learning_rate / 10, learning_rate / 5, n_samples),
        probes=PROBES,
    )
    return replace(run, **run_fields)


def given_spikes_of(result: RunResult, run: Run) -> Run:
    return replace(run, input_spikes=result.input_spikes, output_spikes=result.output_spikes)


def assert_agrees(result: RunResult, expected: Any) -> None:
    """Float64 on both sides, sums in another order: 1e-9 leaves four digits to spare."""
    tolerance: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-12}
    np.testing.assert_array_equal(result.spike_counts, expected.spike_counts)
    np.testing.assert_allclose(result.weights, expected.weights, **tolerance)
    np.testing.assert_allclose(result.log_prior, expected.log_prior, **tolerance)
    for name, values in result.probes.items():
        assert values.shape == getattr(expected, name).shape
        np.testing.assert_allclose(values, getattr(expected, name), **tolerance, err_msg=name)


def assert_frozen_state(run: Run, result: RunResult) -> None:
    np.testing.assert_array_equal(result.weights, run.weights)
    np.testing.assert_array_equal(result.log_prior, run.log_prior)


@pytest.mark.parametrize("dt_ms", [1.0, 0.5])
@pytest.mark.parametrize("inhibition", INHIBITIONS)
def test_clamped_run_agrees_with_the_equations(
    oracle: Oracle, clamp: Clamp, inhibition: str, dt_ms: float
) -> None:
    run = clamp(make_run(inhibition=inhibition, dt_ms=dt_ms))
    result = backend.simulate(run)
    assert_agrees(result, oracle(run))
    np.testing.assert_array_equal(result.input_spikes, run.input_spikes)
    np.testing.assert_array_equal(result.output_spikes, run.output_spikes)
    assert np.abs(result.weights - run.weights).max() > 0.01
    assert np.abs(result.log_prior - run.log_prior).max() > 0.01


def test_oracle_with_the_decay_reversed_disagrees(oracle: Oracle, clamp: Clamp) -> None:
    run = clamp(make_run())
    wrong = oracle(run, decay_sign=+1.0)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_agrees(backend.simulate(run), wrong)


@pytest.mark.parametrize("dt_ms", [0.1, 0.3, 1.0])
def test_every_sample_starts_in_its_own_step(oracle: Oracle, clamp: Clamp, dt_ms: float) -> None:
    run = make_run(400, dt_ms=dt_ms, n_features=4, n_units=2, n_steps=3, settle_steps=4)
    run = clamp(run)
    assert_agrees(backend.simulate(run), oracle(run))


def test_no_settling_and_a_single_unit(oracle: Oracle, clamp: Clamp) -> None:
    run = clamp(make_run(2, settle_steps=0, n_units=1, n_steps=3, inhibition="graded"))
    result = backend.simulate(run)
    assert_agrees(result, oracle(run))
    assert not result.probes["drive"][:, 0].any()  # no current of the sample before


@pytest.mark.parametrize("frozen", ["learning_rates", "prior_learning_rates"])
def test_weights_and_prior_learn_separately(oracle: Oracle, clamp: Clamp, frozen: str) -> None:
    changes: dict[str, Any] = {frozen: np.zeros(2)}
    run = clamp(make_run(2, **changes))
    assert_agrees(backend.simulate(run), oracle(run))


@pytest.mark.parametrize("inhibition", INHIBITIONS)
def test_free_spikes_feed_the_same_equations(oracle: Oracle, inhibition: str) -> None:
    run = make_run(inhibition=inhibition, seed=3)
    result = backend.simulate(run)
    assert_agrees(result, oracle(given_spikes_of(result, run)))


@pytest.mark.statistical
def test_inputs_fire_with_their_probability() -> None:
    run = make_run(1, learning_rate=0.0, n_features=40, n_steps=4000, settle_steps=0, seed=1)
    counts = np.bincount(backend.simulate(run).input_spikes[:, 2], minlength=40)
    p = 0.3 * run.samples[0] / run.samples[0].max()
    sigma = np.sqrt(4000 * p * (1 - p))
    assert (np.abs(counts - 4000 * p) <= K_SIGMA * sigma).all()
    assert counts[p == 0].sum() == 0
    assert (p > 0).sum() > 20


@pytest.mark.statistical
@pytest.mark.parametrize("inhibition", INHIBITIONS)
def test_populations_fire_with_their_rates(oracle: Oracle, inhibition: str) -> None:
    # Given its past, n_k is binomial (M, rho_k); the deviations of all steps add up like
    # independent ones (a martingale), whatever the feedback does.
    run = make_run(40, learning_rate=0.0, inhibition=inhibition, n_steps=50, seed=2)
    result = backend.simulate(run)
    rho = oracle(given_spikes_of(result, run)).rates
    counts = np.bincount(result.output_spikes[:, 2], minlength=5)
    mean, variance = 16 * rho.sum(axis=(0, 1)), 16 * (rho * (1 - rho)).sum(axis=(0, 1))
    assert mean.min() > 100
    assert (np.abs(counts - mean) <= K_SIGMA * np.sqrt(variance)).all()
    assert (np.abs(counts - 1.1 * mean) > K_SIGMA * np.sqrt(variance)).any()
    assert_frozen_state(run, result)


@pytest.mark.statistical
def test_mean_psp_is_the_sample() -> None:
    run = make_run(300, learning_rate=0.0, n_features=8, n_steps=30, settle_steps=40, seed=4)
    run = replace(run, samples=np.tile(run.samples[:1], (300, 1)), probes=("psp",))
    means = backend.simulate(run).probes["psp"].mean(axis=1)
    assert means.shape == (300, 8)
    # After 40 steps of a 5 ms trace the ramp lacks exp(-8) of x, far below the standard error.
    error = means.std(axis=0, ddof=1) / math.sqrt(300)
    assert (np.abs(means.mean(axis=0) - run.samples[0]) <= K_SIGMA * error).all()
    assert error.max() < 0.02


def test_seed_decides_the_run() -> None:
    run = make_run(2, seed=11)
    first, again = backend.simulate(run), backend.simulate(run)
    np.testing.assert_array_equal(first.input_spikes, again.input_spikes)
    np.testing.assert_array_equal(first.output_spikes, again.output_spikes)
    np.testing.assert_array_equal(first.weights, again.weights)
    for other in (replace(run, seed=12), replace(run, first_sample=2)):
        assert not np.array_equal(backend.simulate(other).input_spikes, first.input_spikes)


@pytest.mark.parametrize("given", [False, True])
def test_brian2_has_nothing_to_warn_of(clamp: Clamp, given: bool) -> None:
    run = clamp(make_run(1, inhibition="graded")) if given else make_run(1)
    with b2.utils.logger.catch_logs() as logs:
        backend.simulate(run)
        str(backend.build_network(run))
        gc.collect()
    assert logs == []


def test_nothing_is_kept_that_was_not_asked_for() -> None:
    run = make_run(2, keep_spikes=False, probes=("drive",))
    result = backend.simulate(run)
    assert result.input_spikes.shape == result.output_spikes.shape == (0, 3)
    assert list(result.probes) == ["drive"]
    kept = backend.simulate(replace(run, keep_spikes=True))
    np.testing.assert_array_equal(result.spike_counts, kept.spike_counts)
    assert kept.output_spikes.dtype == result.spike_counts.dtype == np.int64
    read = kept.output_spikes[kept.output_spikes[:, 1] >= run.network.settle_steps]
    assert result.spike_counts.sum() == len(read)


def test_brian2_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(b2.prefs, "codegen.target", "cython")
    expected: Any = np.random.get_state()  # noqa: NPY002  # Brian2 draws from it
    backend.simulate(make_run(1))
    state: Any = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(state[1], expected[1])
    assert state[2] == expected[2]
    assert b2.prefs["codegen.target"] == "cython"
    assert float(b2.defaultclock.dt / b2.ms) == 0.1
    assert b2.get_device() is b2.all_devices["runtime"]


def test_users_run_the_network_piecewise(clamp: Clamp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(b2.prefs, "codegen.target", "numpy")
    run = clamp(make_run(3, inhibition="exact"))
    network, other = backend.build_network(run), backend.build_network(run)
    for duration in (4, 13, 20, 14):
        network.run(duration * b2.ms)
    other.run(51 * b2.ms)
    np.testing.assert_array_equal(network["feedforward"].w[:], other["feedforward"].w[:])
    weights = np.reshape(other["feedforward"].w[:], (12, 5)).T
    np.testing.assert_array_equal(weights, backend.simulate(run).weights)


def test_network_prints_its_parameters_and_equations(clamp: Clamp) -> None:
    text = str(backend.build_network(make_run(inhibition="graded")))
    for line in (
        "12 inputs, 5 units of 16 neurons, graded inhibition",
        "tau_psp = 5. ms",
        "temperature = 0.1",
        "ds/dt = -s/tau_psp : 1",
        "du/dt = -u/tau_psp : 1",
        "w += eta_post*n_post*(s_pre - u_post*w)",
        "spike if rand() < rho",
        "correction = log(intensity)",
    ):
        assert line in text
    assert "fired" not in text
    assert "fired : boolean" in str(backend.build_network(clamp(make_run())))


def test_unknown_target_names_the_accepted_ones() -> None:
    message = "target must be one of 'numpy', 'cython', 'cpp_standalone'; got 'gpu'."
    with pytest.raises(ValueError, match=message):
        backend.simulate(make_run(), target="gpu")


def test_more_output_spikes_than_neurons() -> None:
    rows = np.repeat([[1, 3, 2]], 17, axis=0)
    with pytest.raises(ValueError, match=r"output_spikes has the row \[1, 3, 2\] more than 16"):
        make_run(output_spikes=rows)
    result = backend.simulate(make_run(output_spikes=rows[1:], settle_steps=2))
    assert result.spike_counts[1].tolist() == [0, 0, 16, 0, 0]


def test_run_without_samples() -> None:
    with pytest.raises(ValueError, match="samples is empty"):
        backend.build_network(make_run(0))


def test_without_brian2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "brian2", None)
    spec = importlib.util.spec_from_file_location("backend_without_brian2", backend.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for call in (module.simulate, module.build_network):
        with pytest.raises(ImportError, match=r'pip install "softhebb-spiking\[brian2\]"'):
            call(make_run())


def test_import_leaves_no_log_file_and_no_excepthook() -> None:
    code = (
        "import sys, softhebb_spiking.backends.brian2 as m; log = m.b2.BrianLogger;"
        "print(log.tmp_log, log.tmp_script, sys.excepthook is sys.__excepthook__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["None", "None", "True"]


def test_standalone_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(RuntimeError, match=r"found no make and no g\+\+ on the PATH"):
        backend.simulate(make_run(), target="cpp_standalone")


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("make") is None or shutil.which("g++") is None,
    reason="cpp_standalone needs make and g++",
)
def test_standalone_agrees_and_leaves_nothing(
    oracle: Oracle, clamp: Clamp, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    flags = ["-w", "-O1", "-ffast-math", "-fno-finite-math-only"]  # the default, but for -O3
    monkeypatch.setitem(b2.prefs, "codegen.cpp.extra_compile_args_gcc", flags)
    run = clamp(make_run(3, inhibition="graded"))
    result = backend.simulate(run, target="cpp_standalone")
    assert_agrees(result, oracle(run))
    np.testing.assert_array_equal(result.output_spikes, run.output_spikes)
    assert list(tmp_path.iterdir()) == []
    assert b2.get_device() is b2.all_devices["runtime"]
