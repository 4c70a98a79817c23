"""The ladder accepts what is right and names what is wrong: faults are planted in a rung."""

from __future__ import annotations

import importlib.util
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multinomial

from softhebb_spiking import load_dataset
from softhebb_spiking.backends import (
    _event_exact,
    _event_fixed,
    _event_fixed_kernel,
    _event_fixed_learning,
    _event_float,
    _event_stepwise,
    event,
)
from softhebb_spiking.params import FixedPointParams
from softhebb_spiking.verification import Check, integers, verify
from softhebb_spiking.verification._plan import Sizes
from softhebb_spiking.verification._statistics import match_units, sampling_floor, total_variation
from softhebb_spiking.verification.ladder import run_all

SMALL = Sizes(
    n_units=20,
    train=1437,
    posterior=20,
    slow_posterior=10,
    update_samples=10,
    update_repeats=50,
    slow_repeats=1,
    convergence_repeats=300,
    learning_units=10,
    learning_samples=300,
    budget_train=100,
    budget_repeats=1,
)


def _verify(rung, simulate, sizes=SMALL):
    data = load_dataset("digits")
    simulators = {"event": event.simulate, rung: simulate}
    return verify(data, rungs=tuple(simulators), sizes=sizes, simulators=simulators)


def _failed(found, rung):
    assert not found.passed
    return {check.name for check in found.checks if not check.passed and rung in check.rungs}


def _load(monkeypatch, tmp_path: Path, name: str, source: str):
    path = tmp_path / f"{name}.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def _mutant(monkeypatch, tmp_path: Path, chain, right: str, wrong: str):
    """Return a second event rung, from copies of its modules with one piece replaced."""
    sources = [Path(module.__file__).read_text(encoding="utf-8") for module in chain]
    assert sum(source.count(right) for source in sources) == 1
    names = {f"{module.__name__} import": f"mutant_{i} import" for i, module in enumerate(chain)}
    for i, source in enumerate(sources):
        for name, copy in names.items():
            source = source.replace(name, copy)
        rung = _load(monkeypatch, tmp_path, f"mutant_{i}", source.replace(right, wrong))
    return rung.simulate


FLOAT_CHAIN = _event_exact, _event_stepwise, _event_float, event
INTEGER_CHAIN = _event_fixed_learning, _event_fixed_kernel, _event_fixed, event


def doubled_learning_rate(run):
    return event.simulate(replace(run, learning_rates=2 * run.learning_rates))


def without_inhibition(run):
    return event.simulate(
        replace(run, network=replace(run.network, inhibition="feedback", inhibition_gain=1e-12))
    )


def psp_too_high(run):
    return event.simulate(replace(run, samples=1.2 * run.samples))


def test_a_second_right_rung_passes():
    found = _verify("twin", event.simulate)
    failed = [(check.name, check.value, check.bound) for check in found.checks if not check.passed]
    assert failed == []


def test_flipped_decay_sign_is_named(monkeypatch, tmp_path):
    simulate = _mutant(
        monkeypatch,
        tmp_path,
        FLOAT_CHAIN,
        "k, 1.0 - eta * u[k])",
        "k, 1.0 + eta * u[k])",
    )
    with np.errstate(all="ignore"):  # without the decay the weights diverge
        failed = _failed(_verify("mutant", simulate), "mutant")
    assert {"clamped/weights", "expected update/direction, feedback", "Bayes/norms"} <= failed
    assert not {"clamped/psp", "clamped/log_prior", "posterior/total variation"} & failed


def test_doubled_learning_rate_is_named():
    failed = _failed(_verify("mutant", doubled_learning_rate), "mutant")
    assert {"clamped/weights", "expected update/slope per spike, exact"} <= failed
    assert not {"clamped/psp", "expected update/direction, exact"} & failed
    assert not any(name.startswith("posterior/") for name in failed)


def test_missing_inhibition_is_named():
    with np.errstate(all="ignore"):  # hundreds of times the nominal number of output spikes
        failed = _failed(_verify("mutant", without_inhibition), "mutant")
    assert {"posterior/total variation", "posterior/no saturated population"} <= failed
    assert "clamped/inhibition" in failed
    assert not {"clamped/weights", "clamped/drive", "clamped/psp"} & failed


def test_wrong_psp_scale_is_named():
    failed = _failed(_verify("mutant", psp_too_high), "mutant")
    assert {"clamped/psp", "clamped/drive", "posterior/drive"} <= failed
    assert not {"clamped/inhibition", "posterior/log-ratio slope"} & failed


def test_the_rung_in_integers_passes():
    # Its updates are few and large: it takes more of them to see their mean.
    found = _verify("fixed", integers.simulate, replace(SMALL, update_repeats=300))
    failed = [(check.name, check.value, check.bound) for check in found.checks if not check.passed]
    assert failed == []
    assert {"error budget", "clamped", "posterior"} <= {
        check.name.split("/")[0] for check in found.checks if "fixed" in check.rungs
    }


