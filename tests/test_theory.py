"""The equations against formulas by hand, independent libraries, quadrature and gradients."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.special import gammaln, ive
from scipy.stats import vonmises_fisher

from softhebb_spiking import theory

EPS = np.finfo(float).eps
# Two-sided, a normal deviate exceeds 5 sigma with probability 5.7e-7; no test here compares more
# than 20 numbers, so fewer than 2 seeds in 100 000 fail one. The seeds are fixed.
K_SIGMA = 5.0

# (n, κ, log I_(n/2−1)(κ)), by mpmath: mp.dps = 40; log(besseli(mpf(n)/2 - 1, mpf(κ))).
LOG_BESSEL = [
    (1, 0.01, 2.0768437395160071295),
    (1, 1.0, 0.20798947783829975466),
    (1, 50.0, 47.125049964081254229),
    (1, 1000.0, 995.62718382730425873),
    (2, 0.01, 0.000024999843751736089773),
    (2, 1.0, 0.23591435850717864869),
    (2, 50.0, 47.127575501871804584),
    (2, 1000.0, 995.62730888986946467),
    (3, 0.01, -2.5283597790276616421),
    (3, 1.0, -0.064351991073531798753),
    (3, 50.0, 47.125049964081254229),
    (3, 1000.0, 995.62718382730425873),
    (50, 0.01, -181.94434519526521818),
    (50, 1.0, -71.410263653678902402),
    (50, 50.0, 41.418413984861472133),
    (50, 1000.0, 995.3391785968043617),
    (784, 0.01, -4018.3102516526654781),
    (784, 1.0, -2217.6880712405126998),
    (784, 50.0, -686.49654298698214734),
    (784, 1000.0, 920.08321784382790254),
    (10_000, 0.01, -64068.914831053985578),
    (10_000, 1.0, -41047.669021304517183),
    (10_000, 50.0, -21491.341068731350299),
    (10_000, 1000.0, -6466.047111412694256),
]


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def mixture(
    n_samples: int = 40, n_features: int = 5, n_units: int = 3, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return unit samples, unit weights and a normalised log prior."""
    rng = np.random.default_rng(seed)
    X = unit(rng.random((n_samples, n_features)))
    weights = unit(rng.random((n_units, n_features)))
    return X, weights, np.log(rng.dirichlet(np.full(n_units, 5.0)))


