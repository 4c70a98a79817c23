"""The parts of the experiments: gradients, attacks, faults, statistics, generation."""

import base64
import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

pytest.importorskip("art")

from softhebb_spiking import SoftHebb, SpikingSoftHebb, UnitLabelClassifier, load_dataset
from softhebb_spiking.evaluation import LinearReadout
from softhebb_spiking.experiments import (
    adversarial,
    attacks,
    backprop,
    convergence,
    cross_entropy,
    interpolation,
    perturbations,
    pictures,
)
from softhebb_spiking.experiments.differentiable import (
    LOSSES,
    NamedUnits,
    Perceptron,
    cross_entropy_loss,
    margin_loss,
    predict,
)
from softhebb_spiking.experiments.settings import HARD_TEMPERATURE, settings_of
from softhebb_spiking.experiments.statistics import Claim, Interval, Measure
from softhebb_spiking.experiments.trial import Trial, linear_head, named_units
from softhebb_spiking.theory import posterior


@pytest.fixture(scope="module")
def digits() -> Any:
    return load_dataset("digits")


@pytest.fixture(scope="module")
def layer(digits: Any) -> SoftHebb:
    return SoftHebb(20, temperature=0.05, random_state=0).fit(digits.X_train)


@pytest.fixture(scope="module")
def classifiers(digits: Any, layer: SoftHebb) -> dict[str, Any]:
    X, y = digits.X_train, digits.y_train
    return {
        "named": named_units(UnitLabelClassifier(layer).fit(X, y)),
        "linear": linear_head(LinearReadout(layer, temperature=0.1).fit(X, y)),
        "perceptron": backprop.train_perceptron(
            X,
            y,
            n_samples=len(X),
            n_validation=200,
            n_units=15,
            learning_rates=(0.01,),
            seed=0,
        ),
    }


# --- classifiers with gradients ------------------------------------------------------------------


def test_log_evidence_is_that_of_the_classifiers(
    digits: Any, layer: SoftHebb, classifiers: dict[str, Any]
) -> None:
    X, y, X_test = digits.X_train, digits.y_train, digits.X_test
    named = UnitLabelClassifier(layer).fit(X, y).predict_proba(X_test)
    flat = np.zeros(10)
    evidence = classifiers["named"].log_evidence(X_test)
    # Shares of 1e-6 are added to ten classes.
    np.testing.assert_allclose(posterior(evidence, flat, 1.0), named, atol=2e-5)
    linear = LinearReadout(layer, temperature=0.1).fit(X, y).predict_proba(X_test)
    evidence = classifiers["linear"].log_evidence(X_test)
    np.testing.assert_allclose(
        posterior(evidence, flat, 1.0), linear, atol=1e-5
    )  # features in float32


def test_perceptron_is_that_of_scikit_learn(digits: Any) -> None:
    model = MLPClassifier((7,), max_iter=3, random_state=0)
    with pytest.warns(Warning, match="converged"):
        model.fit(digits.X_train, digits.y_train)
    (hidden, output), (hidden_biases, intercepts) = model.coefs_, model.intercepts_
    network = Perceptron(hidden.T, hidden_biases, output.T, intercepts)
    found = posterior(network.log_evidence(digits.X_test), np.zeros(10), 1.0)
    np.testing.assert_allclose(found, model.predict_proba(digits.X_test), atol=1e-12)


@pytest.mark.parametrize(("name", "loss"), list(product(["named", "linear", "perceptron"], LOSSES)))
def test_gradients_are_those_of_finite_differences(
    name: str, loss: str, digits: Any, classifiers: dict[str, Any]
) -> None:
    generator = np.random.default_rng(1)
    X = digits.X_test[:6] + 0.1 * generator.random((6, 64))
    y = digits.y_test[:6]
    function, classifier, h = LOSSES[loss], classifiers[name], 1e-6
    _, gradient = function(classifier, X, y)
    for feature in generator.permutation(64)[:16]:
        step = np.zeros_like(X)
        step[:, feature] = h
        numeric = function(classifier, X + step, y)[0] - function(classifier, X - step, y)[0]
        # Round-off of a loss of about 10, 1e-15 · 10 / h, and h² times its third derivative.
        np.testing.assert_allclose(gradient[:, feature], numeric / (2 * h), rtol=1e-4, atol=1e-6)
    error = adversarial.gradient_error(classifier, X, y, generator)
    assert error is not None
    assert error < 1e-4


