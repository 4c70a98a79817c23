"""From a network to the integers of a chip: the rule, what is refused, and models converted."""

import math
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softhebb_spiking import NetworkParams, SpikingSoftHebb, load_model
from softhebb_spiking.fixed_learning import _decay_product
from softhebb_spiking.fixed_network import (
    FixedNetwork,
    _trace_format,
    _weight_format,
    fixed_network,
    fixed_network_of,
    warn_of_overflows,
)
from softhebb_spiking.fixed_point import LIMITS, FixedPointOverflow, Format
from softhebb_spiking.params import ROUNDINGS, FixedPointParams

ROUND_OFF = 1e-12  # relative, of a few float64 operations
PER_SYNAPSE_STEP, SHARED_STEP = 2.0**-7, 2.0**-5
NUMBER = r"(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)"


def network(**changes: Any) -> NetworkParams:
    return NetworkParams(**({"n_features": 64, "n_units": 3} | changes))


def fixed(
    changes: dict[str, Any] | None = None, *, learning_rate: float = 0.1, **options: Any
) -> FixedNetwork:
    """The integers of a small network; `changes` go to the network, options to the integers."""
    return fixed_network(
        network(**(changes or {})), FixedPointParams(**options), learning_rate=learning_rate
    )


def refusal(call: Callable[[], Any], error: type[Exception] = ValueError) -> str:
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


def quietly(call: Callable[[], Any]) -> Any:
    """What a call returns; any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return call()


def number_after(text: str, message: str) -> float:
    """The number that a message has after some words."""
    found = re.search(re.escape(text) + " " + NUMBER, message)
    assert found, message
    return float(found[1])


@st.composite
def descriptions(draw: st.DrawFn) -> tuple[NetworkParams, FixedPointParams, float]:
    """A network, how it is held, and a learning rate; within what must be accepted."""
    population_size = draw(st.integers(1, 256))
    n_steps, settle_steps = draw(st.integers(1, 80)), draw(st.integers(0, 30))
    net = network(
        n_features=draw(st.integers(1, 1000)),
        temperature=draw(st.floats(0.01, 5.0)),
        inhibition=draw(st.sampled_from(["feedback", "graded", "exact"])),
        population_size=population_size,
        total_rate=draw(st.floats(0.01, 0.95)) * population_size,
        n_steps=n_steps,
        settle_steps=settle_steps,
        max_probability=draw(st.floats(0.05, 1.0)),
        psp_tau_ms=draw(st.floats(2.0, 10.0)),
    )
    steps = net.presentation_steps + 1
    epoch = draw(st.sampled_from([e for e in range(1, 11) if steps % e == 0]))
    # Traces may be at most 16 times as coarse as weights, so a rule exponent of 8 is enough, and
    # at most 2^8 times finer, so that y2 finds a mantissa.
    exponents = draw(st.just((None, None)) | st.tuples(st.integers(-12, -4), st.integers(-12, -8)))
    params = FixedPointParams(
        rounding=draw(st.sampled_from(ROUNDINGS)),
        learning_epoch=epoch,
        learning_step=draw(st.none() | st.floats(1e-5, 1.0)),
        weight_exponent=exponents[0],
        trace_exponent=exponents[1],
    )
    return net, params, draw(st.floats(0.0, 1.0))


# --- the rule ------------------------------------------------------------------------------------


@given(descriptions())
@settings(deadline=None, max_examples=300)
def test_the_constants_solve_the_equations(
    description: tuple[NetworkParams, FixedPointParams, float],
) -> None:
    net, params, learning_rate = description
    held = quietly(lambda: fixed_network(net, params, learning_rate=learning_rate))
    rule = held.learning
    a, b, m, y1 = rule.hebb_exponent, rule.decay_exponent, rule.decay_mantissa, rule.y1_quantum
    ratio = 2.0 ** (held.trace.exponent - held.weight.exponent)
    assert rule.step == y1 * 2.0 ** (a - 3) / ratio  # only powers of two: exact
    scale = rule.y2_multiplier.value / held.drive_unit
    # A multiplier has 16 bits, so it is off by half a unit of at least 2^15.
    decay_step = m * scale * 2.0 ** (b - 12) * y1
    assert decay_step == pytest.approx(rule.step, rel=2.0**-16 + ROUND_OFF)
    assert rule.equilibrium_norm == pytest.approx(1.0, abs=2.0**-17 + 2.0**-32)
    assert rule.equilibrium_norm == pytest.approx(math.sqrt(rule.step / decay_step), rel=ROUND_OFF)
    # What the engine can hold.
    assert rule.epoch == params.learning_epoch
    assert y1 % 8 == 0
    assert 8 <= y1 <= 120
    assert -7 <= a <= 8
    assert -7 <= b <= 8
    assert 1 <= m <= 7
    assert rule.max_quanta == 127 // y1
    assert 2**15 <= rule.y2_multiplier.mantissa <= 2**16
    # y2 holds drives up to 1.4 as finely as it can: m S is a power of 2, so S below 127 / 1.4,
    # which is 90.7, is 256 / 3 at best; less where that needs an exponent below −7.
    if b == -7 and m < 3:
        assert scale <= 64.0 * (1 + 2.0**-16)
        assert m == 1 or scale > 63.9
    else:
        assert scale == pytest.approx(256 / 3, rel=2.0**-16)


@given(descriptions())
@settings(deadline=None, max_examples=200)
def test_an_update_has_the_size_wanted(
    description: tuple[NetworkParams, FixedPointParams, float],
) -> None:
    net, params, learning_rate = description
    held = fixed_network(net, params, learning_rate=learning_rate)
    rule = held.learning
    assert params.learning_step is not None
    assert rule.step >= params.learning_step
    per_spike = 1.0 / (net.total_rate * net.n_steps)
    assert rule.dose_per_rate == pytest.approx(per_spike / rule.step, rel=ROUND_OFF)
    # The busiest population may ask for 4 r spikes in each step of an epoch, or for all it has.
    busiest = min(net.population_size, 4.0 * net.total_rate) * rule.epoch
    largest_change = learning_rate * per_spike * busiest
    assert rule.max_quanta * rule.step >= largest_change * (1 - ROUND_OFF)
    # With half the 2^a, y1 would be less than η'/p + 8 and updates fewer than change/(y1 p) + 1,
    # where p is the change for y1 = 1; their product needed more than 127.
    if rule.hebb_exponent > -7:
        p = 0.5 * rule.step / rule.y1_quantum
        assert largest_change + params.learning_step + 8 * p > 127 * p


@given(descriptions())
@settings(deadline=None, max_examples=200)
def test_learning_rates_are_met(
    description: tuple[NetworkParams, FixedPointParams, float],
) -> None:
    net, params, learning_rate = description
    held = fixed_network(net, params, learning_rate=learning_rate)
    achieved = quietly(lambda: held.effective_learning_rate(learning_rate))
    # A dose is rounded to units of 2^−24 updates per spike.
    half_unit = 2.0**-25 / held.learning.dose_per_rate
    assert achieved == pytest.approx(learning_rate, rel=ROUND_OFF, abs=half_unit + 1e-15)
    doses = held.doses(np.array([learning_rate, 0.0]))
    assert doses[0] * 2.0**-24 / held.learning.dose_per_rate == pytest.approx(achieved)
    assert doses[1] == 0


@pytest.mark.parametrize(
    ("rounding", "quantum", "step"),
    [("per_synapse", 32, PER_SYNAPSE_STEP), ("shared", 0, SHARED_STEP)],
)
def test_the_rule_for_mnist(rounding: str, quantum: int, step: float) -> None:
    """As docs/fixed_point.md has it; ρ = 4, and η' = Q 2^(a − 3) / ρ."""
    held = fixed({"n_features": 784}, rounding=rounding)
    assert (held.weight.exponent, held.weight.bits, held.weight.signed) == (-10, 8, False)
    assert (held.trace.exponent, held.trace.bits, held.trace.signed) == (-8, 7, False)
    rule = held.learning
    assert rule.step == step
    if quantum:
        assert rule.rule == "2^-7*u0*x1*y1 - 2*2^-7*u0*y1*y2*w"
        assert rule.y1_quantum == quantum
        assert rule.y2_multiplier.value / held.drive_unit == pytest.approx(64.0, rel=2.0**-16)
    else:  # Q = 128 is one too many, so 2^a is twice as large
        assert (rule.hebb_exponent, rule.y1_quantum) == (-6, 64)


