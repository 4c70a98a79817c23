"""The spiking estimator: its interface, its state, and what it refuses."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from softhebb_spiking import (
    NetworkParams,
    Recording,
    SoftHebb,
    SpikingSoftHebb,
    UnitLabelClassifier,
    load_dataset,
)
from softhebb_spiking.backends import event
from softhebb_spiking.params import Run, RunResult, network_field_names

Matrix = NDArray[np.float64]
SMALL: dict[str, Any] = {
    "temperature": 0.1,
    "population_size": 16,
    "total_rate": 4.0,
    "n_steps": 10,
    "settle_steps": 5,
    "psp_tau_ms": 4.0,
    "random_state": 0,
}


def problem(n_samples: int = 12) -> tuple[Matrix, Matrix, Matrix]:
    rng = np.random.default_rng(0)
    log_prior = np.log(rng.dirichlet(np.full(3, 5.0)))
    return rng.random((n_samples, 6)) + 0.05, rng.random((3, 6)), log_prior


def unit(rows: Matrix) -> Matrix:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Every run that reaches the backend from here on."""
    seen: list[Run] = []
    simulate = event.simulate

    def spy(run: Run) -> RunResult:
        seen.append(run)
        return simulate(run)

    monkeypatch.setattr(event, "simulate", spy)
    return seen


# --- parameters and state ----------------------------------------------------------------------


def test_the_network_has_the_estimators_parameters() -> None:
    values = SMALL | {"inhibition": "graded", "inhibition_gain": 0.4, "dt_ms": 0.5}
    values |= {"max_probability": 0.9}
    model = SpikingSoftHebb.from_weights(np.eye(3), **values)
    net = model.network_params()
    assert (net.n_units, net.n_features) == (3, 3)
    for name in set(network_field_names()) & set(values):
        assert getattr(net, name) == values[name]
    defaults = SpikingSoftHebb.from_weights(np.eye(3)).network_params()
    assert defaults == NetworkParams(n_features=3, n_units=3)


def test_clone_parameters_and_pipeline() -> None:
    X, _, _ = problem()
    model = SpikingSoftHebb(3, **SMALL)
    assert clone(model).get_params() == model.get_params()
    assert not hasattr(clone(model.fit(X)), "weights_")
    features = make_pipeline(clone(model)).fit_transform(X)
    np.testing.assert_array_equal(features, model.transform(X))


def test_from_weights_is_ready() -> None:
    X, weights, log_prior = problem()
    model = SpikingSoftHebb.from_weights(weights, log_prior, **SMALL)
    assert model.n_units == 3
    np.testing.assert_array_equal(model.weights_, weights)
    np.testing.assert_array_equal(model.log_prior_, log_prior)
    assert model.predict_proba(X).shape == (12, 3)
    assert isinstance(model.record(X), Recording)
    model.partial_fit(X)
    assert (model.weights_ != weights).any()
    assert model.n_samples_seen_ == 12


def test_fit_lets_the_rates_fall_and_partial_fit_does_not(runs: list[Run]) -> None:
    X, weights, _ = problem()
    params = SMALL | {"learning_rate": 0.2, "prior_learning_rate": 0.1}
    model = SpikingSoftHebb(3, n_epochs=2, **params).fit(X, initial_weights=weights)
    falling = 1 - np.arange(24) / 24
    assert [run.first_sample for run in runs] == [0, 12]
    rates = np.concatenate([run.learning_rates for run in runs])
    np.testing.assert_allclose(rates, 0.2 * falling, rtol=1e-14)
    rates = np.concatenate([run.prior_learning_rates for run in runs])
    np.testing.assert_allclose(rates, 0.1 * falling, rtol=1e-14)
    assert model.n_samples_seen_ == 24

    model.partial_fit(X)
    assert runs[-1].first_sample == 24
    np.testing.assert_array_equal(runs[-1].learning_rates, np.full(12, 0.2))
    np.testing.assert_array_equal(runs[-1].prior_learning_rates, np.full(12, 0.1))
    np.testing.assert_allclose(runs[-1].samples, unit(X), rtol=1e-14)