INTEGER_FAULTS = {
    "sign of the decay": (
        "np.int32(-drop * w)",
        "np.int32(drop * w)",
        {"clamped/weights", "Bayes/norms"},
        {"clamped/psp", "posterior/total variation"},
    ),
    "decay of the traces": (
        "np.int32(noise[i] << 4)) >> 12",
        "np.int32(noise[i] << 4)) >> 13",
        {"clamped/psp", "expected update/slope per spike, exact"},
        {"posterior/drive", "posterior/total variation"},
    ),
    "payload": (
        "factor = np.int32(payload)",
        "factor = np.int32(payload + payload // 2)",
        {"clamped/drive", "posterior/drive"},
        {"clamped/psp", "clamped/inhibition", "posterior/log-ratio slope"},
    ),
    "temperature": (
        "shift_right(product, shift)",
        "shift_right(product, np.int32(shift + 1))",
        {"posterior/log-ratio slope", "posterior/total variation"},
        {"clamped/weights", "clamped/drive", "posterior/drive"},
    ),
}


@pytest.mark.parametrize("fault", INTEGER_FAULTS)
def test_a_fault_in_the_integers_is_named(monkeypatch, tmp_path, fault):
    right, wrong, named, not_named = INTEGER_FAULTS[fault]
    mutant = _mutant(monkeypatch, tmp_path, INTEGER_CHAIN, right, wrong)

    def simulate(run):
        return mutant(replace(run, fixed=run.fixed or FixedPointParams()))

    failed = _failed(_verify("fixed", simulate), "fixed")
    assert named <= failed
    assert not not_named & failed


def test_diverged_numbers_are_named():
    def diverging(run):
        return replace(event.simulate(run), weights=np.full(run.weights.shape, np.nan))

    assert {"state/finite", "clamped/weights"} <= _failed(_verify("mutant", diverging), "mutant")


@pytest.mark.brian2
def test_a_fault_in_an_equation_of_brian2_is_named(monkeypatch):
    brian2 = pytest.importorskip("softhebb_spiking.backends.brian2")
    monkeypatch.setattr(brian2, "PLASTICITY", brian2.PLASTICITY.replace("- u_post*w", "+ u_post*w"))
    with np.errstate(all="ignore"):  # without the decay the weights diverge
        failed = _failed(_verify("brian2", brian2.simulate), "brian2")
    assert {"clamped/weights", "Bayes/norms"} <= failed
    assert "clamped/psp" not in failed


def test_nan_never_passes():
    check = Check(
        name="a", rungs=("event",), statistic="s", value=math.nan, high=1.0, bound_from="b"
    )
    assert not check.passed
    assert check.as_dict()["value"] is None


@pytest.mark.parametrize(
    ("value", "low", "high", "passed"),
    [(1.0, 0.0, 1.0, True), (1.1, 0.0, 1.0, False), (-0.1, 0.0, None, False), (5, None, 6, True)],
)
def test_bounds_of_a_check(value, low, high, passed):
    check = Check(
        name="a", rungs=("event",), statistic="s", value=value, low=low, high=high, bound_from="b"
    )
    assert check.passed is passed


def test_sampling_floor_is_the_mean_distance_of_multinomial_draws():
    y, n_spikes, n_draws = np.array([0.7, 0.2, 0.07, 0.03]), 37, 40_000
    draws = multinomial.rvs(n_spikes, y, size=n_draws, random_state=0)
    distances = total_variation(draws / n_spikes, y)
    # 4.5 standard errors: false alarms 7e-6.
    error = 4.5 * distances.std() / math.sqrt(n_draws)
    floor = sampling_floor(y[np.newaxis], np.array([n_spikes]))[0]
    assert floor == pytest.approx(distances.mean(), abs=error)


def test_matching_undoes_a_permutation():
    generator = np.random.default_rng(0)
    reference = generator.uniform(size=(6, 9))
    permutation = generator.permutation(6)
    order, cosines = match_units(reference[permutation], reference)
    np.testing.assert_array_equal(permutation[order], np.arange(6))
    np.testing.assert_allclose(cosines, 1.0, rtol=1e-12)


def test_a_failing_rung_stops_the_climb():
    def broken(run):
        raise RuntimeError("this rung is broken")

    with pytest.raises(RuntimeError, match="this rung is broken"):
        run_all({("x", "broken"): None, ("x", "fine"): None}, {"broken": broken, "fine": abs})


@pytest.mark.parametrize("rungs", [(), ("event", "event"), ("loihi",)])
def test_unknown_or_repeated_rungs_are_refused(rungs):
    with pytest.raises(ValueError, match="rungs must"):
        verify(load_dataset("digits"), rungs=rungs)