@given(descriptions())
@settings(deadline=None, max_examples=40)
def test_lava_reads_the_same_rule(
    description: tuple[NetworkParams, FixedPointParams, float],
) -> None:
    pytest.importorskip("lava", reason="Lava is not installed")
    import softhebb_spiking.processes  # noqa: F401  (it repairs what Lava imports)

    learning_rule = pytest.importorskip("lava.magma.core.learning.learning_rule")
    net, params, learning_rate = description
    rule = fixed_network(net, params, learning_rate=learning_rate).learning
    lava_rule = learning_rule.Loihi3FLearningRule(
        dw=rule.rule,
        x1_impulse=0,
        x1_tau=net.psp_tau_ms / net.dt_ms,
        t_epoch=rule.epoch,
        rng_seed=1,
    )
    assert lava_rule.t_epoch == rule.epoch
    products = {
        tuple(factor.state_var for factor in product.factors): product
        for product in lava_rule.dw.products
    }
    assert set(products) == {("x1", "y1"), ("y1", "y2", "w")}
    growth, decay = products["x1", "y1"], products["y1", "y2", "w"]
    # Lava keeps exponents from 0 to 15.
    assert (growth.s_mantissa, growth.s_exp) == (1, rule.hebb_exponent + 7)
    assert (decay.s_mantissa, decay.s_exp) == (-rule.decay_mantissa, rule.decay_exponent + 7)
    assert {product.dependency for product in products.values()} == {"u"}
    assert lava_rule.decimate_exponent == 0


# --- traces, payloads and drives -----------------------------------------------------------------


