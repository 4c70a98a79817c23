"""The comparisons of what is learned, on networks made from what the rate network learned."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hand_made import (
    ALL,
    Floats,
    assert_same_run,
    by_name,
    clustered,
    groups_of,
    made_ladder,
    unit,
)
from numpy.typing import NDArray
from scipy.stats import vonmises_fisher

from softhebb_spiking import theory
from softhebb_spiking.params import (
    NetworkParams,
    Run,
    RunResult,
)
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.verification import (
    _statistics,
    clusters,
    learning,
)
from softhebb_spiking.verification._plan import (
    Ladder,
)

# --- learning ------------------------------------------------------------------------------------


def learning_run(made: Ladder) -> Run:
    return learning.plan(made, {})["learning", made.rungs[0]]


def nominal_counts(run: Run) -> NDArray[np.int64]:
    """As many spikes as are nominal, all of one unit: a dose of 1."""
    counts = np.zeros((len(run.samples), run.network.n_units), np.int64)
    counts[:, 1] = run.network.total_rate * run.network.n_steps
    return counts


def a_learned(run: Run, counts: Any, weights: Any = None, log_prior: Any = None) -> RunResult:
    return RunResult(
        spike_counts=counts,
        weights=run.weights if weights is None else weights,
        log_prior=run.log_prior if log_prior is None else log_prior,
    )


def test_every_rung_learns_the_same_at_a_falling_rate() -> None:
    made = made_ladder()
    runs = learning.plan(made, {})
    assert list(runs) == [("learning", rung) for rung in ALL]
    for run in runs.values():
        assert_same_run(run, learning_run(made))
    expected = Run(
        network=NetworkParams(
            n_features=10,
            n_units=4,
            temperature=0.03,
            n_steps=20,
            settle_steps=15,
            max_probability=0.5,
        ),
        samples=made.X_train[:24],
        weights=run.weights,
        log_prior=run.log_prior,
        learning_rates=0.1 * (24 - np.arange(24)) / 24,
        prior_learning_rates=run.prior_learning_rates,
        seed=made.seed,
        keep_spikes=False,
    )
    np.testing.assert_allclose(run.learning_rates, expected.learning_rates, rtol=1e-14)
    np.testing.assert_allclose(run.prior_learning_rates, 0.03 * run.learning_rates, rtol=1e-14)
    np.testing.assert_allclose(np.exp(run.log_prior), np.full(4, 0.25), rtol=1e-14)
    assert_same_run(replace(run, learning_rates=expected.learning_rates), expected)


def test_units_start_apart_and_off_their_norm() -> None:
    """Each between the mean and a sample of its own, norms from 0.8 to 1.2."""
    made = made_ladder()
    weights, samples = learning.initial_weights(made), made.X_train[:24]
    np.testing.assert_allclose(
        np.linalg.norm(weights, axis=1), [0.8, 0.8 + 0.4 / 3, 1.2 - 0.4 / 3, 1.2]
    )
    mean = samples.mean(axis=0)
    directions = unit(mean + 0.7 * (samples - mean))
    nearest = (unit(weights) @ directions.T).argmax(axis=1)
    np.testing.assert_allclose(unit(weights), directions[nearest], rtol=1e-12)
    assert len(set(nearest)) == 4
    # The samples are of four groups; of them, k-means++ takes those that are far apart.
    assert len(set(made.data.y_train[nearest])) >= 3
    np.testing.assert_array_equal(learning.initial_weights(made), weights)
    other = replace(made, seed=made.seed + 1)
    assert not np.array_equal(learning.initial_weights(other), weights)


@pytest.mark.parametrize("dose", [1.0, 2.5, 40.0])
def test_the_rate_network_learns_what_the_spikes_amounted_to(dose: float) -> None:
    """By hand, a sample and a unit at a time. A step never goes beyond the sample itself."""
    made = made_ladder()
    run = learning_run(made)
    reference = learning.rate_reference(
        run, a_learned(run, np.rint(dose * nominal_counts(run)).astype(int))
    )
    w, b = [row.copy() for row in run.weights], run.log_prior.copy()
    for x, eta, eta_b in zip(
        run.samples, run.learning_rates, run.prior_learning_rates, strict=True
    ):
        u = [float(row @ x) for row in w]
        scores = [math.exp((u[k] - max(u)) / 0.03 + b[k]) for k in range(4)]
        for k in range(4):
            y = scores[k] / sum(scores)
            w[k] = w[k] + min(1.0, dose * eta) * y * (x - u[k] * w[k])
            b[k] = min(0.0, b[k] + dose * eta_b * (y * math.exp(-b[k]) - 1))
    np.testing.assert_allclose(reference.weights_, w, rtol=1e-9)
    np.testing.assert_allclose(reference.log_prior_, b, rtol=1e-9)
    assert reference.temperature == 0.03


def test_no_prior_of_the_rate_network_exceeds_one() -> None:
    """A unit that wins all, with a prior of e^(−0.1), gains e^0.1 − 1 > 0.1 at a rate of 1."""
    run = learning_run(made_ladder())
    run = replace(run, log_prior=np.array([-0.1, -30, -30, -30]), prior_learning_rates=np.ones(24))
    reference = learning.rate_reference(run, a_learned(run, nominal_counts(run)))
    assert reference.log_prior_.max() == 0.0


def test_units_are_put_into_the_order_of_the_reference() -> None:
    made = made_ladder()
    run = learning_run(made)
    reference = learning.rate_reference(run, a_learned(run, nominal_counts(run)))
    order = [2, 0, 3, 1]
    found = learning.learned(
        reference,
        a_learned(run, nominal_counts(run), reference.weights_[order], reference.log_prior_[order]),
    )
    np.testing.assert_array_equal(found.weights, reference.weights_)
    np.testing.assert_array_equal(found.log_prior, reference.log_prior_)
    np.testing.assert_allclose(found.cosines, 1.0, rtol=1e-12)


def test_held_out_is_what_learning_did_not_see() -> None:
    made = made_ladder()
    X, y = learning.held_out(made)
    np.testing.assert_array_equal(X, np.concatenate([made.X_train[24:], made.X_test]))
    np.testing.assert_array_equal(y, np.concatenate([made.data.y_train[24:50], made.data.y_test]))
    # The reference may have been trained on fewer samples than there are.
    fewer = replace(made, X_train=made.X_train[:30])
    X, y = learning.held_out(fewer)
    np.testing.assert_array_equal(X, np.concatenate([made.X_train[24:30], made.X_test]))
    np.testing.assert_array_equal(y, np.concatenate([made.data.y_train[24:30], made.data.y_test]))


def test_of_held_out_samples_at_most_two_thousand_of_each_kind_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert learning._MAX_HELD_OUT == 2000
    monkeypatch.setattr(learning, "_MAX_HELD_OUT", 5)
    made = made_ladder()
    X, y = learning.held_out(made)
    np.testing.assert_array_equal(X, np.concatenate([made.X_train[24:29], made.X_test[:5]]))
    np.testing.assert_array_equal(
        y, np.concatenate([made.data.y_train[24:29], made.data.y_test[:5]])
    )


def learning_results(
    made: Ladder, change: Any = lambda weights, log_prior: (weights, log_prior)
) -> tuple[SoftHebb, dict[tuple[str, str], RunResult]]:
    """The reference at a dose of 1, and rungs that learned that, units shuffled, or a change."""
    run = learning_run(made)
    counts = nominal_counts(run)
    reference = learning.rate_reference(run, a_learned(run, counts))
    weights, log_prior = change(reference.weights_.copy(), reference.log_prior_.copy())
    own = a_learned(run, counts, weights[::-1], log_prior[::-1])
    return reference, {("learning", rung): own for rung in made.rungs}


BAYES = {"norms", "priors sum", "priors", "cross-entropy"}
AGREEMENT = {"matched units", "accuracy", "log-likelihood"}


def test_a_rung_that_learned_what_the_rate_network_learned_agrees_exactly() -> None:
    made = made_ladder()
    reference, results = learning_results(made)
    checks = learning.evaluate(made, results)
    assert len(checks) == len(ALL) * 7
    assert groups_of([item for item in checks if item.rungs[0] == "rate"]) == {"learning"}
    assert groups_of([item for item in checks if item.rungs[0] != "rate"]) == {"Bayes"}
    shown = made.X_train[:24]
    mean_y = reference.predict_proba(shown).mean(axis=0)
    norm_error = (
        mean_y * np.abs(np.linalg.norm(reference.weights_, axis=1) - 1)
    ).sum() / mean_y.sum()
    distance = 0.5 * np.abs(np.exp(reference.log_prior_) - mean_y).sum()
    for rung in ALL:
        own = by_name(checks, "rate", rung)
        assert set(own) == AGREEMENT
        assert own["matched units"].value == pytest.approx(1.0, rel=1e-12)
        assert own["matched units"].low == 0.98
        assert "after 24 samples" in own["matched units"].statistic
        assert own["accuracy"].value == 0.0
        assert "on 38 samples not shown" in own["accuracy"].statistic
        assert own["log-likelihood"].value == pytest.approx(1.0, rel=1e-12)
        bayes = by_name(checks, rung)
        assert set(bayes) == BAYES
        assert bayes["norms"].value == pytest.approx(norm_error, rel=1e-9)
        assert bayes["norms"].high == pytest.approx(norm_error + 0.01, rel=1e-9)
        assert f"between 0.8 and 1.2; the rate network reaches {norm_error:.4f}" in (
            bayes["norms"].bound_from
        )
        total = np.exp(reference.log_prior_).sum()
        assert bayes["priors sum"].value == pytest.approx(total, rel=1e-12)
        assert (bayes["priors sum"].low, bayes["priors sum"].high) == (0.98, 1.02)
        assert bayes["priors"].value == pytest.approx(distance, rel=1e-9)
        more = 0.07 if rung == "fixed" else 0.03
        assert bayes["priors"].high == pytest.approx(distance + more, rel=1e-9)
        assert f"lags by {distance:.3f}, {more} more" in bayes["priors"].bound_from
        limit = 0.065 if rung == "fixed" else 0.03
        assert (own["accuracy"].low, own["accuracy"].high) == (-limit, limit)
        lowest = 0.83 if rung == "fixed" else 0.9
        assert (own["log-likelihood"].low, own["log-likelihood"].high) == (lowest, 1.1)


def test_cross_entropy_is_compared_in_pairs_with_the_start() -> None:
    made = made_ladder(("event",))
    reference, results = learning_results(made)
    X = np.concatenate([made.X_train[24:], made.X_test])
    start = theory.log_likelihood(X, learning.initial_weights(made), np.full(4, -np.log(4)), 0.03)
    gained = start - theory.log_likelihood(X, reference.weights_, reference.log_prior_, 0.03)
    found = by_name(learning.evaluate(made, results), "event")["cross-entropy"]
    assert found.value == pytest.approx(gained.mean(), rel=1e-9)
    error = math.sqrt(((gained - gained.mean()) ** 2).sum() / 37 / 38)
    assert found.high == pytest.approx(-4 * error, rel=1e-9)
    assert found.low is None
    assert "below 0 by 4 standard errors" in found.bound_from
    assert "on 38 samples not shown" in found.statistic
    assert found.passed


def test_a_rung_that_learned_nothing_gains_nothing() -> None:
    made = made_ladder(("event",))
    start, uniform = learning.initial_weights(made), np.full(4, -np.log(4))
    _, results = learning_results(made, lambda *_: (start, uniform))
    checks = learning.evaluate(made, results)
    assert by_name(checks, "rate", "event")["log-likelihood"].value == pytest.approx(0, abs=1e-12)
    bayes = by_name(checks, "event")
    assert bayes["cross-entropy"].value == pytest.approx(0.0, abs=1e-12)
    assert not bayes["cross-entropy"].passed
    assert not bayes["norms"].passed


def test_a_turned_unit_and_scaled_norms_are_measured() -> None:
    made = made_ladder(("event",))

    def turn(weights: Floats, log_prior: Floats) -> tuple[Floats, Floats]:
        aside = np.ones(10) - weights[0] * weights[0].sum() / (weights[0] @ weights[0])
        norm = np.linalg.norm(weights[0])
        weights[0] = 0.9 * weights[0] + math.sqrt(0.19) * norm * aside / np.linalg.norm(aside)
        return 1.3 * unit(weights), log_prior - 0.2

    reference, results = learning_results(made, turn)
    checks = learning.evaluate(made, results)
    matched = by_name(checks, "rate", "event")["matched units"]
    assert matched.value == pytest.approx((3 + 0.9) / 4, rel=1e-9)
    bayes = by_name(checks, "event")
    assert bayes["norms"].value == pytest.approx(0.3, rel=1e-9)
    total = math.exp(-0.2) * np.exp(reference.log_prior_).sum()
    assert bayes["priors sum"].value == pytest.approx(total, rel=1e-9)
    weights, log_prior = (
        results["learning", "event"].weights,
        results["learning", "event"].log_prior,
    )
    scores = np.exp(made.X_train[:24] @ weights.T / 0.03 + log_prior)
    mean_y = (scores / scores.sum(axis=1, keepdims=True)).mean(axis=0)
    distance = 0.5 * np.abs(np.exp(log_prior) - mean_y).sum()
    assert bayes["priors"].value == pytest.approx(distance, rel=1e-9)
    X = np.concatenate([made.X_train[24:], made.X_test])
    start = theory.log_likelihood(X, learning.initial_weights(made), np.full(4, -np.log(4)), 0.03)
    here = theory.log_likelihood(X, weights, log_prior, 0.03)
    own = theory.log_likelihood(X, reference.weights_, reference.log_prior_, 0.03)
    share = (here.mean() - start.mean()) / (own.mean() - start.mean())
    found = by_name(checks, "rate", "event")["log-likelihood"]
    assert found.value == pytest.approx(share, rel=1e-9)


def test_accuracy_names_units_by_the_samples_shown() -> None:
    """Units whose weights are the labels' own directions read all; two alike read less."""
    made = made_ladder(("event",))
    best = 0.3 + np.kron(np.eye(4, 5), np.ones(2))

    def all_alike(weights: Floats, log_prior: Floats) -> tuple[Floats, Floats]:
        return unit(best[[0, 0, 0, 0]]), log_prior

    assert learning._accuracy(made, unit(best), np.zeros(4)) == 1.0
    labels = learning.held_out(made)[1]
    (values, counts) = np.unique(made.data.y_train[:24], return_counts=True)
    only = (labels == values[counts.argmax()]).mean()
    same = unit(best[[0, 0, 0, 0]])
    assert learning._accuracy(made, same, np.full(4, -np.log(4))) == only
    # A prior decides where drives are alike.
    prior = np.array([0.0, -1e3, -1e3, -1e3])
    assert learning._accuracy(made, unit(best), prior) == only
    reference, results = learning_results(made, all_alike)
    own = learning._accuracy(made, reference.weights_, reference.log_prior_)
    gap = by_name(learning.evaluate(made, results), "rate", "event")["accuracy"]
    assert gap.value == pytest.approx(only - own, abs=1e-12)
    assert gap.value < 0
    assert not gap.passed
    # The prior learned decides as well: with all on one unit, no other is named.
    reference, results = learning_results(made, lambda weights, _: (unit(best), prior))
    gap = by_name(learning.evaluate(made, results), "rate", "event")["accuracy"]
    assert gap.value == pytest.approx(only - own, abs=1e-12)
    # Labels of samples that were not shown name nothing.
    y = made.data.y_train.copy()
    y[24:] = (y[24:] + 1) % 4
    hidden = replace(made, data=replace(made.data, y_train=y))
    expected = (learning.held_out(hidden)[1] == labels).mean()
    assert learning._accuracy(hidden, unit(best), np.zeros(4)) == expected == 12 / 38


