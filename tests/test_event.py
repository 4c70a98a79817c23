"""The event engine against the oracle, against the laws its draws come from, and against itself."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import binom, poisson

from softhebb_spiking import theory
from softhebb_spiking.backends import event
from softhebb_spiking.backends._event_draws import binomial_quantile
from softhebb_spiking.backends._event_float import FloatEngine
from softhebb_spiking.params import (
    INHIBITIONS,
    PROBES,
    FixedPointParams,
    NetworkParams,
    Run,
    RunResult,
)

# Two-sided, a normal deviate exceeds 5 sigma with probability 5.7e-7; no test here compares more
# than 100 numbers, so fewer than 6 seeds in 100 000 fail one. The seeds are fixed.
K_SIGMA = 5.0
Oracle = Callable[..., Any]
MakeRun = Callable[..., Run]


def agrees(result: RunResult, expected: Any) -> bool:
    """Whether all is the same to 1e-9; a few hundred float64 operations leave 1e-13."""
    pairs = [(result.weights, expected.weights), (result.log_prior, expected.log_prior)]
    pairs += [(result.probes[name], getattr(expected, name)) for name in PROBES]
    return all(np.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in pairs)


# --- clamped -----------------------------------------------------------------------------------


@pytest.mark.parametrize("inhibition", INHIBITIONS)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"settle_steps": 0, "n_steps": 1},
        {"dt_ms": 0.5, "max_probability": 1.0},
        {"n_units": 1, "n_features": 1},
        # With exact inhibition: several blocks of steps, and more units than slots that learn.
        {"n_units": 90, "n_features": 40, "n_steps": 300, "population_size": 4},
        {"learning_rate": 0.0},
        {"prior_learning_rate": 0.0},
        {"psp_tau_ms": 0.2},
        {"inhibition_gain": 1.9, "temperature": 0.02},
    ],
    ids=str,
)
def test_clamped_run_agrees_with_the_oracle(
    clamped_run: MakeRun, oracle: Oracle, inhibition: str, changes: dict[str, Any]
) -> None:
    run = clamped_run(1, inhibition=inhibition, **changes)
    result = event.simulate(run)
    expected = oracle(run)
    for name in PROBES:
        assert result.probes[name].shape == getattr(expected, name).shape
    assert agrees(result, expected)
    np.testing.assert_array_equal(result.spike_counts, expected.spike_counts)
    np.testing.assert_array_equal(result.input_spikes, run.input_spikes)
    np.testing.assert_array_equal(result.output_spikes, run.output_spikes)


FAULTS = [
    {"decay_sign": 1.0},
    {"eta_scale": 2.0},
    {"psp_scale": 1.2},
    {"prior_scale": 2.0},
    {"synapse_delay": 0},
    {"trend_scale": 0.0},  # exact inhibition has no trend
]


@pytest.mark.parametrize(
    ("inhibition", "fault"),
    [(i, f) for i in INHIBITIONS for f in FAULTS if (i, *f) != ("exact", "trend_scale")],
    ids=str,
)
def test_the_comparison_sees_planted_faults(
    clamped_run: MakeRun, oracle: Oracle, inhibition: str, fault: dict[str, float]
) -> None:
    run = clamped_run(1, inhibition=inhibition)
    assert not agrees(event.simulate(run), oracle(run, **fault))


def test_the_column_scale_survives_its_underflow(clamped_run: MakeRun, oracle: Oracle) -> None:
    """The decay of a column is collected in one factor, which is written out before it vanishes."""
    run = clamped_run(2, n_samples=24, prior_learning_rate=0.0, n_steps=12)
    run = replace(run, learning_rates=np.full(24, 3.0))
    expected = oracle(run)
    net = run.network
    eta = 3.0 / (net.total_rate * net.n_steps)
    log_scale = np.zeros(net.n_units)
    for sample, step, k in run.output_spikes.tolist():
        if step >= net.settle_steps:
            u = expected.drive[sample, step - net.settle_steps, k]
            log_scale[k] += math.log(abs(1 - eta * u))
    assert log_scale.max() < 2 * math.log(1e-6)  # two passes of the guard, at 1e-6, in each column
    assert agrees(event.simulate(run), expected)


def test_only_steps_that_are_read_count_and_teach(clamped_run: MakeRun) -> None:
    """The last step of settling and the first that is read lie on either side."""
    run = clamped_run(3, n_samples=1)
    settle = run.network.settle_steps
    inputs = np.column_stack([np.zeros(7), np.full(7, settle - 2), np.arange(7)]).astype(int)
    for step, taught in ((settle - 1, False), (settle, True)):
        spike = np.array([[0, step, 1]])
        result = event.simulate(replace(run, input_spikes=inputs, output_spikes=spike))
        assert result.spike_counts[0].tolist() == [0, int(taught), 0]
        np.testing.assert_array_equal(result.weights[[0, 2]], run.weights[[0, 2]])
        assert (result.weights[1] != run.weights[1]).all() == taught
        assert (result.log_prior != run.log_prior).all() == taught


def test_input_and_output_can_be_given_one_at_a_time(clamped_run: MakeRun) -> None:
    run = clamped_run(4)
    drawn_outputs = event.simulate(replace(run, output_spikes=None))
    np.testing.assert_array_equal(drawn_outputs.input_spikes, run.input_spikes)
    assert not np.array_equal(drawn_outputs.output_spikes, run.output_spikes)
    drawn_inputs = event.simulate(replace(run, input_spikes=None))
    np.testing.assert_array_equal(drawn_inputs.output_spikes, run.output_spikes)
    assert not np.array_equal(drawn_inputs.input_spikes, run.input_spikes)


@pytest.mark.parametrize("inhibition", INHIBITIONS)
def test_replaying_a_recording_reproduces_it_exactly(
    clamped_run: MakeRun, free: MakeRun, inhibition: str
) -> None:
    run = free(clamped_run(5, inhibition=inhibition, n_samples=6))
    first = event.simulate(run)
    assert first.spike_counts.sum() > 50
    given = replace(
        run, seed=99, input_spikes=first.input_spikes, output_spikes=first.output_spikes
    )
    again = event.simulate(given, precision="single")
    assert_same(first, again)
    assert (first.weights != run.weights).any()


def assert_same(first: RunResult, second: RunResult) -> None:
    for name in ("weights", "log_prior", "spike_counts", "input_spikes", "output_spikes"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
    for name in first.probes:
        np.testing.assert_array_equal(first.probes[name], second.probes[name], err_msg=name)


# --- free runs ---------------------------------------------------------------------------------


def test_a_seed_repeats_everything_and_another_does_not(
    clamped_run: MakeRun, free: MakeRun
) -> None:
    run = free(clamped_run(6), seed=2**62 + 1)
    assert_same(event.simulate(run), event.simulate(run))
    other = event.simulate(replace(run, seed=2**62 + 2))
    assert not np.array_equal(other.input_spikes, event.simulate(run).input_spikes)
    assert not np.array_equal(other.weights, event.simulate(run).weights)


def test_a_run_in_two_parts_is_the_run_in_one(clamped_run: MakeRun, free: MakeRun) -> None:
    """To the last bit with the scales of the first part, to rounding without them."""
    run = free(clamped_run(7, n_samples=6), first_sample=100)
    whole = event.simulate(run)

    def part(chosen: slice, **changes: Any) -> Run:
        names = ("samples", "learning_rates", "prior_learning_rates")
        return replace(run, **{name: getattr(run, name)[chosen] for name in names}, **changes)

    first = event.simulate(part(slice(0, 2)))
    rest = part(slice(2, 6), weights=first.weights, log_prior=first.log_prior, first_sample=102)
    second = event.simulate(replace(rest, weight_scales=first.weight_scales))
    np.testing.assert_array_equal(
        np.vstack([first.spike_counts, second.spike_counts]), whole.spike_counts
    )
    for name in ("weights", "weight_scales", "log_prior"):
        np.testing.assert_array_equal(getattr(second, name), getattr(whole, name))
    without = event.simulate(rest)
    assert (without.weights != whole.weights).any()
    np.testing.assert_allclose(without.weights, whole.weights, rtol=1e-5)
    shifted = event.simulate(
        part(slice(2, 6), weights=first.weights, log_prior=first.log_prior, first_sample=0)
    )
    assert not np.array_equal(shifted.spike_counts, second.spike_counts)


def test_spikes_are_kept_only_if_wanted(clamped_run: MakeRun, free: MakeRun) -> None:
    run = free(clamped_run(8), probes=())
    kept, dropped = event.simulate(run), event.simulate(replace(run, keep_spikes=False))
    assert kept.probes == dropped.probes == {}
    assert dropped.input_spikes.shape == dropped.output_spikes.shape == (0, 3)
    np.testing.assert_array_equal(kept.spike_counts, dropped.spike_counts)
    read = kept.output_spikes[kept.output_spikes[:, 1] >= run.network.settle_steps]
    counts = np.zeros_like(kept.spike_counts)
    np.add.at(counts, (read[:, 0], read[:, 2]), 1)
    np.testing.assert_array_equal(counts, kept.spike_counts)


@pytest.mark.parametrize(("n_units", "n_features"), [(3, 7), (1, 7), (3, 1)])
def test_a_run_leaves_its_input_alone_and_reports_progress(
    clamped_run: MakeRun, free: MakeRun, n_units: int, n_features: int
) -> None:
    run = free(clamped_run(9, n_units=n_units, n_features=n_features))
    weights, log_prior = run.weights.copy(), run.log_prior.copy()
    done: list[int] = []
    result = event.simulate(run, progress=done.append)
    assert (result.weights != weights).any()
    assert done == [4]
    np.testing.assert_array_equal(run.weights, weights)
    np.testing.assert_array_equal(run.log_prior, log_prior)


def test_progress_comes_between_the_samples(clamped_run: MakeRun, free: MakeRun) -> None:
    done: list[int] = []
    event.simulate(free(clamped_run(9, n_samples=300), probes=()), progress=done.append)
    assert done == sorted(set(done))
    assert done[0] < 200
    assert done[-1] == 300


@pytest.mark.parametrize("fixed", [None, FixedPointParams()])
@pytest.mark.parametrize("learning_rate", [0.0, 0.3])
@pytest.mark.parametrize("inhibition", INHIBITIONS)
def test_threads_change_no_bit(
    clamped_run: MakeRun,
    free: MakeRun,
    inhibition: str,
    learning_rate: float,
    fixed: FixedPointParams | None,
) -> None:
    """300 units for samples that are shared out, 2100 for units, of which a thread has 1024."""
    run = clamped_run(
        10,
        n_samples=7,
        n_units=2100 if learning_rate else 300,
        n_features=20,
        inhibition=inhibition,
        learning_rate=learning_rate,
        prior_learning_rate=0.1 * learning_rate,
    )
    run = free(run, keep_spikes=False, probes=(), fixed=fixed)
    one, two, three = (event.simulate(run, n_threads=n) for n in (1, 2, 3))
    assert one.spike_counts.sum() > 100
    assert (one.weights != run.weights).any() == (learning_rate > 0.0 or fixed is not None)
    assert_same(one, two)
    assert_same(one, three)


def test_threads_share_the_work(clamped_run: MakeRun, free: MakeRun) -> None:
    for learning_rate, expected in ((0.0, 3), (0.3, 2)):
        run = free(
            clamped_run(1, n_units=2100, learning_rate=learning_rate, prior_learning_rate=0.0)
        )
        assert FloatEngine(run, "single", n_threads=3).n_threads == expected


@pytest.mark.parametrize("n_threads", [0, -1, 1.5, "2", 257])
def test_thread_counts_that_are_refused(clamped_run: MakeRun, n_threads: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="n_threads"):
        event.simulate(clamped_run(1), n_threads=n_threads)


def test_a_precision_that_is_refused(clamped_run: MakeRun) -> None:
    with pytest.raises(ValueError, match="precision"):
        event.simulate(clamped_run(1), precision="half")


def frozen(inhibition: str, n_samples: int, seed: int = 0) -> Run:
    """Return a run that does not learn, long enough for statistics."""
    net = NetworkParams(
        n_features=8,
        n_units=4,
        temperature=0.2,
        inhibition=inhibition,
        population_size=16,
        total_rate=5.0,
        n_steps=20,
        settle_steps=15,
        psp_tau_ms=5.0,
    )
    rng = np.random.default_rng(seed)
    return Run(
        network=net,
        samples=theory.unit_rows(rng.random((n_samples, 8)) + 0.05),
        weights=theory.unit_rows(rng.random((4, 8))),
        log_prior=np.log([0.4, 0.3, 0.2, 0.1]),
        learning_rates=np.zeros(n_samples),
        prior_learning_rates=np.zeros(n_samples),
        seed=17,
        probes=PROBES,
    )


def read_counts(run: Run, result: RunResult) -> NDArray[np.int64]:
    """Return n_k of every step that is read, shape (n_samples, n_steps, n_units)."""
    net = run.network
    counts = np.zeros((len(run.samples), net.presentation_steps, net.n_units), np.int64)
    np.add.at(counts, tuple(result.output_spikes.T), 1)
    return counts[:, net.settle_steps :]


def probed_rates(run: Run, result: RunResult) -> NDArray[np.float64]:
    """Return ρ_k of every step that is read, from the probes."""
    net = run.network
    z = result.probes["drive"] / net.temperature + run.log_prior
    rates = (
        net.total_rate / net.population_size * np.exp(z - result.probes["inhibition"][..., None])
    )
    return np.minimum(1.0, rates)


@pytest.mark.statistical
@pytest.mark.parametrize("inhibition", INHIBITIONS)
@pytest.mark.parametrize("fault", ["none", "rate × 1.05", "Poisson"])
def test_counts_are_binomial_with_the_rates_of_the_probes(inhibition: str, fault: str) -> None:
    """How often each count occurs is a sum of independent events of known probabilities."""
    run = frozen(inhibition, 1500)
    result = event.simulate(run)
    counts, rates = read_counts(run, result), probed_rates(run, result)
    M = run.network.population_size
    deviations = []
    for value in range(M + 1):
        if fault == "Poisson":
            p = poisson.pmf(value, M * rates)
        else:
            p = binom.pmf(value, M, np.minimum(1.0, rates * (1.05 if fault != "none" else 1.0)))
        p = p.clip(0.0, 1.0)
        if p.sum() > 25:  # a normal law is close enough there
            sigma = math.sqrt((p * (1 - p)).sum())
            deviations.append(abs((counts == value).sum() - p.sum()) / sigma)
    assert len(deviations) > 6
    assert (max(deviations) < K_SIGMA) == (fault == "none")


@pytest.mark.statistical
@pytest.mark.parametrize("inhibition", INHIBITIONS)
@pytest.mark.parametrize("tau_scale", [1.0, 1.2])
def test_counts_are_shared_by_the_posterior_whatever_the_inhibition(
    inhibition: str, tau_scale: float
) -> None:
    """n_k − y_k N has mean 0 in each step where no population saturates.

    Whether one does is known before the draw, so leaving such steps out makes no bias.
    """
    run = frozen(inhibition, 400, seed=1)
    result = event.simulate(run)
    counts, rates = read_counts(run, result), probed_rates(run, result)
    y = softmax(result.probes["drive"] / (tau_scale * 0.2) + run.log_prior, axis=-1)
    unsaturated = rates.max(axis=-1) < 1.0
    assert unsaturated.mean() > 0.9
    excess = counts - y * counts.sum(axis=-1, keepdims=True)
    each = run.network.population_size * rates * (1 - rates)
    others = each.sum(axis=-1, keepdims=True) - each
    variance = (1 - y) ** 2 * each + y**2 * others
    total = excess[unsaturated].sum(axis=0)
    sigma = np.sqrt(variance[unsaturated].sum(axis=0))
    assert ((np.abs(total) / sigma).max() < K_SIGMA) == (tau_scale == 1.0)


@pytest.mark.statistical
def test_exact_inhibition_keeps_the_total_rate() -> None:
    run = frozen("exact", 300)
    result = event.simulate(run, precision="double")
    rates = probed_rates(run, result)
    np.testing.assert_allclose(rates.sum(axis=-1).max() * 16, 5.0, rtol=1e-12)
    unsaturated = read_counts(run, result)[rates.max(axis=-1) < 1.0].sum(axis=-1)
    sigma = math.sqrt(5.0 / unsaturated.size)  # at most: a binomial varies less
    assert abs(unsaturated.mean() - 5.0) < K_SIGMA * sigma


@pytest.mark.parametrize("inhibition", ["feedback", "graded"])
def test_inhibition_follows_the_drive(inhibition: str) -> None:
    """After settling, h stays within 2 nats of the log normaliser on average; it starts 5 off."""
    run = frozen(inhibition, 100)
    result = event.simulate(run)
    z = result.probes["drive"] / run.network.temperature + run.log_prior
    normalizer = np.log(np.exp(z).sum(axis=-1))
    assert np.abs(result.probes["inhibition"] - normalizer).mean() < 1.0
    assert normalizer.mean() > 3.0


WORDS = np.r_[0, 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1, np.arange(1, 60) * 71582788]


@pytest.mark.parametrize("n", [1, 2, 8, 32, 255, 1024])
@pytest.mark.parametrize("p", [0.0, 1e-9, 1e-3, 0.05, 0.3, 0.5, 0.5000001, 0.77, 0.999, 1.0])
def test_binomial_quantile_against_scipy(n: int, p: float) -> None:
    quantiles = np.array([binomial_quantile(np.uint64(word), n, p) for word in WORDS])
    uniforms = (WORDS + 0.5) / 2.0**32
    # A word closer to a step of the law than 1e-12 may round to either side; none here is.
    np.testing.assert_array_equal(quantiles, binom.ppf(uniforms, n, p))


# --- the expected update -----------------------------------------------------------------------


@pytest.mark.statistical
@pytest.mark.parametrize("fault", ["none", "sign of the decay", "η × 1.1", "bias in the decay"])
def test_the_expected_update_given_the_input_is_the_rate_update(fault: str) -> None:
    """Σ_steps η/n (y_k (s − u_k w_k)) is the mean of Δw given the input spikes.

    With exact inhibition M ρ_k = r y_k unless saturated, and the n_k of all steps are independent
    binomials. η is so small that a presentation does not change its own weights: the second
    order is η = 1e-6 of the first, the noise of the mean 1e-2.
    """
    n_repeats, eta = 4000, 1e-6
    run = replace(
        frozen("exact", 1), learning_rates=np.array([eta]), prior_learning_rates=np.array([eta])
    )
    net = replace(run.network, population_size=64)
    found = np.zeros_like(run.weights)
    expected, variance = np.zeros_like(run.weights), np.zeros_like(run.weights)
    decay = {"sign of the decay": -1.0}.get(fault, 1.0)
    for repeat in range(n_repeats):
        once = replace(run, network=net, first_sample=repeat, keep_spikes=False)
        result = event.simulate(once, precision="double")
        found += (result.weights - run.weights) / eta
        u, s = result.probes["drive"][0], result.probes["psp"][0]
        y = softmax(u / net.temperature + run.log_prior, axis=-1)
        assert net.total_rate / net.population_size * y.max() < 1.0
        decay_u = u + (net.temperature * run.log_prior if fault == "bias in the decay" else 0.0)
        step = s[:, None, :] - decay * decay_u[:, :, None] * run.weights
        rho = net.total_rate * y / net.population_size
        expected += (y[:, :, None] * step).sum(axis=0) / net.n_steps
        spread = (net.population_size * rho * (1 - rho))[:, :, None] * step**2
        variance += spread.sum(axis=0) / (net.total_rate * net.n_steps) ** 2
    if fault == "η × 1.1":
        expected = 1.1 * expected
    deviations = np.abs(found - expected) / np.sqrt(variance)
    assert (deviations.max() < K_SIGMA) == (fault == "none")


@pytest.mark.parametrize("decay_sign", [1.0, -1.0])
def test_the_mean_update_approaches_the_rate_update_as_the_psp_averages_longer(
    decay_sign: float,
) -> None:
    """Averaged over the noise of s, what is left is of order 1/(p_max τ_psp)."""
    base = frozen("exact", 1)
    x, w = base.samples, base.weights
    u = x @ w.T
    y = softmax(u / 0.2 + base.log_prior, axis=-1)
    rate_update = y.T @ (x if decay_sign > 0 else -x) - (y * u).T * w
    errors = []
    for psp_tau_ms in (4.0, 16.0, 64.0):
        net = replace(
            base.network,
            psp_tau_ms=psp_tau_ms,
            settle_steps=int(4 * psp_tau_ms),
            n_steps=200,
            population_size=64,
        )
        run = replace(
            base,
            network=net,
            samples=np.repeat(x, 200, axis=0),
            learning_rates=np.full(200, 1e-6),
            prior_learning_rates=np.zeros(200),
            probes=(),
        )
        step = (event.simulate(run, precision="double").weights - w) / (200 * 1e-6)
        errors.append(float(np.linalg.norm(step - rate_update) / np.linalg.norm(rate_update)))
    # Four times the average halves to quarters the error; a flipped sign leaves one of order 1.
    closer = errors[1] < 0.6 * errors[0] and errors[2] < 0.6 * errors[1] and errors[2] < 0.1
    assert closer == (decay_sign > 0)


@pytest.mark.statistical
def test_the_log_prior_finds_the_share_of_spikes() -> None:
    """Its fixed point is e^b = E[n_k]/E[N]; in π = e^b the rule is π ← π + η_s (n_k − π N).

    One sample shown again and again at τ so high that u does not matter much: b and y then agree
    where e^(u_k/τ) is common. Units of equal weights make it so.
    """
    base = frozen("feedback", 1)
    n_samples, eta_b = 300, 0.05
    run = replace(
        base,
        samples=np.repeat(base.samples, n_samples, axis=0),
        weights=np.repeat(base.weights[:1], 4, axis=0),
        log_prior=np.log([0.7, 0.4, 0.2, 0.1]),  # sums to 1.4
        learning_rates=np.zeros(n_samples),
        prior_learning_rates=np.full(n_samples, eta_b),
        probes=(),
    )
    result = event.simulate(run)
    learned = np.exp(result.log_prior)
    # Σπ relaxes to 1 by e^(−η_b N/r) per sample: e^(−15). Its noise is of second order,
    # η_s N/(2π) per spike for the rarest unit: 0.05/100/2/0.1 · K < 0.01.
    assert learned.sum() == pytest.approx(1.0, abs=0.02)
    # Equal drives leave the shares where they were, apart from a random walk:
    # variance Σ η_s² N π (1 − π) < 300 · 20 · 5 · 1.5 · (0.05/100)² · 0.25 = 0.003.
    assert np.abs(learned - np.array([0.5, 2 / 7, 1 / 7, 1 / 14])).max() < 5 * math.sqrt(0.003)
    assert np.abs(learned - 0.25).max() > 0.1