@given(descriptions(), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=100)
def test_payloads_are_right_in_the_mean(
    description: tuple[NetworkParams, FixedPointParams, float], seed: int
) -> None:
    net, params, _ = description
    held = fixed_network(net, params)
    samples = np.random.default_rng(seed).random((4, net.n_features)) + 0.01
    samples /= np.linalg.norm(samples, axis=1, keepdims=True)
    # g = max(x) (1 − d) / (p_max · mean of 1 − d^(j+1)), as in docs/model.md.
    d = math.exp(-net.dt_ms / net.psp_tau_ms)
    read = range(net.settle_steps, net.settle_steps + net.n_steps)
    rise = sum(1.0 - d ** (j + 1) for j in read) / net.n_steps
    gains = samples.max(axis=1) * (1.0 - d) / (net.max_probability * rise)
    wanted = gains * held.payload_per_gain
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if wanted.max() > 127.99 else "error", FixedPointOverflow)
        halves = held.half_payloads(samples)
    # An encoder adds a byte and drops eight bits; averaged over all bytes, only the rounding of
    # the half payload to 2^−8 is left.
    means = ((halves[:, np.newaxis] + np.arange(256)) >> 8).mean(axis=1)
    fits = wanted <= 127.99
    np.testing.assert_allclose(means[fits], wanted[fits], rtol=ROUND_OFF, atol=2.0**-9)
    assert (halves[~fits] >= 127 * 256).all()
    # One unit of the drive is a unit of weight times one of the payload, twice the half.
    unit = 2.0**held.weight.exponent / (2.0 * held.payload_per_gain)
    assert held.drive_unit == pytest.approx(unit, rel=ROUND_OFF)


@pytest.mark.parametrize("tau", [2.0, 10.0, 40.0])
@pytest.mark.parametrize("epoch", [1, 2, 5, 10, 14, 35])
def test_traces_have_the_mean_of_psps(epoch: int, tau: float) -> None:
    """Spikes in every step: x1 decays at the end of an epoch only, the PSP in every step."""
    held = fixed({"n_steps": 49, "psp_tau_ms": tau}, learning_epoch=epoch)
    net = held.network
    d = math.exp(-1.0 / tau)
    per_spike = held.payload_per_gain * 2.0**held.trace.exponent
    x1, psp, traces, psps = 0.0, 0.0, [], []
    for step in range(net.presentation_steps + 1):
        shown = float(step < net.presentation_steps)  # not in the reset step
        x1 += per_spike * shown
        psp = d * psp + shown
        if shown and step >= net.settle_steps:
            psps.append(psp)
        if (step + 1) % epoch == 0:
            x1 *= d**epoch
            if step >= net.settle_steps and (shown or epoch > 1):
                traces.append(x1)
    mean_trace, mean_psp = sum(traces) / len(traces), sum(psps) / len(psps)
    assert mean_trace / mean_psp == pytest.approx(1.0, rel=ROUND_OFF)


def test_integers_of_the_dynamics_by_hand() -> None:
    """d = exp(−1/10) = 0.904837, r/M = 1/4, κ = 0.7, log2(17) = 4.087463, τ = 1/50."""
    held = fixed()
    assert held.decay == 3706
    assert held.neuron_rate_log == -2 * 4096
    assert held.target_log == 16742
    assert held.pool_gain == 179
    assert fixed({"inhibition": "graded"}).pool_gain == 256
    octaves = held.drive_unit * 1.4426950408889634 * 50 * 4096
    assert held.octaves_multiplier.value == pytest.approx(octaves, rel=2.0**-16)


def test_integers_and_what_they_stand_for() -> None:
    held = fixed()  # weights in steps of 2^−9
    weights = np.array([[0.0, 0.25, 100.4 / 512, 255 / 512]])
    integers = quietly(lambda: held.weights(weights))
    assert integers.tolist() == [[0, 128, 100, 255]]
    assert held.weights_as_float(integers).tolist() == [[0.0, 0.25, 100 / 512, 255 / 512]]
    prior = held.log_prior(np.log([1.0, 0.5, 2.0**-20]))
    assert prior.tolist() == [0, -(2**18), -20 * 2**18]
    np.testing.assert_allclose(held.log_prior_as_float(prior), np.log([1.0, 0.5, 2.0**-20]))
    assert held.psp_as_float(np.array([1, 127])).tolist() == [2.0**-7, 127 * 2.0**-7]
    np.testing.assert_allclose(held.inhibition_as_float(np.array([4096])), [math.log(2.0)])
    np.testing.assert_allclose(held.drive_as_float(np.array([3])), [3.0 * held.drive_unit])
    # η_b / (r T) nats are log2(e) η_b / 400 octaves, in units of 2^−34.
    assert held.prior_rates(np.array([0.1])).tolist() == [round(0.1 / 400 * 1.442695040889 * 2**34)]


def test_a_network_that_does_not_learn_has_the_rule_of_no_learning_rate() -> None:
    net = network(n_steps=1, settle_steps=0, total_rate=1.0)
    assert fixed_network(net, FixedPointParams()) == fixed_network(
        net, FixedPointParams(), learning_rate=0.0
    )
    assert fixed_network(net, FixedPointParams()) != fixed_network(
        net, FixedPointParams(), learning_rate=1.0
    )


def test_a_run_in_floating_point_has_no_integers(clamped_run: Callable[..., Any]) -> None:
    message = refusal(lambda: fixed_network_of(clamped_run()))
    assert message == "the run is in floating point; give it FixedPointParams as `fixed`."


def test_overflows_of_a_run_are_counted_in_a_warning() -> None:
    quietly(lambda: warn_of_overflows(0))
    with pytest.warns(FixedPointOverflow) as caught:
        warn_of_overflows(3)
    message = str(caught[0].message)
    assert message.startswith("drive: 3 times a drive did not fit 24 bits, signed")
    assert message.endswith("that fits. Raise weight_exponent or trace_exponent.")


def test_overflows_of_a_run_are_warned_of_where_it_was_asked_for() -> None:
    def simulate() -> None:
        warn_of_overflows(3)

    with pytest.warns(FixedPointOverflow) as caught:
        simulate()
    assert caught[0].filename == __file__
    assert caught[0].lineno > simulate.__code__.co_firstlineno + 1