def test_learning_in_parts_is_learning_at_once() -> None:
    X, weights, log_prior = problem()
    params = SMALL | {"prior_learning_rate": 0.1}
    whole = SpikingSoftHebb.from_weights(weights, log_prior, **params).partial_fit(X)
    parts = SpikingSoftHebb.from_weights(weights, log_prior, **params)
    parts.partial_fit(X[:5]).partial_fit(X[5:])
    np.testing.assert_array_equal(parts.weights_, whole.weights_)
    np.testing.assert_array_equal(parts.log_prior_, whole.log_prior_)


def test_zero_rates_freeze() -> None:
    X, weights, log_prior = problem()
    model = SpikingSoftHebb(3, learning_rate=0.0, **SMALL)
    model.fit(X, initial_weights=weights, initial_log_prior=log_prior)
    np.testing.assert_array_equal(model.weights_, weights)
    np.testing.assert_array_equal(model.log_prior_, log_prior)


def test_random_state_decides_the_spikes() -> None:
    X, weights, _ = problem()

    def spikes(random_state: Any, calls: int = 1) -> NDArray[np.int64]:
        model = SpikingSoftHebb.from_weights(weights, **(SMALL | {"random_state": random_state}))
        return [model.record(X) for _ in range(calls)][-1].output_spikes

    np.testing.assert_array_equal(spikes(1), spikes(1, calls=2))
    assert not np.array_equal(spikes(1), spikes(2))
    seeded = [np.random.default_rng(1) for _ in range(3)]
    np.testing.assert_array_equal(spikes(seeded[0]), spikes(seeded[1]))
    assert not np.array_equal(spikes(np.random.default_rng(1)), spikes(seeded[2], calls=2))
    assert not np.array_equal(spikes(None), spikes(None))


# --- prediction --------------------------------------------------------------------------------


