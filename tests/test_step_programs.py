"""The step programs of the documentation, run line by line against the models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softhebb_spiking import SpikingSoftHebb
from softhebb_spiking.deployment.step_programs import (
    PRIMITIVES,
    StepProgram,
    dendrite_program,
    encoder_program,
    inhibition_program,
    programs_page,
    soft_wta_program,
    step_programs,
    tables,
)
from softhebb_spiking.fixed_network import FixedNetwork, fixed_network
from softhebb_spiking.fixed_point import STATE
from softhebb_spiking.params import FixedPointParams, NetworkParams
from softhebb_spiking.philox import (
    COMPARE_STREAM,
    DOSE_STREAM,
    PAYLOAD_STREAM,
    PRIOR_STREAM,
    input_words,
    step_bytes,
    uniform_words,
)
from softhebb_spiking.processes.dendrite.models import PyDendriteModelFixed
from softhebb_spiking.processes.lateral_inhibition.models import PyLateralInhibitionModelFixed
from softhebb_spiking.processes.rate_encoder.models import PyRateEncoderModelFixed
from softhebb_spiking.processes.soft_wta.models import PySoftWTAModelFixed

pytestmark = pytest.mark.lava

DOCS = Path(__file__).resolve().parent.parent / "docs"
SEED = np.uint64(5)
N_UNITS, N_STEPS = 7, 120


class Port:
    """Stands in for a port: hands out what a test puts in, and keeps what a model sends."""

    def __init__(self) -> None:
        self.value: Any = None

    def recv(self) -> Any:
        return self.value

    def send(self, value: Any) -> None:
        self.value = np.array(value)


def make_fixed(inhibition: str = "feedback", epoch: int = 1) -> FixedNetwork:
    network = NetworkParams(
        n_features=11,
        n_units=N_UNITS,
        inhibition=inhibition,
        population_size=20,
        n_steps=15,
        settle_steps=4,
    )
    params = FixedPointParams(learning_epoch=epoch)
    return fixed_network(network, params, learning_rate=0.2)


def make_model(model: Any, fixed: FixedNetwork, **params: Any) -> Any:
    """A model as Lava would make it, with its ports replaced."""
    given = {
        "params": fixed.network,
        "fixed": fixed,
        "seed": int(SEED),
        "first_sample": 0,
        "record_to": None,
        "probes": (),
        "output_spikes": None,
        "input_spikes": None,
        "learning_rule": "given",
        "shape": (N_UNITS,),
    }
    made = model(given | params)
    names = ("a_in", "pool_in", "h_in", "s_in", "intensity_in", "count_in", "s_out")
    for name in (*names, "intensity_out", "pool_out", "h_out"):
        setattr(made, name, Port())
    for name in ("bap", "y1", "y2", "y3"):
        setattr(made, f"s_out_{name}", Port())
    made.y3 = np.zeros(N_UNITS, np.int32)
    return made


def run_program(program: StepProgram, fixed: FixedNetwork, names: dict[str, Any]) -> None:
    """Run the lines of a program on variables, which it changes."""
    scope: dict[str, Any] = tables(fixed)
    exec(PRIMITIVES, scope)
    names.update({name: scope[name] for name in scope if not name.startswith("__")})
    exec(program.lines, names)


def words(stream: int, sample: int, step: int, n: int) -> list[int]:
    return [int(word) for word in uniform_words(SEED, stream, sample, step, n)]


@pytest.mark.parametrize("inhibition", ["feedback", "graded"])
@pytest.mark.parametrize("epoch", [1, 4])
def test_soft_wta(inhibition: str, epoch: int) -> None:
    fixed = make_fixed(inhibition, epoch)
    net, rng = fixed.network, np.random.default_rng(1)
    rates, prior_rates = np.array(0.2), np.array(0.05)
    model = make_model(
        PySoftWTAModelFixed, fixed, learning_rates=rates, prior_learning_rates=prior_rates
    )
    model.u = np.zeros(N_UNITS, np.int32)
    model.log_prior = fixed.log_prior(np.full(N_UNITS, -2.0)).astype(np.int32)
    program = soft_wta_program(fixed)
    units = [{"u": 0, "b": int(b), "n": 0, "owed": 0} for b in model.log_prior]
    dose, prior_rate = int(fixed.doses(rates)), int(fixed.prior_rates(prior_rates))
    rate_before, before = 0, (0, 0)
    fired = asked = 0
    for time_step in range(1, N_STEPS + 1):
        sample, step = divmod(time_step - 1, net.presentation_steps + 1)
        is_read = net.settle_steps <= step < net.presentation_steps
        current = rng.integers(0, 4 * STATE.max_integer // 1000, N_UNITS).astype(np.int32)
        total = sum(unit["n"] for unit in units)
        h = int(2**12 * rng.uniform(40, 60))
        model.time_step = time_step
        model.a_in.value, model.pool_in.value = current, np.array([h, total])
        model.run_spk()
        half_words = words(COMPARE_STREAM, sample, step, (N_UNITS * net.population_size + 1) // 2)
        halves = [half for word in half_words for half in (word & 0xFFFF, word >> 16)]
        prior_words = words(PRIOR_STREAM, *before, N_UNITS)
        dose_words = words(DOSE_STREAM, sample, step, N_UNITS)
        for k, unit in enumerate(units):
            unit.update(
                a=int(current[k]),
                h=h,
                n_total=total,
                prior_rate=rate_before,
                dose=dose if is_read else 0,
                is_reset=step == net.presentation_steps,
                is_epoch_end=(step + 1) % epoch == 0,
                random16=halves[k * net.population_size : (k + 1) * net.population_size],
                random24=prior_words[k] >> 8,
                dose_random24=dose_words[k] >> 8,
            )
            run_program(program, fixed, unit)
        rate_before, before = (prior_rate if is_read else 0), (sample, step)
        fired += sum(unit["n"] for unit in units)
        asked += sum(unit["y1"] for unit in units)
        for name, found in (
            ("u", model.u),
            ("b", model.log_prior),
            ("n", model.s_out.value),
            ("y1", model.s_out_y1.value),
            ("y2", model.s_out_y2.value),
        ):
            assert [unit[name] for unit in units] == np.asarray(found).tolist(), (name, time_step)
        if inhibition == "graded":
            exponents, mantissas = model.intensity_out.value
            sent = list(zip(mantissas.tolist(), exponents.tolist(), strict=True))
            assert [unit["message"] for unit in units] == sent
    assert fired > 50  # else little was compared
    assert asked > 0
    assert any(unit["b"] != int(fixed.log_prior(np.array(-2.0))) for unit in units)


@pytest.mark.parametrize("inhibition", ["feedback", "graded"])
def test_lateral_inhibition(inhibition: str) -> None:
    fixed = make_fixed(inhibition)
    rng = np.random.default_rng(2)
    model = make_model(PyLateralInhibitionModelFixed, fixed)
    model.h, model.trend = np.zeros(1, np.int32), np.zeros(1, np.int32)
    program = inhibition_program(fixed)
    pool: dict[str, Any] = {"h": 0, "trend": 0, "n_total": 0}
    largest = 0
    for time_step in range(1, N_STEPS + 1):
        step = (time_step - 1) % (fixed.network.presentation_steps + 1)
        counts = rng.integers(0, 9, N_UNITS)
        messages = np.stack([rng.integers(-6, 6, N_UNITS), rng.integers(2**15, 2**16, N_UNITS)])
        model.time_step = time_step
        model.s_in.value, model.intensity_in.value = counts, messages
        before = [pool["h"], pool["n_total"]]
        model.run_spk()
        assert model.pool_out.value.tolist() == before
        pool.update(
            n_total=int(counts.sum()),
            messages=list(zip(messages[1].tolist(), messages[0].tolist(), strict=True)),
            is_reset=step == fixed.network.presentation_steps,
        )
        run_program(program, fixed, pool)
        assert (pool["h"], pool["trend"]) == (int(model.h[0]), int(model.trend[0])), time_step
        largest = max(largest, abs(pool["h"]))
    assert largest > 2**12  # else little was compared


def test_dendrite() -> None:
    fixed, factor = make_fixed(), 0.37
    net, rng = fixed.network, np.random.default_rng(3)
    rates = np.array([0.2, 0.1])
    model = make_model(
        PyDendriteModelFixed, fixed, learning_rates=rates, first_step=3, current_factor=factor
    )
    model.u = np.zeros(N_UNITS, np.int32)
    program = dendrite_program(fixed, factor)
    units = [{"u": 0, "owed": 0} for _ in range(N_UNITS)]
    asked = 0
    for time_step in range(1, 2 * net.presentation_steps + 8):
        position = time_step - 1 - 3
        sample, step = divmod(position, net.presentation_steps)
        is_read = position >= 0 and step >= net.settle_steps
        current = rng.integers(-1000, 40_000, N_UNITS).astype(np.int32)
        counts = rng.integers(0, 4, N_UNITS).astype(np.int32)
        model.time_step, model.a_in.value, model.count_in.value = time_step, current, counts
        model.run_spk()
        dose_words = words(DOSE_STREAM, max(sample, 0), step, N_UNITS)
        rate = rates[sample] if 0 <= sample < 2 else 0.0
        for k, unit in enumerate(units):
            unit.update(
                a=int(current[k]),
                n=int(counts[k]),
                dose=int(fixed.doses(np.array(rate))) if is_read else 0,
                is_epoch_end=True,
                dose_random24=dose_words[k] >> 8,
            )
            run_program(program, fixed, unit)
        asked += sum(unit["y1"] for unit in units)
        for name, found in (
            ("payload", model.s_out.value),
            ("u", model.u),
            ("y1", model.s_out_y1.value),
            ("y2", model.s_out_y2.value),
        ):
            assert [unit[name] for unit in units] == np.asarray(found).tolist(), (name, time_step)
    assert asked > 0


def test_rate_encoder() -> None:
    fixed = make_fixed()
    net, rng = fixed.network, np.random.default_rng(4)
    samples = rng.random((2, net.n_features))
    samples /= np.linalg.norm(samples, axis=1, keepdims=True)
    model = make_model(PyRateEncoderModelFixed, fixed, samples=samples)
    program, fired = encoder_program(fixed), 0
    probabilities = net.max_probability * samples / samples.max(axis=1, keepdims=True)
    for time_step in range(1, 2 * (net.presentation_steps + 1)):
        sample, step = divmod(time_step - 1, net.presentation_steps + 1)
        model.time_step = time_step
        model.run_spk()
        if step == net.presentation_steps:
            assert not model.s_out.value.any()
            continue
        drawn = input_words(SEED, sample, step, net.n_features)
        noise = step_bytes(SEED, PAYLOAD_STREAM, sample, step, net.n_features)
        for i in range(net.n_features):
            source = {
                "p": round(probabilities[sample, i] * 2**32),
                "c": int(fixed.half_payloads(samples)[sample]),
                "random32": int(drawn[i]),
                "random8": int(noise[i]),
            }
            run_program(program, fixed, source)
            assert source["payload"] == model.s_out.value[i]
            fired += source["payload"] > 0
    assert fired > 20


def test_a_changed_constant_is_noticed() -> None:
    fixed = make_fixed()
    program = inhibition_program(fixed)
    pool = {"h": 5000, "trend": 300, "n_total": 3, "is_reset": False}
    changed = dict(pool)
    run_program(program, fixed, pool)
    wrong = StepProgram(program.name, "", (), (), (), program.lines.replace(">> 12", ">> 11"))
    run_program(wrong, fixed, changed)
    assert pool["trend"] != changed["trend"]


def test_exact_inhibition_has_no_program() -> None:
    with pytest.raises(ValueError, match="'feedback' or 'graded' on a chip"):
        step_programs(make_fixed("exact"))


def test_the_page_is_up_to_date() -> None:
    model = SpikingSoftHebb.from_weights(np.full((100, 784), 1 / 28), random_state=0)
    page = programs_page(model.to_fixed()[1].fixed)
    found = (DOCS / "step_programs.md").read_text()
    assert found == page, "write it again: softhebb-spiking programs MODEL"
    for program in step_programs(make_fixed()):
        assert f"## {program.name}\n" in page