def test_a_run_gives_its_largest_learning_rate(clamped_run: Callable[..., Any]) -> None:
    run = clamped_run(0, learning_rate=0.5)
    message = refusal(lambda: fixed_network_of(run))
    assert "floating point" in message
    assert "FixedPointParams" in message
    params = FixedPointParams()
    held = fixed_network_of(replace(run, fixed=params))
    assert held == fixed_network(run.network, params, learning_rate=0.5)
    assert held != fixed_network(run.network, params, learning_rate=0.0)


# --- parameters refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"learning_epoch": 0}, ("learning_epoch", "[1, 63]", "got 0")),
        ({"learning_epoch": 64}, ("learning_epoch", "[1, 63]", "got 64")),
        ({"learning_step": 0.0}, ("learning_step", "(0, 1]", "got 0.0")),
        ({"learning_step": 1.5}, ("learning_step", "(0, 1]", "got 1.5")),
        ({"weight_exponent": 1}, ("weight_exponent", "[-24, 0]", "got 1")),
        ({"trace_exponent": -25}, ("trace_exponent", "[-24, 0]", "got -25")),
        ({"table_bits": 13}, ("table_bits", "[0, 12]", "got 13")),
        ({"rounding": "none"}, ("rounding", "'per_synapse'", "'shared'", "got 'none'")),
    ],
)
def test_refused_by_the_container(changes: dict[str, Any], fragments: tuple[str, ...]) -> None:
    message = refusal(lambda: FixedPointParams(**changes))
    for fragment in fragments:
        assert fragment in message


def test_defaults_of_the_container() -> None:
    assert FixedPointParams().learning_step == PER_SYNAPSE_STEP
    assert FixedPointParams(rounding="shared").learning_step == SHARED_STEP
    assert FixedPointParams(rounding="shared", learning_step=0.5).learning_step == 0.5
    assert "learning_epoch" in refusal(lambda: FixedPointParams(learning_epoch=2.0), TypeError)


@pytest.mark.parametrize(
    ("n_steps", "epoch", "nearest", "total"),
    [(49, 63, 35, 62), (49, 11, 10, 65), (49, 12, 10, 59), (50, 10, 1, 69), (43, 62, 32, 61)],
)
def test_epochs_that_do_not_divide(n_steps: int, epoch: int, nearest: int, total: int) -> None:
    """20 settling steps, n_steps and a reset step: 70 = 2 · 5 · 7, 71 is prime, 64 = 2^6."""
    message = refusal(lambda: fixed({"n_steps": n_steps}, learning_epoch=epoch))
    assert f"learning_epoch={epoch} does not divide the {n_steps + 21} steps" in message
    assert number_after("nearest that does is", message) == nearest
    assert number_after("let settle_steps + n_steps be", message) == total
    assert fixed({"n_steps": n_steps}, learning_epoch=nearest).learning.epoch == nearest
    assert fixed({"n_steps": total - 20}, learning_epoch=epoch).learning.epoch == epoch


def test_epochs_longer_than_a_presentation() -> None:
    message = refusal(lambda: fixed({"n_steps": 4, "settle_steps": 1}, learning_epoch=10))
    assert number_after("nearest that does is", message) == 6
    assert number_after("let settle_steps + n_steps be", message) == 9


@pytest.mark.parametrize(
    ("temperature", "nearest"),
    # 1.4 log2(e) octaves are not to exceed 2^23 / 2^12 = 2048 of them.
    [(1e-9, 1.4 * 1.442695 / 2048), (0.00098, 1.4 * 1.442695 / 2048)],
)
def test_temperatures_too_small(temperature: float, nearest: float) -> None:
    message = refusal(lambda: fixed({"temperature": temperature}))
    assert f"temperature={temperature:g} does not fit" in message
    assert "24 bits, signed, in steps of 2^-12 ([-2048, 2048])" in message
    # Four digits are given.
    assert number_after("nearest that fits is", message) == pytest.approx(nearest, rel=1e-3)


def test_the_smallest_temperature_is_accepted() -> None:
    message = refusal(lambda: fixed({"temperature": 1e-9}))
    fixed({"temperature": number_after("nearest that fits is", message)})


@given(descriptions())
@settings(deadline=None, max_examples=30)
def test_temperatures_too_large(
    description: tuple[NetworkParams, FixedPointParams, float],
) -> None:
    net, params, _ = description
    held = fixed_network(net, params)
    message = refusal(lambda: fixed_network(replace(net, temperature=1e30), params))
    assert "temperature=1e+30 does not fit" in message
    assert "24 bits, signed, in steps of 2^-12" in message
    nearest = number_after("nearest that fits is", message)
    # The multiplier, in proportion to 1/τ, is not to be below 2^−24.
    largest = held.octaves_multiplier.value * net.temperature * 2.0**24
    assert nearest == pytest.approx(largest, rel=1e-3)
    assert fixed_network(replace(net, temperature=0.999 * nearest), params).network


@given(st.integers(1, 1000), st.floats(2.0, 10.0))
@settings(deadline=None, max_examples=50)
def test_the_largest_temperature_is_accepted(n_features: int, tau: float) -> None:
    changes = {"n_features": n_features, "psp_tau_ms": tau}
    message = refusal(lambda: fixed(changes | {"temperature": 1e30}))
    fixed(changes | {"temperature": number_after("nearest that fits is", message)})