def test_a_wrong_gradient_is_found_out(digits: Any, classifiers: dict[str, Any]) -> None:
    right = classifiers["named"]

    class Wrong(NamedUnits):
        def pullback(self, X: Any, G: Any) -> Any:
            return 1.01 * super().pullback(X, G)

    wrong = Wrong(right.weights, right.log_prior, right.temperature, right.class_given_unit)
    args = digits.X_test[:20], digits.y_test[:20], np.random.default_rng(0)
    error = adversarial.gradient_error(wrong, *args)
    assert error is not None
    assert error > 0.005


def test_a_rectifier_that_bends_within_the_step_is_no_error() -> None:
    # One unit, bent at the very point where derivatives are compared; the other samples are not.
    generator = np.random.default_rng(0)
    X, y = np.full((3, 30), 0.5), np.zeros(3, dtype=np.int64)
    where = np.clip(X + 0.1 * np.random.default_rng(1).random(X.shape), 0.01, 0.99)
    w = generator.standard_normal((1, 30))
    bends = np.concatenate([w, np.eye(30)])
    biases = np.concatenate([-w @ where[0], np.ones(30)])
    network = Perceptron(bends, biases, generator.standard_normal((2, 31)), np.zeros(2))
    error = adversarial.gradient_error(network, X, y, np.random.default_rng(1))
    assert error is not None
    assert error < 1e-6


def test_losses_keep_a_gradient_where_the_classifier_is_sure(
    digits: Any, layer: SoftHebb, classifiers: dict[str, Any]
) -> None:
    soft = classifiers["named"]
    sure = NamedUnits(
        soft.weights, soft.log_prior, 0.001, np.eye(10)[layer.predict(soft.weights) % 10]
    )
    labels = predict(sure, digits.X_test)
    loss, gradient = cross_entropy_loss(sure, digits.X_test, labels)
    assert (loss > 0).all()
    assert np.median(loss) < 1e-3
    assert (np.abs(gradient).max(axis=1) > 0).all()
    margin, _ = margin_loss(sure, digits.X_test, labels)
    assert (margin <= 0).all()


# --- attacks -------------------------------------------------------------------------------------


def linear_classifier(n_features: int, generator: np.random.Generator) -> Perceptron:
    """A perceptron whose units are all active in the box: two classes, logits ±w·x/2."""
    w = generator.standard_normal(n_features)
    return Perceptron(np.eye(n_features), np.ones(n_features), np.stack([w, -w]) / 2, np.zeros(2))


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_pgd_finds_the_optimum_of_a_linear_classifier(norm: str, dual: int) -> None:
    generator = np.random.default_rng(0)
    classifier = linear_classifier(30, generator)
    X = 0.5 + 0.01 * generator.standard_normal((8, 30))  # far from the sides of the box
    y = predict(classifier, X)
    w = classifier.coefficients[0] - classifier.coefficients[1]
    eps = 0.2
    before, _ = margin_loss(classifier, X, y)
    found = attacks.projected_gradient(classifier, X, y, norm=norm, eps=eps, n_steps=40, seed=0)
    gained = margin_loss(classifier, found, y)[0] - before
    # Hölder: no change of size ε gains more than ε times the dual norm of w.
    best = eps * np.linalg.norm(w, ord=dual)
    assert (gained <= best * (1 + 1e-6)).all()
    assert (gained >= 0.98 * best).all()


@pytest.mark.parametrize("norm", attacks.NORMS)
def test_attacks_stay_in_their_ball_and_in_the_box(
    norm: str, digits: Any, classifiers: dict[str, Any]
) -> None:
    X, y, eps = digits.X_test[:20], digits.y_test[:20], 0.3
    effort = {"n_steps": 5, "n_restarts": 1, "seed": 0}
    tried = attacks.gradient_attacks(classifiers["named"], X, y, norm=norm, eps=eps, **effort)
    strongest = attacks.strongest(classifiers["named"], tried, y)
    one_step = attacks.fast_gradient(classifiers["named"], X, y, norm=norm, eps=eps)
    for found in (strongest, one_step):
        assert found.min() >= 0.0
        assert found.max() <= 1.0
        size = (
            np.abs(found - X).max(axis=1) if norm == "linf" else np.linalg.norm(found - X, axis=1)
        )
        assert (size <= eps * (1 + 1e-9)).all()
        assert (size > 0.1 * eps).all()
    margins = [margin_loss(classifiers["named"], one, y)[0] for one in (strongest, one_step, X)]
    assert (margins[0] >= margins[1]).all()  # FGSM is one of those tried
    assert len(tried) == 3
    assert margins[0].mean() > margins[2].mean()