# --- posterior ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("u", "prior", "expected"),
    [
        ((0.0, 0.1 * math.log(2)), (0.5, 0.5), (1 / 3, 2 / 3)),
        ((0.0, 0.1 * math.log(2)), (0.75, 0.25), (0.6, 0.4)),
        ((0.3, 0.3, 0.3), (0.2, 0.3, 0.5), (0.2, 0.3, 0.5)),
        ((0.1 * math.log(6), 0.1 * math.log(3), 0.0), (1 / 3, 1 / 3, 1 / 3), (0.6, 0.3, 0.1)),
    ],
)
def test_posterior_by_hand(
    u: tuple[float, ...], prior: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    y = theory.posterior(np.array(u), np.log(prior), 0.1)
    # Exponents of a few nats, rounded to one ulp each.
    np.testing.assert_allclose(y, expected, rtol=16 * EPS)


@pytest.mark.parametrize("tau_scale", [1.0, 1.001])
def test_posterior_is_bayes_rule(tau_scale: float) -> None:
    X, weights, log_prior = mixture()
    tau = 0.05
    y = theory.posterior(theory.drive(X, weights), log_prior, tau_scale * tau)
    likelihood = np.exp(np.array([[w @ x for w in weights] for x in X]) / tau)
    joint = likelihood * np.exp(log_prior)
    expected = joint / joint.sum(axis=1, keepdims=True)
    # Exponents up to 1/τ = 20 are rounded to 20 EPS.
    agrees = np.allclose(y, expected, rtol=100 * EPS, atol=0.0)
    assert agrees == (tau_scale == 1.0)


@given(
    u=st.lists(st.floats(-1, 1), min_size=1, max_size=6),
    shift=st.floats(-100, 100),
    tau=st.floats(0.005, 10),
)
def test_posterior_is_a_distribution_and_ignores_a_common_shift(
    u: list[float], shift: float, tau: float
) -> None:
    drives, log_prior = np.array(u), np.linspace(-3, 0, len(u))
    y = theory.posterior(drives, log_prior, tau)
    assert y.sum() == pytest.approx(1.0, abs=len(u) * EPS)
    # u + shift is rounded to an ulp of |u| + |shift|, which the exponent divides by τ.
    rounding = 4 * EPS * (1 + abs(shift)) / tau + 16 * EPS
    shifted = theory.posterior(drives + shift, log_prior, tau)
    # Subnormal entries carry no relative precision.
    np.testing.assert_allclose(shifted, y, rtol=rounding, atol=1e-300)


def test_posterior_does_not_overflow() -> None:
    y = theory.posterior(np.array([1.0, 0.0, -1.0]), np.zeros(3), 1e-9)
    np.testing.assert_array_equal(y, [1.0, 0.0, 0.0])


# --- updates -----------------------------------------------------------------------------------


def test_updates_by_hand() -> None:
    X = np.array([[0.6, 0.8]])
    weights = np.array([[1.0, 0.0], [0.0, 2.0]])
    u = theory.drive(X, weights)
    np.testing.assert_allclose(u, [[0.6, 1.6]], rtol=4 * EPS)
    y = np.array([[0.25, 0.75]])
    # 0.25 (x − 0.6 w_0) = 0.25 (0, 0.8);  0.75 (x − 1.6 w_1) = 0.75 (0.6, −2.4)
    expected = [[0.0, 0.2], [0.45, -1.8]]
    np.testing.assert_allclose(theory.weight_update(X, u, y, weights), expected, atol=8 * EPS)
    # 0.25 · 2 − 1 = −0.5;  0.75 · 4 − 1 = 2
    prior_step = theory.log_prior_update(y, np.log([0.5, 0.25]))
    np.testing.assert_allclose(prior_step, [-0.5, 2.0], rtol=8 * EPS)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_updates_are_equivariant_under_permutation_and_add_up(seed: int) -> None:
    X, weights, log_prior = mixture(seed=seed)
    u = theory.drive(X, weights)
    y = theory.posterior(u, log_prior, 0.1)
    rng = np.random.default_rng(seed)
    features, units = rng.permutation(X.shape[1]), rng.permutation(len(weights))
    step = theory.weight_update(X, u, y, weights)
    permuted_weights = weights[units][:, features]
    permuted = theory.weight_update(X[:, features], u[:, units], y[:, units], permuted_weights)
    # Sums of 40 terms below 1, in any order.
    tolerance = 40 * 4 * EPS
    np.testing.assert_allclose(permuted, step[units][:, features], atol=tolerance)
    halves = [theory.weight_update(X[h], u[h], y[h], weights) for h in (slice(20), slice(20, None))]
    np.testing.assert_allclose(sum(halves), step, atol=tolerance)


def fixed_point(
    X: NDArray[np.float64], n_units: int, tau: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights and log prior at the fixed point that fixed-point iteration finds."""
    rng = np.random.default_rng(1)
    weights, log_prior = unit(rng.random((n_units, X.shape[1]))), np.full(n_units, -np.log(n_units))
    for _ in range(3000):
        joint = np.exp(X @ weights.T / tau + log_prior)
        y = joint / joint.sum(axis=1, keepdims=True)
        weights, log_prior = unit(y.T @ X), np.log(y.mean(axis=0))
    return weights, log_prior


@pytest.mark.parametrize("fault", ["none", "norm", "bias in the decay", "no decay", "prior"])
def test_expected_updates_vanish_at_the_fixed_point_only(fault: str) -> None:
    X, _, _ = mixture(n_samples=60)
    tau = 0.1
    weights, log_prior = fixed_point(X, 3, tau)
    if fault == "norm":
        weights = 1.01 * weights
    if fault == "prior":
        log_prior = log_prior + np.array([0.01, -0.01, 0.0])
    u = theory.drive(X, weights)
    y = theory.posterior(u, log_prior, tau)
    decay_u = {"bias in the decay": u + tau * log_prior, "no decay": 0 * u}.get(fault, u)
    weight_step = theory.weight_update(X, decay_u, y, weights) / len(X)
    prior_step = theory.log_prior_update(y, log_prior) / len(X)
    # The iteration converges geometrically; what is left is the rounding of sums of 60 terms.
    vanishes = np.abs(weight_step).max() < 1e-12 and np.abs(prior_step).max() < 1e-12
    assert vanishes == (fault == "none")


def test_fixed_point_residual_measures_each_distance() -> None:
    X, _, _ = mixture(n_samples=60)
    weights, log_prior = fixed_point(X, 3, 0.1)
    residual = theory.fixed_point_residual(X, weights, log_prior, 0.1)
    for distance in residual:
        np.testing.assert_allclose(distance, 0.0, atol=1e-12)
    off = theory.fixed_point_residual(X, 1.25 * weights, np.log([0.5, 0.25, 0.25]), 0.1)
    np.testing.assert_allclose(off.norms, 0.25, rtol=8 * EPS)
    y = theory.posterior(1.25 * X @ weights.T, np.log([0.5, 0.25, 0.25]), 0.1).mean(axis=0)
    np.testing.assert_allclose(off.log_prior, [0.5, 0.25, 0.25] - y, atol=1e-13)
    # Along w a norm of 1.25 shrinks by E[y u (‖w‖ − 1/‖w‖)] / E[y] > 0.45 E[y u'] / E[y].
    assert off.weights.min() > 0.3


def test_fixed_point_residual_of_weights_by_hand() -> None:
    """Two units and two samples: ‖mean of y_k (x − u_k w_k)‖ / mean of y_k, a number at a time."""
    X, weights = [[1.0, 0.0], [0.6, 0.8]], [[0.9, 0.1], [0.2, 0.7]]
    scores = [
        [math.exp(sum(map(math.prod, zip(w, x, strict=True))) / 0.5) for w in weights] for x in X
    ]
    for k, w in enumerate(weights):
        step, responsibility = [0.0, 0.0], 0.0
        for x, row in zip(X, scores, strict=True):
            y, u = row[k] / sum(row), w[0] * x[0] + w[1] * x[1]
            step = [step[i] + y * (x[i] - u * w[i]) / 2 for i in (0, 1)]
            responsibility += y / 2
        residual = theory.fixed_point_residual(
            np.array(X), np.array(weights), np.log([0.5, 0.5]), 0.5
        )
        assert residual.weights[k] == pytest.approx(math.hypot(*step) / responsibility, rel=1e-12)


def test_a_dead_unit_does_not_overflow_the_log_prior() -> None:
    log_prior = np.array([0.0, -800.0])
    step = theory.log_prior_update(np.array([[1.0, 0.0]]), log_prior)
    np.testing.assert_array_equal(step, [0.0, -1.0])


@pytest.mark.parametrize("time", [0.01, 0.5, 5.0])
@pytest.mark.parametrize("rate_scale", [1.0, 1.01])
def test_log_prior_flow_solves_its_equation(time: float, rate_scale: float) -> None:
    mean_y, start = np.array([0.7, 0.29, 0.01]), np.log([0.2, 0.3, 0.5])
    solution = solve_ivp(
        lambda _, b: rate_scale * (mean_y * np.exp(-b) - 1),
        (0, time),
        start,
        rtol=1e-11,
        atol=1e-12,
    )
    flow = theory.log_prior_flow(mean_y, start, time)
    # 100 times what the integrator is asked for; the planted fault shifts b by 1e-3 and more.
    assert np.allclose(flow, solution.y[:, -1], rtol=0, atol=1e-9) == (rate_scale == 1.0)


def test_log_prior_flow_starts_as_the_update_and_ends_at_the_mean() -> None:
    mean_y, start = np.array([0.7, 0.3, 0.0]), np.log([0.2, 0.3, 0.5])
    step = theory.log_prior_flow(mean_y, start, 1e-6) - start
    first_order = 1e-6 * theory.log_prior_update(mean_y[np.newaxis], start)
    # The next order is (time · 2.5)² / 2.
    np.testing.assert_allclose(step, first_order, atol=1e-11)
    end = theory.log_prior_flow(mean_y, start, 1000.0)
    np.testing.assert_allclose(np.exp(end), mean_y, atol=1e-12)


# --- density -----------------------------------------------------------------------------------


def bessel_rounding(order: float, x: float) -> float:
    """Return the rounding error of log I: an ulp of each part of its largest term."""
    m = 0.5 * (math.hypot(order, x) - order)
    parts = abs((2 * m + order) * math.log(0.5 * x)) + abs(gammaln(m + 1))
    return 4 * EPS * (1 + parts + abs(gammaln(m + order + 1)))


@pytest.mark.parametrize(("n", "kappa", "expected"), LOG_BESSEL)
@pytest.mark.parametrize("fault", [0.0, 0.5])
def test_log_bessel_against_high_precision(
    n: int, kappa: float, expected: float, fault: float
) -> None:
    value = theory.log_bessel_i(0.5 * n - 1 + fault, kappa)
    assert (abs(value - expected) <= bessel_rounding(0.5 * n - 1, kappa)) == (fault == 0)


@pytest.mark.parametrize("order", [-0.5, 0.0, 0.5, 1.0, 7.5, 24.0, 100.0])
@pytest.mark.parametrize("x", [0.1, 1.0, 3.7, 40.0, 300.0, 2000.0])
def test_log_bessel_against_scipy(order: float, x: float) -> None:
    scaled = ive(order, x)
    assert scaled > 0.0
    # scipy states 1e-13 and better for ive.
    tolerance = bessel_rounding(order, x) + 1e-13
    assert theory.log_bessel_i(order, x) == pytest.approx(math.log(scaled) + x, abs=tolerance)


@pytest.mark.parametrize("kappa", [0.5, 3.0, 50.0])
def test_normalizer_in_closed_form(kappa: float) -> None:
    tolerance = {"rel": 0, "abs": 1e-12}  # logarithms of size 50, rounded some ten times
    one = theory.log_vmf_normalizer(1, kappa)
    assert one == pytest.approx(-math.log(2 * math.cosh(kappa)), **tolerance)
    three = theory.log_vmf_normalizer(3, kappa)
    assert three == pytest.approx(math.log(kappa / (4 * math.pi * math.sinh(kappa))), **tolerance)


WEIGHTS_2D = np.array([[1.3, 0.1], [-0.2, 0.5], [0.4, -0.4]])  # norms ≠ 1: directions count
WEIGHTS_3D = np.column_stack([WEIGHTS_2D, [0.3, 0.7, -0.1]])
LOG_PRIOR = np.log([0.5, 0.3, 0.4])  # sums to 1.2: is normalised


@pytest.mark.parametrize("kappa", [0.3, 5.0, 50.0])
def test_density_integrates_to_one(kappa: float) -> None:
    # The periodic trapezoidal and the Gauss–Legendre rule converge exponentially; at κ = 50 the
    # features are 0.14 wide, over 40 nodes. What is left is rounding, κ EPS in the exponent.
    angle = np.arange(2000) * (2 * np.pi / 2000)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    density = np.exp(theory.log_likelihood(circle, WEIGHTS_2D, LOG_PRIOR, 1 / kappa))
    assert density.mean() * 2 * np.pi == pytest.approx(1.0, abs=1e-11)

    cos, node_weight = np.polynomial.legendre.leggauss(120)
    angle = np.arange(240) * (2 * np.pi / 240)
    sin = np.sqrt(1 - cos**2)
    sphere = np.stack(
        [
            np.outer(sin, np.cos(angle)),
            np.outer(sin, np.sin(angle)),
            np.repeat(cos[:, np.newaxis], 240, axis=1),
        ],
        axis=-1,
    )
    log_density = theory.log_likelihood(sphere.reshape(-1, 3), WEIGHTS_3D, LOG_PRIOR, 1 / kappa)
    over_angle = np.exp(log_density).reshape(120, 240).mean(axis=1) * 2 * np.pi
    assert over_angle @ node_weight == pytest.approx(1.0, abs=1e-11)

    points = np.array([[1.0], [-1.0]])
    line = theory.log_likelihood(points, np.array([[2.0], [-1.0]]), np.log([0.3, 0.7]), 1 / kappa)
    assert np.exp(line).sum() == pytest.approx(1.0, abs=1e-13)


# At κ = 20, n = 784 scipy's normaliser underflows, which is why the package has its own.
@pytest.mark.parametrize(
    ("n", "kappa"), [(2, 20.0), (3, 20.0), (50, 20.0), (2, 100.0), (50, 100.0), (784, 100.0)]
)
def test_density_against_scipy(n: int, kappa: float) -> None:
    rng = np.random.default_rng(n)
    X, means = unit(rng.random((5, n))), unit(rng.random((2, n)))
    components = [vonmises_fisher(mean, kappa).logpdf(X) for mean in means]
    expected = np.logaddexp(np.log(0.3) + components[0], np.log(0.7) + components[1])
    found = theory.log_likelihood(X, means, np.log([0.3, 0.7]), 1 / kappa)
    # Terms up to 1e3 (n = 784) that cancel, rounded to 1e-13 each.
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert theory.cross_entropy(X, means, np.log([0.3, 0.7]), 1 / kappa) == pytest.approx(
        -expected.mean(), abs=1e-10
    )


@pytest.mark.parametrize("fault", ["none", "sign of the decay", "bias in the decay", "η doubled"])
def test_updates_are_the_gradient_of_the_log_likelihood(fault: str) -> None:
    """On the unit sphere ∂⟨log p⟩/∂w_k = E[Δw_k]/τ, and ∂⟨log p⟩/∂b_k = e^(b_k) E[Δb_k].

    Both are exact, not only up to a positive factor: the derivative of w/‖w‖ projects E[y x]/τ on
    the tangent, which takes off E[y u] w/τ.
    """
    X, weights, log_prior = mixture(seed=3)
    tau, width = 0.2, 1e-5

    def mean_log_likelihood(w: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float(theory.log_likelihood(X, w, b, tau).mean())

    def slope(w: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        upper = mean_log_likelihood(weights + width * w, log_prior + width * b)
        lower = mean_log_likelihood(weights - width * w, log_prior - width * b)
        return (upper - lower) / (2 * width)

    still_w, still_b = np.zeros_like(weights), np.zeros_like(log_prior)
    gradient = np.array(
        [slope(e.reshape(weights.shape), still_b) for e in np.eye(weights.size)]
    ).reshape(weights.shape)
    prior_gradient = np.array([slope(still_w, e) for e in np.eye(log_prior.size)])

    u = theory.drive(X, weights)
    y = theory.posterior(u, log_prior, tau)
    decay_u = {"sign of the decay": -u, "bias in the decay": u + tau * log_prior}.get(fault, u)
    update = theory.weight_update(X, decay_u, y, weights) / len(X)
    if fault == "η doubled":
        update = 2 * update
    # Central differences: third derivatives (≤ 1/τ³) times width² / 6, and rounding 1e-15 / width.
    tolerance = (1 / tau**3) * width**2 + 1e-15 / width * 10
    assert np.allclose(update / tau, gradient, rtol=0, atol=tolerance) == (fault == "none")
    prior_step = theory.log_prior_update(y, log_prior) / len(X)
    np.testing.assert_allclose(np.exp(log_prior) * prior_step, prior_gradient, atol=tolerance)


# --- sampling ----------------------------------------------------------------------------------


@pytest.mark.statistical
@pytest.mark.parametrize(("n", "kappa"), [(1, 0.7), (2, 3.0), (3, 10.0), (50, 100.0)])
@pytest.mark.parametrize("tau_scale", [1.0, 1.2])
def test_samples_have_the_mean_resultant_length(n: int, kappa: float, tau_scale: float) -> None:
    """w·x has mean A = I_(n/2)(κ) / I_(n/2−1)(κ) and variance A' = 1 − A² − (n−1) A/κ."""
    generator = np.random.default_rng(11)
    mean = unit(np.arange(1.0, n + 1))
    size = 40_000
    X = theory.sample_mixture(mean[np.newaxis], np.zeros(1), tau_scale / kappa, size, generator)
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1.0, rtol=1e-12)
    A = ive(0.5 * n, kappa) / ive(0.5 * n - 1, kappa)
    sigma = math.sqrt((1 - A**2 - (n - 1) * A / kappa) / size)
    deviation = abs(float((X @ mean).mean()) - A) / sigma
    # The planted temperature shifts A by more than 15 sigma in each case.
    assert (deviation < K_SIGMA) == (tau_scale == 1.0)


@pytest.mark.statistical
def test_samples_come_from_the_components_by_their_prior() -> None:
    prior, size = np.array([0.6, 0.3, 0.1]), 20_000
    generator = np.random.default_rng(2)
    X = theory.sample_mixture(np.eye(3), np.log(1.7 * prior), 0.005, size, generator)
    counts = np.bincount(X.argmax(axis=1), minlength=3)  # misread: below exp(−200 · 0.3)
    sigma = np.sqrt(size * prior * (1 - prior))
    assert (np.abs(counts - size * prior) < K_SIGMA * sigma).all()
    assert (np.abs(counts - size / 3) > K_SIGMA * sigma).any()


@pytest.mark.parametrize("n", [1, 4])
def test_the_generator_alone_decides_the_samples(n: int) -> None:
    weights = np.ones((2, n))
    one, same, other = (
        theory.sample_mixture(weights, np.zeros(2), 0.9, 50, np.random.default_rng(seed))
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_weight_without_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="weights of unit 1 are all zero"):
        theory.unit_rows(np.array([[1.0, 0.0], [0.0, 0.0]]))