def test_the_decay_is_made_of_the_finest_product_there_is() -> None:
    """Of all exponents and mantissas of a rule, the one with the largest S of at most 127/1.4."""
    (lowest, highest), (_, largest) = LIMITS["rule exponent"], LIMITS["rule mantissa"]
    for scale in np.exp2(np.linspace(-25.0, 25.0, 173)):
        drive_scale, mantissa, exponent = _decay_product(float(scale))
        every = scale * 2.0 ** (9 - np.arange(lowest, highest + 1))
        every = every[:, np.newaxis] / np.arange(1, largest + 1)
        fitting = every[every <= 127 / 1.4]
        assert drive_scale == (fitting.max() if fitting.size else 0.0)
        if fitting.size:
            assert mantissa * drive_scale * 2.0 ** (exponent - 9) == pytest.approx(scale, rel=1e-15)


def test_the_smallest_update_is_eight_of_the_trace() -> None:
    rule = fixed(learning_rate=1e-9, learning_step=1e-9).learning
    assert (rule.y1_quantum, rule.hebb_exponent) == (8, -7)


@pytest.mark.parametrize(
    ("n_features", "options", "text"),
    [
        (784, {}, "7 bits, unsigned, in steps of 2^-8 ([0, 0.496094])"),
        (784, {"trace_exponent": -7}, "7 bits, unsigned, in steps of 2^-7 ([0, 0.992188])"),
        (64, {"trace_exponent": -5}, "7 bits, unsigned, in steps of 2^-5 ([0, 3.96875])"),
        (64, {"trace_exponent": -8}, "7 bits, unsigned, in steps of 2^-8 ([0, 0.496094])"),
    ],
)
def test_psps_too_long_for_a_trace(n_features: int, options: dict[str, Any], text: str) -> None:
    changes = {"n_features": n_features, "psp_tau_ms": 500.0}
    message = refusal(lambda: fixed(changes, **options))
    assert f"psp_tau_ms=500 does not fit traces of {text}" in message
    assert "a smaller max_probability allows longer ones" in message
    longest = number_after("longest that fits is about", message)
    # n^(−½) (1 − d) / p_max is half a unit.
    half = 0.5 * 2.0 ** int(text.split("2^")[1].split()[0])
    d = 1.0 - half * 0.3 * math.sqrt(n_features)
    assert longest == pytest.approx(-1.0 / math.log(d), rel=5e-3)
    # It is rounded to three digits, and says "about".
    assert fixed(changes | {"psp_tau_ms": 0.99 * longest}, **options).network
    assert refusal(lambda: fixed(changes | {"psp_tau_ms": 1.01 * longest}, **options))
    # The other way out: spikes that are larger, since there are fewer.
    rarer = 0.3 * (1.0 - math.exp(-1.0 / 500.0)) / (1.0 - d)
    assert fixed(
        changes | {"max_probability": 0.99 * rarer},
        trace_exponent=options.get("trace_exponent", -8),
    ).network


def test_the_longest_psp_may_be_shorter_than_a_step() -> None:
    """(1 − d) / (8 · 0.3) is half of 2^−2 at d = 0.7: τ = 2 ms, of steps of 8 ms or of 1/4 ms."""
    d = 1.0 - 0.125 * 0.3 * 8.0
    for dt_ms in (8.0, 0.25):
        changes = {"dt_ms": dt_ms, "psp_tau_ms": 40 * dt_ms}
        message = refusal(lambda changes=changes: fixed(changes, trace_exponent=-2))
        longest = number_after("longest that fits is about", message)
        assert longest == pytest.approx(-dt_ms / math.log(d), rel=5e-3)
    # d = 0.001 leaves τ = 0.14 of a step, which is short, and is the longest all the same.
    rare = {"max_probability": 0.999 / 8.0 / 0.25, "dt_ms": 2.0}
    message = refusal(lambda: fixed(rare, trace_exponent=-1))
    longest = number_after("longest that fits is about", message)
    assert longest == pytest.approx(-2.0 / math.log(0.001), rel=2e-2)


def test_weights_are_as_fine_as_what_is_likely_allows() -> None:
    """1.3 n^(−1/4) in 255 units, of which 2 % may be missing, for any number of inputs."""
    for n in range(1, 3000):
        held = _weight_format(network(n_features=n), FixedPointParams())
        likely = 1.3 * n**-0.25 / 2.0**0.03
        assert likely <= 255 * 2.0**held.exponent
        assert likely > 255 * 2.0 ** (held.exponent - 1)
        assert (held.bits, held.signed) == (8, False)
    given = _weight_format(network(), FixedPointParams(weight_exponent=-9))
    assert given.exponent == -9


@pytest.mark.parametrize("largest", [1.0, 2.0])
def test_traces_are_as_fine_as_two_sigmas_allow(largest: float) -> None:
    """Mean and variance of a PSP of Bernoulli spikes, summed over all steps they may be of.

    The mean is scaled to be an input as large as a weight can be, 1 at most; two standard
    deviations more are to fit 2^7 units, of which 7 % may be missing.
    """
    weight = Format(bits=8, exponent=-8 if largest == 1.0 else -7, signed=False)
    for p in np.linspace(0.02, 1.0, 40):
        for tau in (0.7, 2.0, 5.0, 17.0):
            kernel = np.exp(-np.arange(600) / tau)
            mean, variance = p * kernel.sum(), p * (1 - p) * (kernel**2).sum()
            likely = min(1.0, weight.largest) * (1.0 + 2.0 * math.sqrt(variance) / mean)
            net = network(max_probability=float(p), psp_tau_ms=tau)
            held = _trace_format(net, FixedPointParams(), weight)
            assert likely / 2.0**0.1 <= 2.0 ** (7 + held.exponent)
            assert likely / 2.0**0.1 > 2.0 ** (6 + held.exponent)
            assert (held.bits, held.signed) == (7, False)