@pytest.mark.parametrize("inhibition", ["feedback", "graded", "exact"])
def test_probabilities_are_normalised_counts(inhibition: str) -> None:
    X, weights, log_prior = problem()
    model = SpikingSoftHebb.from_weights(weights, log_prior, inhibition=inhibition, **SMALL)
    y = model.predict_proba(X)
    counts = model.record(X).spike_counts
    assert counts.sum(axis=1).min() > 0
    np.testing.assert_array_equal(y, counts / counts.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(y.sum(axis=1), 1.0, rtol=1e-15)
    np.testing.assert_array_equal(model.predict(X), y.argmax(axis=1))
    np.testing.assert_array_equal(model.transform(X), y)


def test_a_silent_layer_knows_nothing() -> None:
    """At r = 1e-6 spikes per step a run of 60 samples of 10 steps is silent but for 6e-4."""
    X, weights, _ = problem(60)
    params = SMALL | {"total_rate": 1e-6, "inhibition": "exact"}
    y = SpikingSoftHebb.from_weights(weights, **params).predict_proba(X)
    np.testing.assert_array_equal(y, np.full((60, 3), 1 / 3))


@pytest.mark.statistical
@pytest.mark.parametrize("tau_scale", [1.0, 1.5])
def test_counts_approach_the_posterior(tau_scale: float) -> None:
    """With a long PSP and p_max = 1 little noise is left in the drive.

    Its variance is Σ_i w_i² g² p (1 − p) / (1 − d²) ≤ max(x) · Σ w² x / (2 τ_psp) < 1/2000, or
    (0.02 / τ = 0.2)² in nats², which biases a softmax by at most half of it: 0.02. Counts add
    sqrt(0.25 / 4000) = 0.008 at 1 sigma, 0.04 at 5 sigma: 36 comparisons, 2e-5 false alarms.
    """
    X, weights, log_prior = problem()
    weights = unit(weights)
    params = SMALL | {"inhibition": "exact", "max_probability": 1.0, "n_steps": 1000}
    params |= {"psp_tau_ms": 500.0, "settle_steps": 1000}
    model = SpikingSoftHebb.from_weights(weights, log_prior, **params)
    rate = SoftHebb.from_weights(weights, log_prior, temperature=0.1 * tau_scale)
    error = np.abs(model.predict_proba(X) - rate.predict_proba(X)).max()
    assert (error < 0.06) == (tau_scale == 1.0)


def test_the_density_is_that_of_the_rate_model() -> None:
    X, weights, log_prior = problem()
    spiking = SpikingSoftHebb.from_weights(weights, log_prior, **SMALL)
    rate = SoftHebb.from_weights(weights, log_prior, temperature=0.1, random_state=0)
    np.testing.assert_array_equal(spiking.score_samples(X), rate.score_samples(X))
    assert spiking.score(X) == rate.score(X)
    np.testing.assert_array_equal(spiking.sample(4), rate.sample(4))


def test_digits() -> None:
    """Over 4 seeds the accuracy was 0.80 ± 0.04; the bound lies 3 of these below."""
    digits = load_dataset("digits")
    model = SpikingSoftHebb(n_units=20, random_state=0).fit(digits.X_train)
    classifier = UnitLabelClassifier(model).fit(digits.X_train, digits.y_train)
    assert classifier.score(digits.X_test, digits.y_test) > 0.68
    # The norms relax to 1; PSP noise of variance 1e-2 leaves them a few per cent below.
    np.testing.assert_allclose(np.linalg.norm(model.weights_, axis=1), 1.0, atol=0.06)


# --- recording ---------------------------------------------------------------------------------


def test_record_returns_what_was_asked_for() -> None:
    X, weights, log_prior = problem()
    model = SpikingSoftHebb.from_weights(weights, log_prior, **SMALL)
    plain = model.record(X)
    assert plain.drive is plain.inhibition is plain.psp is None
    assert (plain.backend, plain.params) == ("event", model.network_params())
    probed = model.record(X, probes=("drive", "psp"))
    assert probed.drive is not None
    assert probed.psp is not None
    assert probed.inhibition is None
    assert (probed.drive.shape, probed.psp.shape) == ((12, 10, 3), (12, 10, 6))
    by_name = model.record(X, probes="inhibition").inhibition
    assert by_name is not None
    assert by_name.shape == (12, 10)
    np.testing.assert_array_equal(probed.output_spikes, plain.output_spikes)
    np.testing.assert_array_equal(plain.weights, weights)


def test_recording_without_learning_leaves_the_model_alone() -> None:
    X, weights, log_prior = problem()
    model = SpikingSoftHebb.from_weights(
        weights, log_prior, learning_rate=1.0, prior_learning_rate=1.0, **SMALL
    )
    recording = model.record(X)
    recording.weights[:] = 7.0
    np.testing.assert_array_equal(model.weights_, weights)
    np.testing.assert_array_equal(model.log_prior_, log_prior)
    assert model.n_samples_seen_ == 0


@pytest.mark.parametrize("n_units", [1, 3])
def test_recording_with_learning_is_partial_fit(n_units: int) -> None:
    X, weights, _ = problem()
    params = SMALL | {"prior_learning_rate": 0.1}
    models = [SpikingSoftHebb.from_weights(weights[:n_units], **params) for _ in range(2)]
    recording = models[0].record(X, learn=True)
    models[1].partial_fit(X)
    np.testing.assert_array_equal(models[0].weights_, models[1].weights_)
    np.testing.assert_array_equal(models[0].log_prior_, models[1].log_prior_)
    np.testing.assert_array_equal(recording.weights, models[0].weights_)
    assert models[0].n_samples_seen_ == 12
    assert (models[0].weights_ != weights[:n_units]).any()
    # The next call goes on in the random streams.
    again = models[0].record(X, learn=True)
    assert not np.array_equal(again.input_spikes, recording.input_spikes)


def test_a_clamped_record_is_the_oracles(oracle: Callable[..., Any], runs: list[Run]) -> None:
    X, weights, log_prior = problem()
    params = SMALL | {"prior_learning_rate": 0.2, "learning_rate": 0.5}
    model = SpikingSoftHebb.from_weights(weights, log_prior, **params)
    free = model.record(X)
    recording = model.record(
        X,
        learn=True,
        input_spikes=free.input_spikes.tolist(),
        output_spikes=free.output_spikes.tolist(),
        probes=("drive", "inhibition", "psp"),
    )
    expected = oracle(runs[-1])
    for name in ("weights", "log_prior", "drive", "inhibition", "psp"):
        found = getattr(recording, name)
        np.testing.assert_allclose(found, getattr(expected, name), rtol=1e-9, atol=1e-12)
    faulty = oracle(runs[-1], eta_scale=1.1)
    assert np.abs(recording.weights - faulty.weights).max() > 1e-3
    np.testing.assert_array_equal(model.weights_, recording.weights)


# --- bad input ---------------------------------------------------------------------------------


def test_bad_samples_are_refused_before_anything_runs(
    bad_samples: tuple[Any, type[Exception], tuple[str, ...]], runs: list[Run]
) -> None:
    X, error, fragments = bad_samples
    fresh = SpikingSoftHebb(2, **SMALL)
    fitted = SpikingSoftHebb.from_weights(np.eye(4), **SMALL)
    calls: list[Callable[[Any], Any]] = [
        fresh.fit,
        fresh.partial_fit,
        fitted.fit,
        fitted.partial_fit,
        fitted.predict_proba,
        fitted.predict,
        fitted.score,
        fitted.record,
        lambda X: fitted.record(X, learn=True),
    ]
    for call in calls:
        with pytest.raises(error) as caught:
            call(X)
        for fragment in fragments:
            assert fragment in str(caught.value)
    assert runs == []
    assert not hasattr(fresh, "weights_")
    np.testing.assert_array_equal(fitted.weights_, np.eye(4))
    assert fitted.n_samples_seen_ == 0


@pytest.mark.parametrize(
    ("params", "error", "fragments"),
    [
        ({"backend": "nest"}, ValueError, ("backend", "'event'", "'lava'", "'brian2'", "'nest'")),
        ({"backend": None}, ValueError, ("backend", "'event'", "None")),
        ({"arithmetic": "complex"}, ValueError, ("arithmetic", "'float'", "'complex'")),
        ({"inhibition": "none"}, ValueError, ("inhibition", "'feedback'", "'none'")),
        ({"n_units": 0}, ValueError, ("n_units", ">= 1", "got 0")),
        ({"temperature": 0.0}, ValueError, ("temperature", "[1e-09, inf)", "got 0.0")),
        ({"learning_rate": 1.01}, ValueError, ("learning_rate", "[0, 1]", "1.01")),
        ({"max_probability": 0.0}, ValueError, ("max_probability", "(0, 1]", "0.0")),
        ({"max_probability": 1.2}, ValueError, ("max_probability", "(0, 1]", "1.2")),
        ({"max_probability": math.nan}, ValueError, ("max_probability", "finite", "nan")),
        ({"total_rate": 16.0}, ValueError, ("total_rate=16", "population_size=16", "lower")),
        ({"n_steps": 0}, ValueError, ("n_steps", "[1, 1000000]", "got 0")),
        ({"settle_steps": 2.0}, TypeError, ("settle_steps", "integer", "2.0")),
        ({"settle_steps": 0, "n_steps": 1}, ValueError, ("n_steps=1", "settle_steps of 1")),
        ({"psp_tau_ms": 0.0}, ValueError, ("psp_tau_ms", "(0, inf)", "0.0")),
        ({"init": "zeros"}, ValueError, ("init", "'data'", "'zeros'")),
        ({"random_state": "x"}, TypeError, ("random_state", "'x'")),
    ],
    ids=str,
)
def test_bad_parameters_are_refused_before_anything_runs(
    params: dict[str, Any],
    error: type[Exception],
    fragments: tuple[str, ...],
    runs: list[Run],
) -> None:
    X, weights, _ = problem()
    model = SpikingSoftHebb(**({"n_units": 3} | SMALL | params))
    # The same after fitting, by set_params.
    changed = SpikingSoftHebb.from_weights(weights, **SMALL).set_params(**params)
    calls = (model.fit, model.partial_fit, changed.predict_proba, changed.record)
    for call in calls:
        with pytest.raises(error) as caught:
            call(X)
        for fragment in fragments:
            assert fragment in str(caught.value)
    assert runs == []
    assert not hasattr(model, "weights_")
    np.testing.assert_array_equal(changed.weights_, weights)


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        ({"input_spikes": [[0, 0, 6]]}, ("input_spikes[0] = [0, 0, 6]", "< [2, 15, 6]")),
        ({"output_spikes": [[0, 0, 3]]}, ("output_spikes[0] = [0, 0, 3]", "< [2, 15, 3]")),
        ({"output_spikes": [[2, 0, 0]]}, ("output_spikes[0] = [2, 0, 0]",)),
        ({"output_spikes": [[0, 15, 0]]}, ("[0, 15, 0]", "settling included")),
        ({"input_spikes": [[0.0, 1.0, 2.0]]}, ("input_spikes", "integer array", "float64")),
        ({"input_spikes": [[0, 0]]}, ("input_spikes", "(n_spikes, 3)", "(1, 2)")),
        ({"input_spikes": [[0, 0, 0]] * 2}, ("input_spikes", "[0, 0, 0]")),
        ({"output_spikes": [[0, 0, 0]] * 17}, ("output_spikes", "16")),
        ({"probes": ("current",)}, ("probes", "'drive'", "'psp'", "'current'")),
    ],
    ids=str,
)
def test_spikes_and_probes_that_do_not_fit(
    options: dict[str, Any], fragments: tuple[str, ...], runs: list[Run]
) -> None:
    X, weights, _ = problem(2)
    model = SpikingSoftHebb.from_weights(weights, **SMALL)
    with pytest.raises(ValueError, match=r".") as caught:
        model.record(X, learn=True, **options)
    for fragment in fragments:
        assert fragment in str(caught.value)
    assert runs == []
    np.testing.assert_array_equal(model.weights_, weights)