# --- clusters ------------------------------------------------------------------------------------


def test_clusters_have_means_a_block_apart() -> None:
    means = clusters.true_means()
    assert means.shape == (4, 20)
    for k, mean in enumerate(means):
        expected = np.full(20, 0.6)
        expected[5 * k : 5 * k + 5] = 1.6
        np.testing.assert_allclose(mean, expected / math.hypot(*expected), rtol=1e-12)


CLUSTER_SEED = 3


@pytest.fixture(scope="module")
def drawn_clusters() -> tuple[Floats, NDArray[np.int64]]:
    return clusters.draw_clusters(CLUSTER_SEED)


@pytest.fixture
def drawn_once(
    monkeypatch: pytest.MonkeyPatch, drawn_clusters: tuple[Floats, NDArray[np.int64]]
) -> tuple[Floats, NDArray[np.int64]]:
    """The clusters, which take seconds to draw, for all who ask for them by their seed."""
    drawn = {CLUSTER_SEED: drawn_clusters}
    monkeypatch.setattr(clusters, "draw_clusters", drawn.__getitem__)
    return drawn_clusters


@pytest.mark.statistical
def test_clusters_are_drawn_by_their_priors_about_their_means(
    drawn_clusters: tuple[Floats, NDArray[np.int64]],
) -> None:
    """5σ of shares of 2000, and of mean cosines with those of scipy's own draws.

    By symmetry each cluster is drawn again as often as any other, which leaves the shares alone.
    """
    X, cluster = drawn_clusters
    assert X.shape == (2000, 20)
    assert cluster.shape == (2000,)
    assert X.min() >= 0
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1.0, rtol=1e-12)
    for k, prior in enumerate((0.1, 0.2, 0.3, 0.4)):
        share = (cluster == k).mean()
        assert abs(share - prior) < 5 * math.sqrt(prior * (1 - prior) / 2000)
        mean = clusters.true_means()[k]
        draws = vonmises_fisher.rvs(mean, 100.0, size=4000, random_state=k)
        kept, own = draws[(draws >= 0).all(axis=1)] @ mean, X[cluster == k] @ mean
        error = math.hypot(*(part.std() / math.sqrt(part.size) for part in (kept, own)))
        assert abs(kept.mean() - own.mean()) < 5 * error


