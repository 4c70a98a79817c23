"""What a network and a run accept, and what the refusals say."""

import dataclasses
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from softhebb_spiking import NetworkParams, validation
from softhebb_spiking.params import Run, RunResult, network_field_names


def refusal(error: type[Exception], call: Callable[[], Any]) -> str:
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


def test_defaults_and_steps() -> None:
    net = NetworkParams(n_features=3, n_units=2)
    assert (net.settle_steps, net.n_steps, net.presentation_steps) == (20, 50, 70)
    assert network_field_names()[:2] == ("n_features", "n_units")
    assert set(network_field_names()) == set(vars(net))


def test_params_are_frozen_and_named() -> None:
    net = NetworkParams(n_features=3, n_units=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        net.n_units = 4  # type: ignore[misc]
    with pytest.raises(TypeError, match="positional"):
        NetworkParams(3, 2)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "error", "fragments"),
    [
        ({"n_features": 0}, ValueError, ("n_features", ">= 1", "got 0")),
        ({"n_units": 0}, ValueError, ("n_units", ">= 1", "got 0")),
        ({"n_units": 2.5}, TypeError, ("n_units", "integer", "2.5")),
        ({"n_units": True}, TypeError, ("n_units", "integer", "True")),
        ({"temperature": 0}, ValueError, ("temperature", "[1e-09, inf)", "got 0.0")),
        ({"temperature": -1.0}, ValueError, ("temperature", "[1e-09, inf)", "got -1.0")),
        ({"temperature": math.nan}, ValueError, ("temperature", "finite", "nan")),
        ({"temperature": math.inf}, ValueError, ("temperature", "finite", "inf")),
        ({"temperature": None}, TypeError, ("temperature", "real number", "None")),
        ({"inhibition": "loose"}, ValueError, ("inhibition", "'feedback'", "'exact'", "'loose'")),
        ({"inhibition": 3}, ValueError, ("inhibition", "'graded'", "got 3")),
        ({"inhibition_gain": 0.0}, ValueError, ("inhibition_gain", "(0, 2]", "0.0")),
        ({"inhibition_gain": 2.1}, ValueError, ("inhibition_gain", "(0, 2]", "2.1")),
        ({"population_size": 1025}, ValueError, ("population_size", "[1, 1024]", "1025")),
        ({"total_rate": 0.0}, ValueError, ("total_rate", "(0, inf)", "0.0")),
        (
            {"total_rate": 32},
            ValueError,
            ("total_rate=32", "population_size=32", "smaller", "Raise population_size"),
        ),
        ({"n_steps": 0}, ValueError, ("n_steps", "[1, 1000000]", "got 0")),
        ({"n_steps": 10**6 + 1}, ValueError, ("n_steps", "1000000", "1000001")),
        ({"temperature": 0.9e-9}, ValueError, ("temperature", "[1e-09, inf)")),
        ({"settle_steps": 10**6 + 1}, ValueError, ("settle_steps", "1000000", "1000001")),
        ({"psp_tau_ms": 1.01e6}, ValueError, ("psp_tau_ms", "1e-12 to 1e+06 times dt_ms")),
        ({"dt_ms": 1e-320}, ValueError, ("psp_tau_ms=10", "dt_ms=9.99989e-321")),
        ({"dt_ms": 1.01e13}, ValueError, ("psp_tau_ms=10", "dt_ms=1.01e+13")),
        ({"settle_steps": -1}, ValueError, ("settle_steps", "[0, 1000000]", "got -1")),
        ({"dt_ms": 0.0}, ValueError, ("dt_ms", "(0, inf)", "0.0")),
        ({"max_probability": 0.0}, ValueError, ("max_probability", "(0, 1]", "0.0")),
        ({"max_probability": 1.01}, ValueError, ("max_probability", "(0, 1]", "1.01")),
        ({"max_probability": "0.3"}, TypeError, ("max_probability", "real number", "'0.3'")),
        ({"psp_tau_ms": -3.0}, ValueError, ("psp_tau_ms", "(0, inf)", "-3.0")),
    ],
)
def test_bad_parameters(
    changes: dict[str, Any], error: type[Exception], fragments: tuple[str, ...]
) -> None:
    message = refusal(error, lambda: NetworkParams(**({"n_features": 3, "n_units": 2} | changes)))
    for fragment in fragments:
        assert fragment in message