def test_square_misleads_with_answers_alone(digits: Any, classifiers: dict[str, Any]) -> None:
    network = classifiers["perceptron"]
    right = np.flatnonzero(predict(network, digits.X_test) == digits.y_test)[:20]
    X, y = digits.X_test[right], digits.y_test[right]
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    found = attacks.square(
        network.log_evidence, X, y, (8, 8), n_classes=10, eps=0.4, n_queries=50, seed=0
    )
    assert (predict(network, found) != y).mean() > 0.5
    assert np.abs(found - X).max() <= 0.4 * (1 + 1e-9)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


# --- faults --------------------------------------------------------------------------------------


def spikes_of(layer: SpikingSoftHebb, X: Any) -> Any:
    return layer.record(X).input_spikes


@pytest.fixture(scope="module")
def spiking(digits: Any) -> SpikingSoftHebb:
    return SpikingSoftHebb(20, random_state=0).fit(digits.X_train[:200])


@pytest.mark.statistical
def test_dropped_spikes(digits: Any, spiking: SpikingSoftHebb) -> None:
    spikes = spikes_of(spiking, digits.X_test[:20])
    left = perturbations.drop_spikes(spikes, 0.3, np.random.default_rng(0))
    # Five standard deviations of a binomial: false alarms below 1e-6.
    assert abs(len(left) - 0.7 * len(spikes)) < 5 * np.sqrt(0.21 * len(spikes))
    everything = perturbations.drop_spikes(spikes, 0.0, np.random.default_rng(0))
    np.testing.assert_array_equal(everything, spikes)


@pytest.mark.statistical
def test_jittered_spikes(digits: Any, spiking: SpikingSoftHebb) -> None:
    spikes = spikes_of(spiking, digits.X_test[:20])
    generator = np.random.default_rng(0)
    np.testing.assert_array_equal(perturbations.jitter_spikes(spikes, 0.0, 70, generator), spikes)
    moved = perturbations.jitter_spikes(spikes, 3.0, 70, generator)
    assert moved[:, 1].min() >= 0
    assert moved[:, 1].max() < 70
    assert len(np.unique(moved, axis=0)) == len(moved)
    # Spikes that fall on one are lost: p² of them at most, p < 0.3 the chance of a spike a step.
    assert 0.8 * len(spikes) < len(moved) <= len(spikes)
    alone = np.array([[0, 30, i] for i in range(4000)])
    shift = perturbations.jitter_spikes(alone, 3.0, 70, generator)[:, 1] - 30
    # Variance of the rounded Gaussian 9 + 1/12, its relative error sqrt(2/4000); five of them.
    assert abs(shift.var() / (9 + 1 / 12) - 1) < 5 * np.sqrt(2 / 4000)
    assert abs(shift.mean()) < 5 * 3.0 / np.sqrt(4000)


def test_dead_neurons_fire_as_the_log_prior_says() -> None:
    generator = np.random.default_rng(0)
    live = perturbations.live_neurons(6, 32, 0.4, generator)
    assert live.sum() == 6 * 32 - round(0.4 * 6 * 32)
    assert (live >= 0).all()
    assert (live <= 32).all()
    # Each of M neurons fires with probability ρ_k; M_k of them are left.
    drive, prior, temperature = generator.random(6), np.log(np.full(6, 1 / 6)), 0.3
    rho = 0.01 * np.exp(drive / temperature + prior)
    shares = live * rho / (live * rho).sum()
    shifted = perturbations.log_prior_of_live(prior, live, 32)
    np.testing.assert_allclose(posterior(drive, shifted, temperature), shares, rtol=1e-12)