def test_the_seed_alone_decides_the_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "N_SAMPLES", 20)
    (X, cluster), (again, _), (other, _) = (clusters.draw_clusters(seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(again, X)
    assert not np.array_equal(other, X)
    assert len(X) == len(cluster) == 20


def test_fast_rungs_learn_the_clusters(drawn_once: tuple[Floats, NDArray[np.int64]]) -> None:
    made = made_ladder(seed=CLUSTER_SEED)
    runs = clusters.plan(made, {})
    assert list(runs) == [("clusters", "event"), ("clusters", "fixed")]
    X, cluster = drawn_once
    falling = 1 - np.arange(2000) / 2000
    for run in runs.values():
        expected = Run(
            network=NetworkParams(
                n_features=20,
                n_units=4,
                temperature=0.01,
                population_size=128,
                n_steps=50,
                settle_steps=40,
                max_probability=0.5,
                psp_tau_ms=20.0,
            ),
            samples=X,
            weights=run.weights,
            log_prior=run.log_prior,
            learning_rates=0.1 * falling,
            prior_learning_rates=0.02 * falling,
            seed=CLUSTER_SEED,
            keep_spikes=False,
        )
        assert_same_run(run, expected)
        np.testing.assert_allclose(np.exp(run.log_prior), np.full(4, 0.25), rtol=1e-14)
    # Half-way between the mean and one sample of each cluster.
    mean = X.mean(axis=0)
    directions = unit(mean + 0.5 * (X - mean))
    nearest = (run.weights @ directions.T).argmax(axis=1)
    np.testing.assert_allclose(run.weights, directions[nearest], rtol=1e-12)
    assert set(cluster[nearest]) == {0, 1, 2, 3}


def test_seeds_beyond_32_bits_start_clusters_too() -> None:
    X = clustered(np.random.default_rng(0), 40)[0]
    one, same, other = (clusters._initial_weights(X, seed) for seed in (2**32 + 5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.isfinite(clusters._initial_weights(X, 2**32 - 1)).all()


def test_learned_clusters_are_compared_with_the_true_ones(
    drawn_once: tuple[Floats, NDArray[np.int64]],
) -> None:
    made = made_ladder(seed=CLUSTER_SEED)
    X, cluster = drawn_once
    shares = np.bincount(cluster) / 2000
    means = clusters.true_means()
    order = [3, 1, 0, 2]
    right = RunResult(
        spike_counts=np.zeros((1, 4), np.int64),
        weights=1.2 * means[order],
        log_prior=np.log(shares[order]),
    )
    turned = means.copy()
    aside = unit(means[1] - means[0] * (means[0] @ means[1]))
    turned[0] = 0.95 * means[0] + math.sqrt(1 - 0.95**2) * aside
    wrong = replace(
        right, weights=turned, log_prior=np.log(shares + np.array([0.15, -0.05, -0.05, -0.05]))
    )
    results = {
        ("clusters", "event"): right,
        ("clusters", "fixed"): wrong,
        ("posterior", "lava"): right,
    }
    checks = clusters.evaluate(made, results)
    assert [item.rungs for item in checks] == [
        (rung,) for rung in ("rate", "event", "fixed") for _ in "12"
    ]
    assert groups_of(checks) == {"Bayes"}
    event_checks, fixed = by_name(checks, "event"), by_name(checks, "fixed")
    assert set(fixed) == {"cluster means", "cluster priors"}
    assert event_checks["cluster means"].value == pytest.approx(1.0, rel=1e-12)
    assert event_checks["cluster priors"].value == pytest.approx(0.0, abs=1e-12)
    assert fixed["cluster means"].value == pytest.approx(0.95, rel=1e-12)
    assert fixed["cluster priors"].value == pytest.approx(0.15, rel=1e-9)
    assert (fixed["cluster means"].low, fixed["cluster means"].high) == (0.99, None)
    assert (fixed["cluster priors"].low, fixed["cluster priors"].high) == (None, 0.1)
    # The rate network learns online from the same start, at constant rates.
    start = clusters.plan(made, {})["clusters", "event"].weights
    own = SoftHebb(
        4, temperature=0.01, learning_rate=0.1, prior_learning_rate=0.02, batch_size=1
    ).fit(X, initial_weights=start)
    match, cosines = _statistics.match_units(own.weights_, means)
    rate = by_name(checks, "rate")
    assert rate["cluster means"].value == pytest.approx(cosines.min(), rel=1e-12)
    error = np.abs(np.exp(own.log_prior_)[match] - shares).max()
    assert rate["cluster priors"].value == pytest.approx(error, rel=1e-9)
    assert rate["cluster means"].passed
    assert rate["cluster priors"].passed