@pytest.mark.parametrize(
    "changes",
    [
        {"max_probability": 1.0},
        {"max_probability": 1},
        {"settle_steps": 0},
        {"temperature": 1e-9},
        {"n_steps": 10**6, "settle_steps": 10**6},
        {"psp_tau_ms": 1e6},
        {"dt_ms": 9.9e12},
        {"population_size": 1024},
        {"population_size": np.int32(16)},
        {"temperature": np.float32(0.5)},
        {"temperature": Fraction(1, 3)},
        {"inhibition_gain": 2.0},
        {"total_rate": 31.99},
        {"n_features": 1, "n_units": 1, "n_steps": 1},
    ],
    ids=str,
)
def test_the_ends_of_the_ranges_are_accepted(changes: dict[str, Any]) -> None:
    NetworkParams(**({"n_features": 3, "n_units": 2} | changes))


# --- runs --------------------------------------------------------------------------------------

ROW = [0, 0, 0]


def test_a_run_checks_every_shape(clamped_run: Callable[..., Run]) -> None:
    run = clamped_run(0)  # 4 samples, 7 features, 3 units
    wrong = {
        "samples": (np.ones((4, 6)), "(4, 7)", "(4, 6)"),
        "weights": (np.ones((7, 3)), "(3, 7)", "(7, 3)"),
        "log_prior": (np.zeros((3, 1)), "(3,)", "(3, 1)"),
        "learning_rates": (np.zeros(5), "(4,)", "(5,)"),
        "prior_learning_rates": (np.zeros(3), "(4,)", "(3,)"),
    }
    for name, (value, expected, came) in wrong.items():
        message = refusal(ValueError, lambda n=name, v=value: dataclasses.replace(run, **{n: v}))
        assert f"{name} must have shape {expected}, got {came}." in message


@pytest.mark.parametrize("name", ["input_spikes", "output_spikes"])
@pytest.mark.parametrize(
    ("rows", "fragments"),
    [
        ([[0, 0]], ("integer array of shape (n_spikes, 3)", "(sample, step, index)", "(1, 2)")),
        ([0, 0, 0], ("shape (n_spikes, 3)", "got shape (3,)")),
        ([[0.0, 1.0, 2.0]], ("integer array", "float64")),
        (np.ones((2, 3), bool), ("integer array", "bool")),
        ([ROW, [4, 0, 0]], ("[1] = [4, 0, 0]", "outside (sample, step, index) < [4, 13,")),
        ([ROW, [0, 13, 0]], ("[1] = [0, 13, 0]", "settling included")),
        ([[0, 0, 99]], ("[0] = [0, 0, 99]", "< [4, 13,")),
        ([[0, -1, 0]], ("[0] = [0, -1, 0]", "outside")),
    ],
    ids=str,
)
def test_bad_spikes(
    clamped_run: Callable[..., Run], name: str, rows: Any, fragments: tuple[str, ...]
) -> None:
    run = clamped_run(0)
    message = refusal(ValueError, lambda: dataclasses.replace(run, **{name: rows}))
    assert message.startswith(name)
    for fragment in fragments:
        assert fragment in message


def test_more_spikes_than_there_are_neurons(clamped_run: Callable[..., Run]) -> None:
    """An input fires once in a step, a population at most M = 16 times."""
    run = clamped_run(0)
    dataclasses.replace(run, output_spikes=[ROW] * 16)
    message = refusal(ValueError, lambda: dataclasses.replace(run, output_spikes=[ROW] * 17))
    assert "output_spikes" in message
    assert "16" in message
    message = refusal(ValueError, lambda: dataclasses.replace(run, input_spikes=[ROW, ROW]))
    assert "input_spikes" in message


def test_spikes_are_sorted_and_copied(clamped_run: Callable[..., Run]) -> None:
    rows = np.array([[1, 2, 0], [0, 5, 2], [0, 5, 1], [1, 0, 2]], np.int32)
    before = rows.copy()
    run = dataclasses.replace(clamped_run(0), output_spikes=rows)
    assert run.output_spikes is not None
    assert run.output_spikes.tolist() == [[0, 5, 1], [0, 5, 2], [1, 0, 2], [1, 2, 0]]
    assert run.output_spikes.dtype == np.int64
    np.testing.assert_array_equal(rows, before)
    empty = dataclasses.replace(run, output_spikes=np.empty((0, 3), int))
    assert empty.output_spikes is not None
    assert empty.output_spikes.shape == (0, 3)


def test_unknown_probe(clamped_run: Callable[..., Run]) -> None:
    message = refusal(ValueError, lambda: dataclasses.replace(clamped_run(0), probes=("voltage",)))
    for fragment in ("probes", "'drive'", "'inhibition'", "'psp'", "'voltage'"):
        assert fragment in message