def test_stuck_synapses_and_dead_populations(layer: SoftHebb) -> None:
    generator = np.random.default_rng(0)
    stuck = perturbations.stick_synapses(layer.weights_, 0.2, generator)
    changed = stuck != layer.weights_
    assert set(np.unique(stuck[changed])) <= {0.0, layer.weights_.max()}
    n = layer.weights_.size  # a weight that was 0 does not change
    assert abs((stuck == layer.weights_.max()).sum() - 0.1 * n) < 5 * np.sqrt(0.09 * n)
    left = perturbations.surviving_units(20, 0.3, generator)
    assert len(left) == 14
    assert (np.diff(left) > 0).all()
    again = perturbations.layer_of(layer, layer.weights_[left], layer.log_prior_[left])
    assert again.n_units == 14
    assert again.temperature == layer.temperature


# --- statistics ----------------------------------------------------------------------------------


def test_interval_is_that_of_the_tables() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    interval = Interval.of(values)
    # t of four degrees of freedom, 97.5 %: 2.776; standard error sqrt(2.5 / 5).
    half = 2.776445 * np.sqrt(0.5)
    assert interval.mean == 3.0
    np.testing.assert_allclose([interval.low, interval.high], [3 - half, 3 + half], rtol=1e-6)
    assert Interval.of([7.0]).against(0.0) == "undecided"


@pytest.mark.parametrize(
    ("values", "verdict"),
    [([1.0, 1.1, 0.9], "holds"), ([-1.0, -1.1, -0.9], "does not hold"), ([-1, 1, 0], "undecided")],
)
def test_verdicts(values: list[float], verdict: str) -> None:
    decides = Measure(name="a", unit="", values=tuple(values), must_exceed=0.0)
    informs = Measure(name="b", unit="", values=(-9.0, -9.1, -8.9))
    assert Claim(number=1, network="rate", measures=(decides, informs)).verdict == verdict
    against = Measure(name="c", unit="", values=(-1.0, -1.1, -0.9), must_exceed=0.0)
    mixed = Claim(number=1, network="rate", measures=(decides, against)).verdict
    assert mixed == "does not hold"  # a conjunction fails with one of its members
    unknown = Measure(name="d", unit="", values=(-1.0, 1.0, 0.1), must_exceed=0.0)
    expected = "does not hold" if verdict == "does not hold" else "undecided"
    assert Claim(number=1, network="rate", measures=(decides, unknown)).verdict == expected


@pytest.mark.statistical
def test_intervals_cover_what_they_say() -> None:
    generator = np.random.default_rng(0)
    n = 4000
    covered = [
        one.low < 0.0 < one.high
        for one in map(Interval.of, generator.standard_normal((n, 5)).tolist())
    ]
    assert abs(np.mean(covered) - 0.95) < 5 * np.sqrt(0.95 * 0.05 / n)


def test_ratio_of_samples_does_not_overstate() -> None:
    def ratio(own: list[float], other: list[float]) -> float:
        one = {
            "samples": [100, 1000],
            "named": {"rate": own},
            "linear": {"backprop": other},
        }
        return convergence._log_ratio(one, "named", "rate")

    assert ratio([0.9, 0.95], [0.7, 0.9]) == pytest.approx(1.0)
    assert ratio([0.7, 0.9], [0.9, 0.95]) == pytest.approx(-1.0)
    assert ratio([0.5, 0.6], [0.9, 0.95]) == pytest.approx(-1.0)  # never: at the end at best
    assert ratio([0.9, 0.95], [0.5, 0.6]) == pytest.approx(1.0)
    assert ratio([0.5, 0.6], [0.5, 0.6]) == 0.0


def test_area_and_samples_to_reach() -> None:
    counts, accuracies = [100, 1000, 10_000], [0.5, 0.7, 0.9]
    assert convergence.area(counts, accuracies) == pytest.approx(0.7)
    assert convergence.samples_to_reach(counts, accuracies, 0.8) == pytest.approx(10**3.5)
    assert convergence.samples_to_reach(counts, accuracies, 0.5) == 100
    assert convergence.samples_to_reach(counts, accuracies, 0.95) == float("inf")


# --- reference networks --------------------------------------------------------------------------