def test_the_longest_psp_is_accepted() -> None:
    message = refusal(lambda: fixed({"psp_tau_ms": 1000.0}))
    fixed({"psp_tau_ms": 0.99 * number_after("longest that fits is about", message)})


def test_traces_too_coarse_for_any_psp() -> None:
    message = refusal(lambda: fixed(trace_exponent=0))
    assert "steps of 2^0" in message
    assert message.endswith("None does: give a lower trace_exponent.")


def test_traces_too_fine_for_the_weights() -> None:
    message = refusal(lambda: fixed(weight_exponent=-8, trace_exponent=-24))
    assert "trace_exponent=-24 does not fit weight_exponent=-8" in message
    nearest = int(number_after("nearest trace_exponent that fits is", message))
    # Found by trying: shorter PSPs and rarer spikes leave room for traces as coarse as these.
    changes = {"max_probability": 0.05}
    assert fixed(changes, weight_exponent=-8, trace_exponent=nearest).network
    assert "rule exponent above 8" in refusal(
        lambda: fixed(changes, weight_exponent=-8, trace_exponent=nearest - 1)
    )


def test_psps_too_long_for_a_decay() -> None:
    options = {"trace_exponent": -20}
    message = refusal(lambda: fixed({"psp_tau_ms": 9000.0}, **options))
    assert "psp_tau_ms=9000 does not fit a decay of 12 bits, unsigned, in steps of 2^-12" in message
    assert "([0, 0.999756])" in message
    nearest = number_after("nearest that fits is", message)
    assert nearest == 8191.0  # exp(−1/τ) = 4095.5 / 4096 is still rounded to 4095
    assert fixed({"psp_tau_ms": nearest}, **options).decay == 4095


def test_psps_too_short() -> None:
    message = refusal(lambda: fixed({"psp_tau_ms": 0.1}))
    assert "psp_tau_ms=0.1 does not fit a decay of 12 bits, unsigned" in message
    nearest = number_after("nearest that fits is", message)
    assert nearest == pytest.approx(1.0 / math.log(2 * 4096.0), rel=1e-3)
    assert fixed({"psp_tau_ms": nearest}).decay == 1
    # In units of the step.
    assert number_after(
        "nearest that fits is", refusal(lambda: fixed({"psp_tau_ms": 0.2, "dt_ms": 2.0}))
    ) == pytest.approx(2.0 * nearest, rel=1e-3)


def test_psps_much_too_short() -> None:
    assert "psp_tau_ms=0.02" in refusal(lambda: fixed({"psp_tau_ms": 0.02}))


# One unit of these traces is worth 2^13 of weight, so one update is at most 120 · 2^5 / 2^13.
COARSE: dict[str, Any] = {"weight_exponent": -20, "trace_exponent": -7}
LARGEST_STEP = 0.46875


def test_updates_too_large_for_the_rule() -> None:
    changes = {"temperature": 0.005}
    message = refusal(lambda: fixed(changes, learning_step=0.5, **COARSE))
    for fragment in ("learning_step=0.5", "updates of 0.5", "exponent above 8"):
        assert fragment in message
    assert number_after("largest that fits is", message) == pytest.approx(LARGEST_STEP, abs=5e-5)
    rule = fixed(changes, learning_step=LARGEST_STEP, **COARSE).learning
    assert (rule.step, rule.hebb_exponent, rule.y1_quantum) == (LARGEST_STEP, 8, 120)


def test_a_learning_rate_too_large_for_the_rule() -> None:
    """One step and one spike on average: four spikes with η = 0.2 change a weight by 0.8."""
    changes = {"temperature": 0.005, "n_steps": 1, "settle_steps": 0, "total_rate": 1.0}
    message = refusal(lambda: fixed(changes, learning_rate=0.2, **COARSE))
    for fragment in ("updates of 0.8", "learning_step=0.007812", "0.8 for the learning rate"):
        assert fragment in message
    assert number_after("largest that fits is", message) == pytest.approx(LARGEST_STEP, abs=5e-5)
    assert fixed(changes, learning_rate=0.999 * LARGEST_STEP / 4, **COARSE).learning


def test_the_largest_update_is_accepted() -> None:
    changes = {"temperature": 0.005}
    message = refusal(lambda: fixed(changes, learning_step=0.5, **COARSE))
    step = number_after("largest that fits is", message)
    fixed(changes, learning_step=step, **COARSE)


def test_two_updates_that_do_not_fit() -> None:
    """η' = 0.3 takes y1 = 80 of 127, so not two of them, as the learning rate may ask for."""
    changes = {"temperature": 0.005, "n_steps": 1, "settle_steps": 0, "total_rate": 1.0}
    rule = fixed(changes, learning_rate=0.09, learning_step=0.3, **COARSE).learning
    assert rule.max_quanta * rule.step >= 0.36  # one update of y1 = 96, say


# --- estimators refused --------------------------------------------------------------------------


def trained(
    n_units: int = 4, n_features: int = 20, seed: int = 0, **params: Any
) -> SpikingSoftHebb:
    """An estimator in floating point with random weights that fit their format."""
    rng = np.random.default_rng(seed)
    weights = rng.random((n_units, n_features)) + 0.5
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    prior = np.log(rng.dirichlet(np.full(n_units, 5.0)))
    return SpikingSoftHebb.from_weights(weights, prior, **({"random_state": 0} | params))