def test_a_run_knows_whether_it_learns(clamped_run: Callable[..., Run]) -> None:
    run = clamped_run(0, learning_rate=0.0, prior_learning_rate=0.0)
    assert not run.learn
    assert dataclasses.replace(run, learning_rates=np.array([0, 0, 0, 0.1])).learn
    assert dataclasses.replace(run, prior_learning_rates=np.array([0, 0.1, 0, 0])).learn


def test_a_result_needs_no_spikes() -> None:
    result = RunResult(spike_counts=np.ones((1, 2), int), weights=np.eye(2), log_prior=np.zeros(2))
    assert result.input_spikes.shape == result.output_spikes.shape == (0, 3)
    assert result.probes == {}


# --- checks ------------------------------------------------------------------------------------


def test_check_real_states_its_range() -> None:
    check = validation.check_real
    assert check("q", 1, 0.0, 1.0) == 1.0
    assert check("q", 0, 0.0, 1.0) == 0.0
    assert "[0, 1], got 1.5" in refusal(ValueError, lambda: check("q", 1.5, 0.0, 1.0))
    assert "(0, 1], got 0" in refusal(ValueError, lambda: check("q", 0, 0.0, 1.0, low_open=True))
    assert "(-inf, inf), got nan" in refusal(ValueError, lambda: check("q", math.nan))
    assert "'1' of type str" in refusal(TypeError, lambda: check("q", "1"))
    assert "True of type bool" in refusal(TypeError, lambda: check("q", True))


def test_check_integer_states_its_range() -> None:
    check = validation.check_integer
    assert check("q", np.uint8(3), 1, 3) == 3
    assert type(check("q", np.uint8(3), 1, 3)) is int
    assert ">= 1, got 0" in refusal(ValueError, lambda: check("q", 0, 1))
    assert "in [1, 3], got 4" in refusal(ValueError, lambda: check("q", 4, 1, 3))
    assert "3.0 of type float" in refusal(TypeError, lambda: check("q", 3.0, 1))


def test_bad_sample_matrices(
    bad_samples: tuple[Any, type[Exception], tuple[str, ...]],
) -> None:
    X, error, fragments = bad_samples
    message = refusal(error, lambda: validation.unit_norm_samples(X))
    for fragment in fragments:
        assert fragment in message


def test_sparse_and_wrong_width() -> None:
    message = refusal(TypeError, lambda: validation.unit_norm_samples(csr_matrix(np.eye(2))))
    assert "X is a sparse matrix" in message
    assert "X.toarray()" in message
    message = refusal(ValueError, lambda: validation.unit_norm_samples(np.ones((1, 3)), 4))
    assert "X has 3 features" in message
    assert "built for 4 features" in message


@given(
    st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=8).filter(any),
    st.sampled_from([1e-290, 1e-160, 1.0, 1e160, 1e300]),
)
def test_samples_of_any_size_become_unit_vectors(row: list[float], size: float) -> None:
    if size * max(row) == 0.0:
        return
    with np.errstate(under="ignore"):
        x = validation.unit_norm_samples([[size * value for value in row]])
    # One rounding for each of two divisions, half as many as there are features for the norm.
    assert np.linalg.norm(x) == pytest.approx(1.0, abs=2e-15)
    assert (x >= 0).all()


def test_integers_and_booleans_are_samples() -> None:
    for dtype in (np.uint8, np.int64, np.float32, bool):
        x = validation.unit_norm_samples(np.array([[1, 0, 1]], dtype))
        assert x.dtype == np.float64
        np.testing.assert_allclose(x, [[math.sqrt(0.5), 0, math.sqrt(0.5)]], rtol=1e-15)


def test_samples_are_copied() -> None:
    X = np.array([[3.0, 4.0]])
    validation.unit_norm_samples(X)[0, 0] = 9.0
    np.testing.assert_array_equal(X, [[3.0, 4.0]])


def test_generators() -> None:
    generator = np.random.default_rng(3)
    assert validation.as_generator(generator) is generator
    assert validation.as_generator(3).random() == np.random.default_rng(3).random()
    legacy = [validation.as_generator(np.random.RandomState(1)).random() for _ in range(2)]
    assert legacy[0] == legacy[1]
    assert validation.as_generator(None).random() != validation.as_generator(None).random()
    assert "random_state" in refusal(ValueError, lambda: validation.as_generator(-1))
    assert "random_state" in refusal(TypeError, lambda: validation.as_generator("seed"))