def test_em_step_is_the_definition(digits: Any) -> None:
    X = digits.X_train[:50] / np.linalg.norm(digits.X_train[:50], axis=1, keepdims=True)
    start, temperature = X[:4], 0.1
    expected = np.zeros_like(start)
    for x in X:
        scores = [np.exp(w @ x / temperature) for w in start]
        for k in range(4):
            expected[k] += scores[k] / sum(scores) * x
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = cross_entropy.expectation_maximization(X, start, temperature, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)  # single precision


def test_backprop_chooses_on_held_out_samples(digits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[Any, int]] = []
    trained = backprop._trained

    def spy(X: Any, y: Any, n_classes: int, n_units: int, choice: Any, *rest: Any) -> Any:
        tried.append((choice, len(X)))
        return trained(X, y, n_classes, n_units, choice, *rest)

    monkeypatch.setattr(backprop, "_trained", spy)
    network = backprop.train_perceptron(
        digits.X_train,
        digits.y_train,
        n_samples=len(digits.X_train),
        n_validation=200,
        n_units=50,
        learning_rates=(1e-6, 1e-2),
        seed=0,
        n_passes=(1, 2),
    )
    *searched, last = tried
    assert {choice for choice, _ in searched} == {
        (rate, size, passes)
        for rate, size, passes in product((1e-6, 1e-2), backprop.BATCH_SIZES, (1, 2))
        if size == 32 or passes * len(digits.X_train) <= size * backprop.MAX_STEPS
    }
    assert {n for _, n in searched} == {len(digits.X_train) - 200}
    assert last[0][0] == 1e-2
    assert last[1] == len(digits.X_train)
    assert (predict(network, digits.X_test) == digits.y_test).mean() > 0.85


# --- generation ----------------------------------------------------------------------------------


def test_ascent_finds_the_mix_it_is_asked_for(layer: SoftHebb, digits: Any) -> None:
    start = digits.X_train.mean(axis=0, keepdims=True)
    start /= np.linalg.norm(start)
    mixes = np.zeros((3, 20))
    mixes[0, 3], mixes[1, [3, 7]], mixes[2, 7] = 1.0, 0.5, 1.0
    score = interpolation._unit_score(layer.weights_, 0.02)
    X = interpolation.ascend(score, mixes, start)
    assert (X >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1.0, rtol=1e-12)
    y = posterior(X @ layer.weights_.T, np.zeros(20), 0.02)
    assert y[0, 3] > 0.8
    assert y[2, 7] > 0.8
    assert y[1, [3, 7]].min() > 0.3


@pytest.mark.statistical
def test_clamped_populations_draw_their_weights(spiking: SpikingSoftHebb) -> None:
    mixes = np.zeros((2, 20))
    mixes[0, 4], mixes[1, [4, 9]] = 1.0, 0.5
    X = interpolation.clamped_generation(spiking, mixes, np.random.default_rng(0))
    expected = mixes @ spiking.weights_
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    # 300 steps of at most 0.3 spikes: relative noise of a bright pixel 1/sqrt(90), in all 1 % of
    # the squared length; the trace's start-up and fluctuation add as much.
    assert ((X * expected).sum(axis=1) > 0.97).all()
    assert X[0] @ spiking.weights_[9] < X[1] @ spiking.weights_[9]


# --- trials --------------------------------------------------------------------------------------


def make_trial(folder: Path, **changes: Any) -> Trial:
    options = {"dataset": "digits", "rungs": ("rate", "event"), "seed": 0, **changes}
    return Trial(settings=settings_of("digits", quick=True), layers=folder, **options)


def test_layers_are_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_trial(tmp_path).layer("event", n_samples=100)
    network = make_trial(tmp_path).perceptron(100)
    with monkeypatch.context() as patch:
        patch.setattr(SpikingSoftHebb, "fit", lambda *_, **__: pytest.fail("trained again"))
        patch.setattr(backprop, "_trained", lambda *_: pytest.fail("trained again"))
        again = make_trial(tmp_path).layer("event", n_samples=100)
        np.testing.assert_array_equal(again.weights_, first.weights_)
        kept = make_trial(tmp_path).perceptron(100)
        np.testing.assert_array_equal(kept.hidden_weights, network.hidden_weights)
    for other in (
        make_trial(tmp_path).layer("event", n_samples=101),
        make_trial(tmp_path).layer("event", n_samples=100, temperature=0.03),
        make_trial(tmp_path, seed=1).layer("event", n_samples=100),
    ):
        assert (other.weights_ != first.weights_).any()


