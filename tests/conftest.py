"""Shared by all tests: errors of arithmetic are errors, and a naive oracle of docs/model.md."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from softhebb_spiking.params import PROBES, NetworkParams, Run


@pytest.fixture(autouse=True)
def _arithmetic_errors_raise() -> Iterator[None]:
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        yield


@dataclass(frozen=True)
class OracleResult:
    """What a clamped run must give.

    `rates` are the ρ_k of every step, settling included; the probes cover the steps read.
    """

    weights: NDArray[np.float64]
    log_prior: NDArray[np.float64]
    spike_counts: NDArray[np.int64]
    drive: NDArray[np.float64]
    inhibition: NDArray[np.float64]
    psp: NDArray[np.float64]
    rates: NDArray[np.float64]


def _run_oracle(
    run: Run,
    *,
    decay_sign: float = -1.0,
    eta_scale: float = 1.0,
    psp_scale: float = 1.0,
    prior_scale: float = 1.0,
    trend_scale: float = 1.0,
    synapse_delay: int = 1,
) -> OracleResult:
    """Run docs/model.md with the given spikes of `run`, point by point, one number at a time.

    The keywords plant a fault each: sign of the weight decay, scale of η, of the PSP, of η_b and
    of the pool's trend v, and steps that a synapse takes (0 or 1).
    """
    net = run.network
    K, n, steps = net.n_units, net.n_features, net.settle_steps + net.n_steps
    tau, r, M = net.temperature, net.total_rate, net.population_size
    assert run.input_spikes is not None
    assert run.output_spikes is not None
    fired = {tuple(row) for row in run.input_spikes.tolist()}
    emitted = Counter(tuple(row) for row in run.output_spikes.tolist())
    w = [[float(value) for value in row] for row in run.weights]
    b = [float(value) for value in run.log_prior]
    shape = (len(run.samples), net.n_steps)
    drive, inhibition, psp = np.zeros((*shape, K)), np.zeros(shape), np.zeros((*shape, n))
    spike_counts = np.zeros((len(run.samples), K), np.int64)
    rates = np.zeros((len(run.samples), steps, K))

    d = math.exp(-net.dt_ms / net.psp_tau_ms)
    rise = sum(1 - d ** (j + 1) for j in range(net.settle_steps, steps)) / net.n_steps
    for m, x in enumerate(run.samples):
        g = psp_scale * max(x) * (1 - d) / (net.max_probability * rise)
        eta = eta_scale * run.learning_rates[m] / (r * net.n_steps)
        eta_b = prior_scale * run.prior_learning_rates[m] / (r * net.n_steps)
        u, a, s, h, v = [0.0] * K, [0.0] * K, [0.0] * n, 0.0, 0.0
        for j in range(steps):
            now = {i for i in range(n) if (m, j, i) in fired}
            # 1. Dendrite
            if synapse_delay == 0:
                a = [g * sum(w[k][i] for i in now) for k in range(K)]
            u = [d * u[k] + a[k] for k in range(K)]
            # 2. Inhibition
            z = [u[k] / tau + b[k] for k in range(K)]
            log_sum = max(z) + math.log(math.fsum(math.exp(value - max(z)) for value in z))
            if net.inhibition == "exact":
                h = log_sum
            # 3. Output spikes
            rates[m, j] = [min(1.0, r / M * math.exp(min(z[k] - h, 700.0))) for k in range(K)]
            n_k = [emitted[m, j, k] for k in range(K)]
            N = sum(n_k)
            # 4. Input spikes
            s = [d * s[i] + (g if i in now else 0.0) for i in range(n)]
            a = [g * sum(w[k][i] for i in now) for k in range(K)]
            if j >= net.settle_steps:
                read = j - net.settle_steps
                drive[m, read], inhibition[m, read], psp[m, read] = u, h, s
                spike_counts[m] += n_k
                # 5. Learning
                for k in range(K):
                    if n_k[k]:
                        step = [s[i] + decay_sign * u[k] * w[k][i] for i in range(n)]
                        w[k] = [w[k][i] + eta * n_k[k] * step[i] for i in range(n)]
                    b[k] = min(0.0, b[k] + eta_b * ((n_k[k] and n_k[k] * math.exp(-b[k])) - N))
            # 6. Pool; the graded messages are the log intensities of point 3
            if net.inhibition == "feedback":
                e = net.inhibition_gain * math.log((N + 0.5) / (r + 0.5))
            else:
                e = log_sum - h
            if net.inhibition != "exact":
                v = d * v + (1 - d) * e
                h = h + e + trend_scale * v
    return OracleResult(np.array(w), np.array(b), spike_counts, drive, inhibition, psp, rates)


@pytest.fixture(scope="session")
def oracle() -> Callable[..., OracleResult]:
    """The function `oracle(run, **faults)` for runs with input and output spikes."""
    return _run_oracle


# No run is drawn with the default seed: its spikes would repeat the draws of its samples.
def _clamp(run: Run, seed: int | np.random.Generator = 7) -> Run:
    """Return the run with random spikes given, several of a population in a step among them."""
    rng = np.random.default_rng(seed)
    net = run.network
    shape = (len(run.samples), net.presentation_steps)
    fired = rng.random((*shape, net.n_features)) < 0.3
    counts = np.minimum(rng.poisson(1.0, (*shape, net.n_units)), net.population_size)
    rows = np.argwhere(counts)
    rows = np.repeat(rows, counts[tuple(rows.T)], axis=0)
    return replace(run, input_spikes=np.argwhere(fired), output_spikes=rows)


@pytest.fixture(scope="session")
def clamp() -> Callable[..., Run]:
    """The function `clamp(run, seed)` that gives a run random spikes."""
    return _clamp


def _clamped_run(
    seed: int = 0,
    *,
    n_samples: int = 4,
    n_features: int = 7,
    n_units: int = 3,
    learning_rate: float = 0.5,
    prior_learning_rate: float = 0.1,
    **network: Any,
) -> Run:
    """Return a small run with random spikes given."""
    rng = np.random.default_rng(seed)
    options: dict[str, Any] = {
        "temperature": 0.1,
        "population_size": 16,
        "total_rate": 3.0,
        "n_steps": 9,
        "settle_steps": 4,
        "psp_tau_ms": 5.0,
    }
    net = NetworkParams(n_features=n_features, n_units=n_units, **(options | network))
    samples = rng.random((n_samples, n_features)) + 0.01
    weights = rng.random((n_units, n_features)) + 0.01
    run = Run(
        network=net,
        samples=samples / np.linalg.norm(samples, axis=1, keepdims=True),
        weights=weights / np.linalg.norm(weights, axis=1, keepdims=True),
        log_prior=np.log(rng.dirichlet(np.full(n_units, 5.0))),
        learning_rates=np.linspace(learning_rate, 0.5 * learning_rate, n_samples),
        prior_learning_rates=np.full(n_samples, prior_learning_rate),
        probes=PROBES,
    )
    return _clamp(run, rng)


@pytest.fixture(scope="session")
def clamped_run() -> Callable[..., Run]:
    """The function `clamped_run(seed, **changes)`; changes go to the network or its sizes."""
    return _clamped_run


@pytest.fixture(scope="session")
def free() -> Callable[..., Run]:
    """The function that takes the given spikes out of a run, and replaces fields of it."""

    def without_spikes(run: Run, **changes: Any) -> Run:
        return replace(run, **({"input_spikes": None, "output_spikes": None} | changes))

    return without_spikes


GOOD_ROW = [0.5, 1.0, 0.0, 2.0]
# What is passed, the error, and what its message must name: parameter, value, range or way out.
BAD_SAMPLES: dict[str, tuple[Any, type[Exception], tuple[str, ...]]] = {
    "nan": (
        [GOOD_ROW, [0.5, 1.0, np.nan, 2.0]],
        ValueError,
        ("X must be finite", "nan", "row 1, feature 2", "Remove or impute"),
    ),
    "infinite": (
        [[np.inf, 1.0, 0.0, 2.0]],
        ValueError,
        ("X must be finite", "inf", "row 0, feature 0", "Remove or impute"),
    ),
    "negative": (
        [GOOD_ROW, [0.5, -0.25, 0.0, 2.0]],
        ValueError,
        ("X must be non-negative", "-0.25", "row 1, feature 1", "on and an off channel"),
    ),
    "all zero": (
        [GOOD_ROW, GOOD_ROW, [0.0, 0.0, 0.0, 0.0]],
        ValueError,
        ("all-zero row", "row 2", "Remove such rows"),
    ),
    "strings": ([["a", "b", "c", "d"]], TypeError, ("X must hold real numbers", "<U1", "float")),
    "complex": ([[1j, 1.0, 0.0, 2.0]], ValueError, ("Complex data", "X must hold real numbers")),
    "objects": ([[{}, 1.0, 0.0, 2.0]], TypeError, ("at [0, 0]", "number, not 'dict'")),
    "missing": ([[None, 1.0, 0.0, 2.0]], ValueError, ("X must be finite", "row 0, feature 0")),
    "no rows": (np.empty((0, 4)), ValueError, ("X is empty", "(0, 4)", "at least one row")),
    "no features": (np.empty((4, 0)), ValueError, ("X is empty", "(4, 0)", "one feature")),
    "one dimension": (
        GOOD_ROW,
        ValueError,
        ("X must have two dimensions", "(4,)", "X.reshape(1, -1)"),
    ),
    "three dimensions": (
        np.ones((2, 2, 2)),
        ValueError,
        ("X must have two dimensions", "(2, 2, 2)", "X.reshape(len(X), -1)"),
    ),
}


@pytest.fixture(params=BAD_SAMPLES.values(), ids=BAD_SAMPLES.keys())
def bad_samples(request: pytest.FixtureRequest) -> tuple[Any, type[Exception], tuple[str, ...]]:
    """Samples no estimator accepts, the error, and fragments of its message."""
    return request.param