@pytest.mark.parametrize(
    ("params", "error", "fragments"),
    [
        (
            {"fixed_options": {"learning_epochs": 10}},
            ValueError,
            ("fixed_options", "['learning_epochs']", "learning_epoch,", "table_bits"),
        ),
        ({"fixed_options": {"rounding": "shared"}}, ValueError, ("unknown keys ['rounding']",)),
        ({"fixed_options": ["table_bits"]}, TypeError, ("fixed_options", "dict", "got list")),
        (
            {"arithmetic": "fixed", "backend": "brian2"},
            ValueError,
            ("arithmetic='fixed'", "backend='event' and 'lava'", "Brian2"),
        ),
        ({"arithmetic": "binary"}, ValueError, ("arithmetic", "'float', 'fixed'", "'binary'")),
        ({"rounding": "up"}, ValueError, ("rounding", "'per_synapse', 'shared'", "'up'")),
        (
            {"arithmetic": "fixed", "fixed_options": {"learning_epoch": 64}},
            ValueError,
            ("learning_epoch", "[1, 63]", "got 64"),
        ),
    ],
)
def test_estimators_refuse(
    params: dict[str, Any], error: type[Exception], fragments: tuple[str, ...]
) -> None:
    for call in (
        lambda: SpikingSoftHebb(2, **params).fit(np.ones((2, 3))),
        lambda: trained().to_fixed(**params),
    ):
        message = refusal(call, error)
        for fragment in fragments:
            assert fragment in message


def test_what_to_fixed_refuses() -> None:
    message = refusal(lambda: trained().to_fixed(fixed_options={"learning_epoch": 10}))
    assert "learning_epoch=10 does not divide the 71 steps" in message
    assert "temperature=1e-05" in refusal(lambda: trained(temperature=1e-5).to_fixed())
    assert "not fitted" in refusal(lambda: SpikingSoftHebb(3).to_fixed())


# --- conversion ----------------------------------------------------------------------------------


@given(st.integers(1, 6), st.integers(8, 200), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=50)
def test_converted_weights(n_units: int, n_features: int, seed: int) -> None:
    """Weights that differ by at most 3 fit: a largest among n is 1.5 / √(2.25 + (n − 1) / 4).

    For n ≥ 8 that is below 2^−0.03 · 1.3 n^(−¼), which a weight can be at least by default.
    """
    model = trained(n_units, n_features, seed)
    weights, prior = model.weights_.copy(), model.log_prior_.copy()
    before = model.get_params()
    on_chip, report = quietly(model.to_fixed)
    unit = 2.0**report.fixed.weight.exponent
    error = on_chip.weights_ - weights
    assert np.abs(error).max() <= 0.5 * unit
    integers = on_chip.weights_ / unit
    np.testing.assert_array_equal(integers, np.rint(integers))
    assert 0 <= integers.min() <= integers.max() <= 255
    # Half a unit of 2^−18 octaves, in nats.
    half = 2.0**-19 * math.log(2.0)
    assert np.abs(on_chip.log_prior_ - prior).max() <= half * (1 + ROUND_OFF) + 1e-14
    octaves = on_chip.log_prior_ / math.log(2.0) * 2**18
    np.testing.assert_allclose(octaves, np.rint(octaves), rtol=ROUND_OFF)
    # What the report says.
    assert (report.clipped_weights, report.clipped_log_prior) == (0, 0)
    assert report.largest_weight == weights.max()
    assert report.weight_error == pytest.approx(math.sqrt((error**2).mean()), rel=ROUND_OFF)
    norms = np.linalg.norm(on_chip.weights_, axis=1)
    assert report.norms == pytest.approx((norms.min(), norms.max()), rel=ROUND_OFF)
    # The original is as it was, and the copy shares nothing with it.
    np.testing.assert_array_equal(model.weights_, weights)
    np.testing.assert_array_equal(model.log_prior_, prior)
    assert model.get_params() == before
    assert on_chip.get_params() == before | {"arithmetic": "fixed"}
    on_chip.weights_[:] = 9.0
    np.testing.assert_array_equal(model.weights_, weights)


@pytest.mark.parametrize("seed", range(5))
def test_a_second_conversion_changes_nothing(seed: int) -> None:
    model = trained(seed=seed)
    model.n_samples_seen_ = 17
    once, _ = model.to_fixed(rounding="shared", fixed_options={"weight_exponent": -9})
    twice, report = quietly(once.to_fixed)
    assert not np.array_equal(model.weights_, once.weights_)
    np.testing.assert_array_equal(twice.weights_, once.weights_)
    np.testing.assert_array_equal(twice.log_prior_, once.log_prior_)
    assert twice.get_params() == once.get_params()
    assert (twice.rounding, twice.fixed_options) == ("shared", {"weight_exponent": -9})
    assert twice.n_samples_seen_ == once.n_samples_seen_ == 17
    assert report.weight_error == 0.0
    assert report.fixed.params == FixedPointParams(rounding="shared", weight_exponent=-9)