def test_a_backend_that_fails_leaves_the_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    X, weights, log_prior = problem()
    model = SpikingSoftHebb.from_weights(weights, log_prior, **SMALL)

    def broken(run: Run) -> RunResult:
        raise RuntimeError("the simulator died")

    monkeypatch.setattr(event, "simulate", broken)
    for call in (model.partial_fit, model.predict_proba, lambda X: model.record(X, learn=True)):
        with pytest.raises(RuntimeError, match="the simulator died"):
            call(X)
    np.testing.assert_array_equal(model.weights_, weights)
    np.testing.assert_array_equal(model.log_prior_, log_prior)
    assert model.n_samples_seen_ == 0


def test_wrong_number_of_features() -> None:
    model = SpikingSoftHebb.from_weights(np.eye(3), **SMALL)
    for call in (model.predict_proba, model.partial_fit, model.record):
        with pytest.raises(ValueError, match=r"X has 2 features, but .* is expecting 3 features"):
            call(np.ones((1, 2)))


def test_unfitted() -> None:
    model = SpikingSoftHebb(2)
    calls: list[Callable[[], Any]] = [
        lambda: model.predict_proba(np.ones((1, 2))),
        lambda: model.record(np.ones((1, 2))),
        lambda: model.score(np.ones((1, 2))),
        lambda: model.sample(),
        lambda: model.save("never-written"),
    ]
    for call in calls:
        with pytest.raises(NotFittedError):
            call()