def test_a_damaged_layer_is_trained_again(tmp_path: Path) -> None:
    first = make_trial(tmp_path).layer("rate", n_samples=100)
    network = make_trial(tmp_path).perceptron(100)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    again = make_trial(tmp_path).layer("rate", n_samples=100)
    np.testing.assert_array_equal(again.weights_, first.weights_)
    mended = make_trial(tmp_path).perceptron(100)
    np.testing.assert_array_equal(mended.coefficients, network.coefficients)


def test_units_of_a_pair_stand_for_their_classes() -> None:
    shares = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.3, 0.1], [0.5, 0.4, 0.1]])
    pairs = np.array([[0, 1]] * 50 + [[1, 2]] * 50)
    found = interpolation._units_of(pairs, shares, np.random.default_rng(0))
    assert set(found[:50, 0]) == {0, 2, 3}
    assert set(found[:, 1][:50]) == {1}
    assert set(found[50:, 1]) <= {2, 3}  # none stands for it: the one that does most


@pytest.mark.statistical
def test_squares_add_to_gradients_what_they_find(digits: Any, tmp_path: Path) -> None:
    trial = make_trial(tmp_path)
    target = adversarial.Target(trial, "backprop")
    X, y = trial.data.X_test[:40], trial.data.y_test[:40]
    white = [X[np.newaxis].copy() for _ in trial.settings.eps_linf]  # gradients that do nothing
    found = adversarial._black_box(trial, target, X, y, white)
    assert found["white_box"] == 0.0
    assert found["either"] == found["black_box"] > 0.0


def test_an_attack_counts_if_any_of_its_kinds_misleads(tmp_path: Path) -> None:
    trial = make_trial(tmp_path)
    target = adversarial.Target(trial, "backprop")
    X = trial.data.X_test[:30]
    y = target.answers(X)
    other = X[::-1]
    alone = target.answers(other) != y
    assert alone.any()
    np.testing.assert_array_equal(target.misled(np.stack([X, other]), y), alone)
    assert not target.misled(X[np.newaxis], y).any()


def test_rungs_start_alike_and_seeds_do_not(tmp_path: Path) -> None:
    trial = make_trial(tmp_path)
    still = [trial.layer(rung, learning_rate=0.0).weights_ for rung in ("rate", "event", "hard")]
    for one in still:
        # The event engine holds weights in single precision.
        np.testing.assert_allclose(one, trial.first_weights(), atol=1e-6)
    other = make_trial(tmp_path, seed=1)
    assert (other.first_weights() != trial.first_weights()).any()
    assert (other.data.X_train != trial.data.X_train).any()


def test_hard_takes_all(tmp_path: Path) -> None:
    trial = make_trial(tmp_path)
    hard = trial.layer("hard")
    assert hard.temperature == HARD_TEMPERATURE
    y = hard.predict_proba(trial.data.X_test)
    scaled = trial.data.X_test / np.linalg.norm(trial.data.X_test, axis=1, keepdims=True)
    winners = (scaled @ hard.weights_.T).argmax(axis=1)
    np.testing.assert_allclose(y[np.arange(len(y)), winners], 1.0, atol=1e-6)


def test_relearning_ends_with_all_samples(tmp_path: Path) -> None:
    trial = make_trial(tmp_path)
    shown = cross_entropy.points(len(trial.data.X_train))
    assert shown[0] == 0
    assert shown[-1] == len(trial.data.X_train)
    seen = [one.n_samples_seen_ for one in cross_entropy.relearn(trial, "event", shown)]
    assert seen == shown


def test_pictures_as_text() -> None:
    pixels = np.random.default_rng(0).random((3, 4))
    found = pictures.from_text(json.loads(json.dumps(pictures.as_text(pixels))))
    np.testing.assert_array_equal(found, np.rint(255 * pixels))
    assert re.fullmatch(r"[A-Za-z0-9+/]*=*", pictures.as_text(pixels)["bytes"])
    assert len(base64.b64decode(pictures.as_text(pixels)["bytes"])) == 12