def test_clipped_weights_are_counted_and_warned_of() -> None:
    """In steps of 2^−10, weights from 0 to 255/1024 = 0.24902; half a step beyond is rounding."""
    weights = np.full((2, 30), 0.18)
    weights[0, :4] = 0.7, 0.26, -0.3, -0.0004
    weights[1, :2] = 0.2494, 0.25
    model = SpikingSoftHebb.from_weights(weights, random_state=0)
    with pytest.warns(FixedPointOverflow) as caught:
        on_chip, report = model.to_fixed(fixed_options={"weight_exponent": -10})
    # −0.0004 and 0.2494 round to 0 and 255.
    assert [str(one.message) for one in caught] == [
        "weights: 4 of 60 values do not fit 8 bits, unsigned, in steps of 2^-10 ([0, 0.249023]); "
        "0.7 became the nearest that fits 0.249023."
    ]
    assert report.clipped_weights == 4
    assert report.largest_weight == 0.7
    assert (on_chip.weights_[0, :4] * 1024).tolist() == [255, 255, 0, 0]
    assert (on_chip.weights_[1, :2] * 1024).tolist() == [255, 255]
    assert (on_chip.weights_[0, 4:] * 1024 == 184).all()
    text = str(report)
    for fragment in (
        "weights: 8 bits, unsigned, in steps of 2^-10 ([0, 0.249023]); 4 clipped",
        "the largest is 0.7;",
        "0 clipped\n",
    ):
        assert fragment in text
    # The most negative is the one that needs the most room.
    model.weights_[0, 0], model.weights_[0, 2] = 0.1, -0.8
    with pytest.warns(FixedPointOverflow, match=r"3 of 60 .* -0\.8 became .* fits 0\.$"):
        _, report = model.to_fixed(fixed_options={"weight_exponent": -10})
    assert (report.clipped_weights, report.largest_weight) == (3, -0.8)


def test_a_clipped_log_prior_is_counted_and_warned_of() -> None:
    """The smallest is −32 octaves, −22.1807 nats."""
    model = SpikingSoftHebb.from_weights(np.eye(2, 4), [-1e-9, -25.0], random_state=0)
    with pytest.warns(FixedPointOverflow) as caught:
        on_chip, report = model.to_fixed(fixed_options={"weight_exponent": 0})
    # −25 log2(e) = −36.0674 octaves.
    assert [str(one.message) for one in caught] == [
        "log_prior: 1 of 2 values do not fit 24 bits, signed, in steps of 2^-18 ([-32, 32]); "
        "-36.0674 became the nearest that fits -32."
    ]
    assert (report.clipped_weights, report.clipped_log_prior) == (0, 1)
    np.testing.assert_allclose(on_chip.log_prior_, [0.0, -32 * math.log(2.0)], atol=1e-12)
    assert "log prior: 24 bits, signed, in steps of 2^-18 ([-32, 32]) octaves; 1 clipped" in str(
        report
    )


def test_what_a_report_prints() -> None:
    """Ten weights of 80/256 = 0.3125 have the norm 0.9882; they are integers, so exact."""
    weights = np.zeros((2, 64))
    weights[0, :10], weights[1, 10:20] = 80 / 256, 81 / 256
    model = SpikingSoftHebb.from_weights(weights, learning_rate=0.1, random_state=0)
    _, report = quietly(model.to_fixed)
    assert report.learning_rate == 0.1
    # 0.1 / 400 / 2^−7 updates per spike are 536870.9 units of 2^−24.
    assert report.effective_learning_rate == pytest.approx(536871 / 2**24 / 128 * 400, rel=1e-12)
    assert str(report).splitlines() == [
        "weights: 8 bits, unsigned, in steps of 2^-9 ([0, 0.498047]); 0 clipped, the largest is "
        "0.3164; rms error 0; norms 0.9882 to 1.0006",
        "log prior: 24 bits, signed, in steps of 2^-18 ([-32, 32]) octaves; 0 clipped",
        "traces: 7 bits, unsigned, in steps of 2^-7 ([0, 0.992188])",
        "rule: dw = 2^-7*u0*x1*y1 - 2*2^-7*u0*y1*y2*w, every 1 steps",
        "update: η' = 0.007812; η = 0.1 where 0.1 was asked for; norm at equilibrium 1.0000",
    ]


def test_a_report_tells_of_learning_rates_that_are_too_small() -> None:
    model = trained(learning_rate=1e-8)
    _, report = model.to_fixed()
    # 1e-8 / 400 / 2^−7 = 3.2e-9 updates per spike are 0.0537 units of 2^−24: none.
    assert report.effective_learning_rate == 0.0
    assert "η = 0 where 1e-08 was asked for" in str(report)


@pytest.mark.parametrize("options", [None, {"weight_exponent": -9, "learning_epoch": 5}])
def test_a_fixed_model_on_disk(tmp_path: Path, options: dict[str, Any] | None) -> None:
    on_chip, _ = trained(n_steps=49).to_fixed(rounding="shared", fixed_options=options)
    on_chip.n_samples_seen_ = 5
    on_chip.save(tmp_path / "model.safetensors")
    loaded = quietly(lambda: load_model(tmp_path / "model.safetensors"))
    assert type(loaded) is SpikingSoftHebb
    assert loaded.get_params() == on_chip.get_params()
    assert (loaded.arithmetic, loaded.rounding) == ("fixed", "shared")
    assert loaded.fixed_options == options
    assert loaded.n_samples_seen_ == 5
    np.testing.assert_array_equal(loaded.weights_, on_chip.weights_)
    np.testing.assert_array_equal(loaded.log_prior_, on_chip.log_prior_)
    assert loaded.weights_.dtype == np.float64
