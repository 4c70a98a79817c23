"""The network in integers: event engine, Lava and an oracle agree in every bit, in integers alone.

All comparisons are of integers, or of floats that stand for them, so the tolerance is zero.
"""

import ast
import inspect
import pkgutil
import queue
import re
import sys
import textwrap
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from integer_oracle import IntegerResult, run_oracle

from softhebb_spiking import _compiled
from softhebb_spiking.backends import (
    _event_fixed,
    _event_fixed_kernel,
    _event_fixed_learning,
    _event_integers,
    event,
)
from softhebb_spiking.fixed_learning import LearningConstants
from softhebb_spiking.fixed_network import FixedNetwork, fixed_network_of
from softhebb_spiking.fixed_point import FixedPointOverflow
from softhebb_spiking.params import (
    INHIBITIONS,
    PROBES,
    ROUNDINGS,
    FixedPointParams,
    NetworkParams,
    Run,
    RunResult,
)

STATES = ("weights", "log_prior", "spike_counts", "input_spikes", "output_spikes")
FAULTS = ("decay sign", "trace decay", "table", "late prior", "rounding")
Clamp = Callable[..., Run]
Simulator = Callable[..., RunResult]


def example(
    seed: int = 0,
    *,
    n_samples: int = 3,
    learning_rate: float = 0.5,
    prior_learning_rate: float = 0.1,
    fixed: dict[str, Any] | None = None,
    **changes: Any,
) -> Run:
    """A free-running run that learns, with all probes; changes go to the network."""
    rng = np.random.default_rng(seed)
    options: dict[str, Any] = {
        "n_features": 20,
        "n_units": 5,
        "temperature": 0.05,
        "population_size": 16,
        "total_rate": 3.0,
        "n_steps": 9,
        "settle_steps": 4,
        "psp_tau_ms": 5.0,
    }
    net = NetworkParams(**(options | changes))
    samples = rng.random((n_samples, net.n_features))
    samples *= rng.random(samples.shape) < 0.5
    samples[:, 0] += 0.1  # none is all zero
    weights = rng.random((net.n_units, net.n_features))
    return Run(
        network=net,
        samples=samples / np.linalg.norm(samples, axis=1, keepdims=True),
        weights=weights / np.linalg.norm(weights, axis=1, keepdims=True),
        log_prior=np.log(rng.dirichlet(np.full(net.n_units, 5.0))),
        learning_rates=np.full(n_samples, learning_rate),
        prior_learning_rates=np.full(n_samples, prior_learning_rate),
        seed=seed + 7,
        first_sample=3,
        probes=PROBES,
        fixed=FixedPointParams(**(fixed or {})),
    )


def different(one: RunResult, other: RunResult) -> set[str]:
    """Names of the states in which two results differ."""
    assert one.probes.keys() == other.probes.keys()
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in STATES}
    pairs |= {name: (one.probes[name], other.probes[name]) for name in one.probes}
    return {name for name, (a, b) in pairs.items() if not np.array_equal(a, b)}


def different_from_oracle(
    result: RunResult, expected: IntegerResult, fixed: FixedNetwork
) -> set[str]:
    """Names of the states in which a result with all probes differs from the oracle's."""
    found = {name: getattr(result, name) for name in ("weights", "log_prior")} | result.probes
    pairs = {
        name: (values, getattr(fixed, f"{name}_as_float")(getattr(expected, name)))
        for name, values in found.items()
    }
    assert set(pairs) == {"weights", "log_prior", *PROBES}
    pairs["spike_counts"] = (result.spike_counts, expected.spike_counts)
    rows = np.array(expected.output_spikes, np.int64).reshape(-1, 3)
    pairs["output_spikes"] = (result.output_spikes, rows)
    return {name for name, (a, b) in pairs.items() if not np.array_equal(a, b)}


@pytest.fixture(scope="module")
def lava() -> Simulator:
    pytest.importorskip("lava", reason="Lava is not installed")
    from softhebb_spiking.backends import lava as backend

    return lambda run: backend.simulate(run, timeout_s=55.0)


# --- the event engine against the oracle ---------------------------------------------------------


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Runs of all kinds; some do not fit the formats, and `fixed_network` says so."""

    def one_of(*values: Any) -> Any:
        return draw(st.sampled_from(values))

    n_steps, settle_steps = draw(st.integers(1, 14)), draw(st.integers(0, 10))
    steps = n_steps + settle_steps + 1
    population_size = draw(st.integers(1, 40))
    run = example(
        draw(st.integers(0, 2**20)),
        n_samples=draw(st.integers(1, 3)),
        fixed={
            "rounding": one_of(*ROUNDINGS),
            "learning_epoch": one_of(*(epoch for epoch in range(1, 64) if steps % epoch == 0)),
            "learning_step": one_of(2.0**-6, 2.0**-9, 2.0**-3),
            "weight_exponent": one_of(None, None, -11, -9, -7, -5),
            "table_bits": draw(st.integers(0, 12)),
        },
        n_features=draw(st.integers(1, 40)),
        n_units=draw(st.integers(1, 8)),
        temperature=one_of(0.005, 0.02, 0.05, 0.2, 1.0),
        inhibition=one_of(*INHIBITIONS),
        inhibition_gain=one_of(0.7, 0.1, 2.0),
        population_size=population_size,
        total_rate=population_size * one_of(0.1, 0.3, 0.02, 0.95),
        n_steps=n_steps,
        settle_steps=settle_steps,
        dt_ms=one_of(1.0, 0.5),
        max_probability=one_of(0.3, 0.1, 0.6, 1.0),
        psp_tau_ms=one_of(5.0, 0.5, 2.0, 10.0),
    )

    def rates(*values: float) -> Any:
        return np.array([one_of(*values) for _ in run.samples])

    return replace(
        run,
        learning_rates=rates(0.0, 0.05, 0.5, 3.0),
        prior_learning_rates=rates(0.0, 0.01, 0.1, 0.5),
        seed=draw(st.one_of(st.sampled_from((2**63 - 1, 0)), st.integers(0, 2**63 - 1))),
        first_sample=one_of(0, 1, 1000, 2**31),
    )


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(run=runs(), given_input=st.booleans(), given_output=st.booleans())
def test_the_event_engine_is_the_oracle(
    clamp: Clamp, run: Run, given_input: bool, given_output: bool
) -> None:
    clamped = clamp(run)
    run = replace(
        run,
        input_spikes=clamped.input_spikes if given_input else None,
        output_spikes=clamped.output_spikes if given_output else None,
    )
    try:
        fixed = fixed_network_of(run)
    except ValueError:
        assume(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FixedPointOverflow)  # from the coarse or small formats
        result = event.simulate(run)
    expected = run_oracle(run, fixed)
    assert different_from_oracle(result, expected, fixed) == set()
    if given_input:
        np.testing.assert_array_equal(result.input_spikes, run.input_spikes)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("inhibition", INHIBITIONS)
def test_the_comparison_sees_planted_faults(rounding: str, inhibition: str) -> None:
    run = example(1, n_samples=4, fixed={"rounding": rounding}, inhibition=inhibition)
    fixed, result = fixed_network_of(run), event.simulate(run)
    assert np.abs(result.weights - fixed.weights_as_float(fixed.weights(run.weights))).max() > 0.05
    assert np.abs(result.log_prior - run.log_prior).max() > 0.01
    assert different_from_oracle(result, run_oracle(run, fixed), fixed) == set()
    for fault in FAULTS:
        # The first state that a fault touches; what follows from it differs as well.
        touched = {
            "trace decay": "psp",
            "table": "inhibition",
            "late prior": "log_prior",
        }.get(fault, "weights")
        found = different_from_oracle(result, run_oracle(run, fixed, fault), fixed)
        assert touched in found, fault


# --- Lava against the event engine ---------------------------------------------------------------


def assert_lava_is_event(lava: Simulator, run: Run, *, learns: bool = True) -> None:
    one, other = event.simulate(run), lava(run)
    assert different(one, other) == set()
    assert one.spike_counts.sum() > 0
    # It was worth comparing: all moved that could.
    fixed = fixed_network_of(run)
    start = fixed.weights_as_float(fixed.weights(run.weights))
    assert (np.abs(one.weights - start).max() > 0.02) == learns
    assert (np.abs(one.log_prior - run.log_prior).max() > 0.01) == learns


@pytest.mark.lava
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize(
    ("inhibition", "learning_epoch"),
    [("feedback", 1), ("graded", 7), ("exact", 2)],
)
def test_lava_is_the_event_engine(
    lava: Simulator,
    capfd: pytest.CaptureFixture[str],
    inhibition: str,
    learning_epoch: int,
    rounding: str,
) -> None:
    fixed = {"rounding": rounding, "learning_epoch": learning_epoch}
    assert_lava_is_event(lava, example(2, n_samples=4, fixed=fixed, inhibition=inhibition))
    assert capfd.readouterr() == ("", "")


@pytest.mark.lava
def test_lava_with_plain_synapses_is_the_event_engine(lava: Simulator) -> None:
    run = example(3, learning_rate=0.0, prior_learning_rate=0.0)
    assert_lava_is_event(lava, replace(run, probes=("drive", "inhibition")), learns=False)


@pytest.mark.lava
def test_lava_with_traces_alone_is_the_event_engine(lava: Simulator) -> None:
    """The psp probe asks for plastic synapses although nothing learns."""
    run = example(4, learning_rate=0.0, prior_learning_rate=0.0)
    assert_lava_is_event(lava, replace(run, probes=("psp",), keep_spikes=False), learns=False)


@pytest.mark.lava
def test_lava_with_given_spikes_is_the_event_engine(lava: Simulator, clamp: Clamp) -> None:
    """And with the largest seed."""
    assert_lava_is_event(lava, clamp(replace(example(5), seed=2**63 - 1)))


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_thousands_of_learning_steps_in_lava_end_in_the_same_bits(
    lava: Simulator, rounding: str
) -> None:
    rng = np.random.default_rng(8)
    run = example(
        int(rng.integers(2**20)),
        n_samples=72,
        learning_rate=rng.uniform(0.1, 0.3),
        prior_learning_rate=rng.uniform(0.02, 0.1),
        fixed={"rounding": rounding, "table_bits": int(rng.integers(4, 9))},
        n_features=int(rng.integers(10, 60)),
        n_units=int(rng.integers(3, 10)),
        temperature=rng.uniform(0.02, 0.1),
        n_steps=20,
        settle_steps=7,
        psp_tau_ms=rng.uniform(2.0, 8.0),
    )
    assert len(run.samples) * (run.network.presentation_steps + 1) >= 2000
    # Traces take Lava long to read, and show in the weights.
    assert_lava_is_event(lava, replace(run, probes=("drive", "inhibition")))


# --- seams ---------------------------------------------------------------------------------------


def part(run: Run, first: int, last: int, **start: Any) -> Run:
    """Samples first … last − 1 of a run, as a run of their own."""
    rows = slice(first, last)
    return replace(
        run,
        samples=run.samples[rows],
        learning_rates=run.learning_rates[rows],
        prior_learning_rates=run.prior_learning_rates[rows],
        first_sample=run.first_sample + first,
        **start,
    )


@pytest.mark.parametrize("learning_epoch", [1, 7])
def test_a_run_can_be_cut_between_samples(learning_epoch: int) -> None:
    """Lava's own generator, of shared rounding, starts again with each run; ours goes on."""
    run = example(6, n_samples=5, fixed={"learning_epoch": learning_epoch})
    whole = event.simulate(run)
    one = event.simulate(part(run, 0, 2))
    two = event.simulate(part(run, 2, 5, weights=one.weights, log_prior=one.log_prior))
    np.testing.assert_array_equal(two.weights, whole.weights)
    np.testing.assert_array_equal(two.log_prior, whole.log_prior)
    joined = np.concatenate([one.spike_counts, two.spike_counts])
    np.testing.assert_array_equal(joined, whole.spike_counts)
    for name in PROBES:
        joined = np.concatenate([one.probes[name], two.probes[name]])
        np.testing.assert_array_equal(joined, whole.probes[name])
    # A second part that repeats the random numbers of the first does not go on with them.
    again = part(run, 2, 5, weights=one.weights, log_prior=one.log_prior)
    again = event.simulate(replace(again, first_sample=run.first_sample))
    assert not np.array_equal(again.weights, whole.weights)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_what_is_recorded_changes_nothing(rounding: str) -> None:
    run = example(7, fixed={"rounding": rounding})
    full = event.simulate(run)
    for probes in [(), ("psp",), ("drive", "inhibition")]:
        less = event.simulate(replace(run, probes=probes, keep_spikes=False))
        for name in ("weights", "log_prior", "spike_counts"):
            np.testing.assert_array_equal(getattr(less, name), getattr(full, name))
        for name in probes:
            np.testing.assert_array_equal(less.probes[name], full.probes[name])
        assert set(less.probes) == set(probes)
        assert len(less.input_spikes) == len(less.output_spikes) == 0


def test_restart_adds_up_the_changes_of_samples_that_each_find_the_start() -> None:
    run = example(8, n_samples=4)
    fixed = fixed_network_of(run)
    # Start on the grid, where the integers stand for the floats exactly.
    start = {
        "weights": fixed.weights_as_float(fixed.weights(run.weights)),
        "log_prior": fixed.log_prior_as_float(fixed.log_prior(run.log_prior)),
    }
    run = replace(run, **start)
    alone = [event.simulate(part(run, sample, sample + 1)) for sample in range(4)]
    for together, parts in [
        (event.simulate(replace(part(run, 0, 1), restart=True)), alone[:1]),
        (event.simulate(replace(run, restart=True)), alone),
    ]:
        change = sum(result.weights - run.weights for result in parts)
        assert np.abs(change).max() > 0.02
        np.testing.assert_array_equal(together.weights - run.weights, change)
        # Multiples of the log prior's bit turned into nats round at 1e-16 of values below 8.
        change = sum(result.log_prior - run.log_prior for result in parts)
        np.testing.assert_allclose(together.log_prior - run.log_prior, change, rtol=0, atol=1e-14)
        joined = np.concatenate([result.spike_counts for result in parts])
        np.testing.assert_array_equal(together.spike_counts, joined)


@pytest.mark.lava
def test_lava_refuses_restart(lava: Simulator) -> None:
    with pytest.raises(ValueError, match="restart runs on the event rung only"):
        lava(replace(example(), restart=True))


@pytest.mark.brian2
@pytest.mark.parametrize(
    ("changes", "what"), [({}, "integers"), ({"fixed": None, "restart": True}, "restart")]
)
def test_brian2_refuses_integers_and_restart(changes: dict[str, Any], what: str) -> None:
    pytest.importorskip("brian2", reason="Brian2 is not installed")
    from softhebb_spiking.backends import brian2

    with pytest.raises(ValueError, match=f"Brian2 runs in floating point .*; {what} need 'event'"):
        brian2.simulate(replace(example(), **changes))


# --- overflow ------------------------------------------------------------------------------------

SMALL_WEIGHTS = {"weight_exponent": -13}  # up to 255/8192 = 0.031; weights of example() reach 0.4


def overdriven() -> Run:
    """Every input fires in each step with the largest payload onto the largest weights.

    40 · 255 · 2 · 127 = 2.6e6 is added to a drive in each step; it holds 2²³ − 1 = 8.4e6, and would
    reach 2.6e6 / (1 − e^(−1/5)) = 14e6.
    """
    run = example(
        9,
        n_samples=1,
        n_features=40,
        max_probability=1.0,
        fixed=SMALL_WEIGHTS | {"trace_exponent": -12},
    )
    net = run.network
    every = np.argwhere(np.ones((1, net.presentation_steps, net.n_features)))
    weights = np.full_like(run.weights, 40**-0.5)
    samples = np.full_like(run.samples, 40**-0.5)
    return replace(run, weights=weights, samples=samples, input_spikes=every)


def messages(caught: Iterable[warnings.WarningMessage]) -> str:
    assert all(item.category is FixedPointOverflow for item in caught)
    return "\n".join(str(item.message) for item in caught)


def test_numbers_that_do_not_fit_are_warned_of_and_saturate() -> None:
    with pytest.warns(FixedPointOverflow) as caught:
        event.simulate(example(fixed=SMALL_WEIGHTS))
    assert re.search("weights: 9[0-9] of 100 values do not fit 8 bits", messages(caught))
    run = overdriven()
    with pytest.warns(FixedPointOverflow) as caught:
        result = event.simulate(run)
    assert "weights: 200 of 200 values do not fit 8 bits" in messages(caught)
    assert "times a drive did not fit 24 bits, signed" in messages(caught)
    fixed = fixed_network_of(run)
    assert result.probes["drive"].max() == fixed.drive_as_float(np.int64(2**23 - 1))


def test_what_fits_is_not_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        event.simulate(example())


@pytest.mark.lava
def test_lava_warns_of_the_same_overflows(
    lava: Simulator, capfd: pytest.CaptureFixture[str]
) -> None:
    run = overdriven()
    with warnings.catch_warnings(record=True) as here:
        warnings.simplefilter("always")
        expected = event.simulate(run)
    with warnings.catch_warnings(record=True) as there:
        warnings.simplefilter("always")
        result = lava(run)
    assert different(expected, result) == set()
    # What the worker's session warns of comes out here, as warnings or as text.
    heard = messages(there) + capfd.readouterr().err
    for message in messages(here).splitlines():
        assert message in heard


# --- nothing but integers ------------------------------------------------------------------------

DESCRIPTIONS = (FixedNetwork, NetworkParams, FixedPointParams, LearningConstants)
FLOAT_NAMES = {"float", "float16", "float32", "float64", "exp", "exp2", "log", "log2", "sqrt"}


def floats_in(value: Any, path: str) -> Iterator[str]:
    """Paths to all numbers and arrays in a value that are not integers or booleans.

    It enters containers and objects of this package, but not descriptions of the network.
    """
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.kind not in "iub":
            yield f"{path}: {value.dtype}"
    elif isinstance(value, float | complex):
        yield f"{path}: {type(value).__name__}"
    else:
        for name, item in entries(value):
            yield from floats_in(item, path + name)


def entries(value: Any) -> list[tuple[str, Any]]:
    """What a container, or an object of this package, is made of."""
    if isinstance(value, dict):
        return [(f"[{key!r}]", item) for key, item in value.items()]
    if isinstance(value, list | tuple | set):
        return [("[]", item) for item in value]
    ours = type(value).__module__.startswith("softhebb_spiking")
    if ours and not isinstance(value, DESCRIPTIONS):
        return [(f".{name}", item) for name, item in vars(value).items()]
    return []


def floats_of(model: Any) -> Iterator[str]:
    """Floats that a model holds; `phase` is Lava's name for the phase of a step."""
    for name, value in vars(model).items():
        if name != "phase":
            yield from floats_in(value, f"{type(model).__name__}.{name}")


class Tracer:
    """Looks at all locals after each line of this package's functions, and at what they return."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.code: set[types.CodeType] = set()

    def __call__(self, frame: types.FrameType, event: str, arg: Any) -> Any:
        if not frame.f_globals.get("__name__", "").startswith("softhebb_spiking."):
            return None
        self.code.add(frame.f_code)
        name = frame.f_code.co_qualname if sys.version_info >= (3, 11) else frame.f_code.co_name
        values = {key: value for key, value in frame.f_locals.items() if key != "self"}
        if event == "return":
            values["return"] = arg
        for key, value in values.items():
            self.found |= set(floats_in(value, f"{name}: {key}"))
        return self

    def run(self, function: Callable[[], None]) -> None:
        before = sys.gettrace()
        sys.settrace(self)
        try:
            function()
        finally:
            sys.settrace(before)


def float_syntax(code: types.CodeType) -> Iterator[str]:
    """Places in a function's source that could make a float, if only within an expression."""
    if code.co_name.startswith("<"):
        return  # a comprehension, part of a function
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(code)))):
        name = getattr(node, "attr", getattr(node, "id", None))
        if (
            isinstance(node, ast.Div)
            or (isinstance(node, ast.Constant) and isinstance(node.value, float))
            or name in FLOAT_NAMES
        ):
            yield f"{code.co_name}: {ast.dump(node)}"


def models(tag: str) -> dict[str, Any]:
    """Models of this package's Processes with a tag, by the name of the Process."""
    from softhebb_spiking import processes

    found = {}
    for folder in pkgutil.iter_modules(processes.__path__):
        if folder.ispkg:
            module = import_module(f"softhebb_spiking.processes.{folder.name}.models")
            for model in vars(module).values():
                # Of the class itself: an imported base has tags too.
                if inspect.isclass(model) and tag in getattr(model, "tags", ()):
                    found[model.implements_process.__name__] = model
    return found


def lava_types(model: Any) -> dict[str, Any]:
    from lava.magma.core.model.py.type import LavaPyType

    members = {name: getattr(model, name) for name in dir(model)}
    return {name: item for name, item in members.items() if isinstance(item, LavaPyType)}


class OutPort:
    """Sends as Lava does, in the type of the port, and remembers what was not an integer."""

    def __init__(self, name: str, dtype: Any, found: set[str]) -> None:
        self.name, self.dtype, self.found = name, dtype, found
        self.queues: list[Any] = []

    def send(self, data: Any) -> None:
        self.found |= set(floats_in(data, f"sent by {self.name}"))
        held = np.asarray(data).astype(self.dtype)
        assert np.array_equal(held, data), f"{self.name} loses {data}"
        for line in self.queues:
            line.put(held)


class InPort:
    """Receives as Lava does; zeros if it is not connected."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype = shape, dtype
        self.queues: list[Any] = []

    def recv(self) -> Any:
        received = np.zeros(self.shape, self.dtype)
        for line in self.queues:
            received = received + line.get(timeout=20.0)
        return received


class RefPort:
    """Reads and writes a Var of another model."""

    def __init__(self, model: Any, name: str, found: set[str]) -> None:
        self.model, self.name, self.found = model, name, found

    def read(self) -> Any:
        return getattr(self.model, self.name).copy()

    def write(self, data: Any) -> None:
        self.found |= set(floats_in(data, f"written to {self.name}"))
        getattr(self.model, self.name)[:] = data

    def wait(self) -> None:
        pass


class MiniLava:
    """Lava's models, built as its PyProcessBuilder does, in threads instead of processes."""

    def __init__(self, run: Run) -> None:
        from softhebb_spiking.networks import SoftHebbNetwork
        from softhebb_spiking.processes.softhebb_layer.models import SoftHebbLayerModel

        self.tracer = Tracer()
        self.network = SoftHebbNetwork(run)
        layer = SoftHebbLayerModel(self.network.layer)
        found = models("fixed_pt")
        self.processes = [
            self.network.encoder,
            layer.neurons,
            layer.pool,
            layer.synapses,
            layer.manager,
            self.network.counter,
        ]
        self.models = {
            process.__class__.__name__: self._build(found[process.__class__.__name__], process)
            for process in self.processes
        }
        self._connect()
        manager, synapses = self.models["SynapseManager"], self.models["PlasticDense"]
        for name in ("x1", "weights"):
            setattr(manager, name, RefPort(synapses, name, self.tracer.found))

    def _build(self, model_class: Any, process: Any) -> Any:
        model = model_class(process.proc_params)
        held = lava_types(model_class)
        name = process.__class__.__name__
        for port in process.out_ports:
            label = f"{name}.{port.name}"
            setattr(model, port.name, OutPort(label, held[port.name].d_type, self.tracer.found))
        for port in process.in_ports:
            setattr(model, port.name, InPort(port.shape, held[port.name].d_type))
        for var in process.vars:
            if var.name in held:
                values = np.zeros(var.shape, held[var.name].d_type)
                values[:] = var.init
                setattr(model, var.name, values)
        return model

    def _connect(self) -> None:
        for process in self.processes:
            for port in process.out_ports:
                for target in port.get_dst_ports():
                    line: Any = queue.Queue()
                    source = getattr(self.models[process.__class__.__name__], port.name)
                    source.queues.append(line)
                    heard = self.models[target.process.__class__.__name__]
                    getattr(heard, target.name).queues.append(line)

    def present(self) -> None:
        """Run all steps: spiking, learning and management phase of each."""
        from softhebb_spiking.processes.presentation import lava_steps

        run = self.network.run
        sending = [model for name, model in self.models.items() if name != "SynapseManager"]
        with ThreadPoolExecutor(len(sending)) as pool:
            for step in range(1, lava_steps(run.network, len(run.samples)) + 1):
                for model in self.models.values():
                    model.time_step = step
                for done in [pool.submit(self.tracer.run, model.run_spk) for model in sending]:
                    done.result(timeout=30.0)
                self._guarded("PlasticDense", "lrn_guard", "run_lrn")
                self._guarded("SynapseManager", "post_guard", "run_post_mgmt")
                self._look()

    def _guarded(self, name: str, guard: str, phase: str) -> None:
        if getattr(self.models[name], guard)():
            self.tracer.run(getattr(self.models[name], phase))

    def _look(self) -> None:
        for model in self.models.values():
            self.tracer.found |= set(floats_of(model))


@pytest.fixture
def quiet_lava(lava: Simulator) -> Iterator[None]:
    """Lava for Processes that are made here: each adds a handler to the root logger."""
    import logging

    root = logging.getLogger()
    before = list(root.handlers)
    yield
    root.handlers[:] = before


@pytest.mark.lava
def test_models_in_fixed_point_declare_integers(quiet_lava: None) -> None:
    found = models("fixed_pt")
    assert set(found) == {
        "CountRecorder",
        "Dendrite",
        "LateralInhibition",
        "PlasticDense",
        "RateEncoder",
        "SoftWTA",
        "SpikeCounter",
        "SynapseManager",
    }

    def not_integers(model: Any) -> set[str]:
        kinds = {name: np.dtype(item.d_type).kind for name, item in lava_types(model).items()}
        assert kinds
        return {name for name, kind in kinds.items() if kind not in "iub"}

    for name, model in found.items():
        assert not_integers(model) == set(), name
    assert {"h", "trend", "pool_out"} <= not_integers(models("floating_pt")["LateralInhibition"])


@pytest.mark.lava
@pytest.mark.parametrize(
    ("inhibition", "learning_epoch", "pooling"),
    [
        ("feedback", 1, "correction_from_spikes"),
        ("graded", 7, "correction_from_messages"),
        ("exact", 2, "oracle"),
    ],
)
def test_models_in_fixed_point_step_in_integers(
    quiet_lava: None, inhibition: str, learning_epoch: int, pooling: str
) -> None:
    run = example(10, fixed={"learning_epoch": learning_epoch}, inhibition=inhibition)
    mini = MiniLava(run)
    mini.present()
    assert mini.tracer.found == set()
    # All of it was seen: models, their helpers, and the functions they share.
    seen = {code.co_name for code in mini.tracer.code}
    assert {"_learn_unit", "learn_prior", "run_post_mgmt", "counts_below", pooling} <= seen
    assert {place for code in mini.tracer.code for place in float_syntax(code)} == set()
    # And it was the network: it ends as the event engine does.
    expected, fixed = event.simulate(run), mini.network.fixed
    assert fixed is not None
    weights = fixed.weights_as_float(mini.models["PlasticDense"].weights)
    np.testing.assert_array_equal(weights, expected.weights)
    log_prior = fixed.log_prior_as_float(mini.models["SoftWTA"].log_prior)
    np.testing.assert_array_equal(log_prior, expected.log_prior)
    np.testing.assert_array_equal(mini.models["SpikeCounter"].counts, expected.spike_counts)


@pytest.mark.lava
def test_the_search_for_floats_finds_them(quiet_lava: None) -> None:
    from softhebb_spiking.processes import RateEncoder

    run = example()
    model = models("floating_pt")["RateEncoder"](
        RateEncoder(params=run.network, samples=run.samples).proc_params
    )
    tracer = Tracer()
    model.s_out = OutPort("s_out", np.float64, tracer.found)
    model.time_step = 1
    tracer.run(model.run_spk)
    found = "\n".join(tracer.found)
    assert "sent by s_out: float64" in found
    assert "payloads: return: float" in found
    assert "begin: x: float64" in found
    assert any("._gain: float" in place for place in floats_of(model))
    assert list(floats_in({"a": [np.ones(2, np.int32), (1, True, np.float32(2.0))]}, "x")) == [
        "x['a'][][]: float32"
    ]
    assert len(list(float_syntax(example.__code__))) > 5  # it divides, and names fractions


def typed(dispatcher: Any) -> Iterator[str]:
    """Types that numba gave to arguments, results, variables and intermediate values."""
    for overload in dispatcher.overloads.values():
        yield str(overload.signature)
        yield from (str(item) for item in overload.type_annotation.typemap.values())


@pytest.mark.slow
def test_the_compiled_kernel_has_no_float(monkeypatch: pytest.MonkeyPatch) -> None:
    # Copies that are compiled here: the types of cached machine code are gone.
    compiled_here = types.ModuleType("uncached__compiled")
    vars(compiled_here).update(vars(_compiled))
    compiled_here.kernel = partial(numba.njit, _nrt=False)  # type: ignore[attr-defined]
    compiled_here.inlined_kernel = compiled_here.kernel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "uncached__compiled", compiled_here)
    kernels: dict[str, Any] = {}
    for module in (_event_integers, _event_fixed_learning, _event_fixed_kernel):
        short = module.__name__.rsplit(".", 1)[-1]
        source = inspect.getsource(module)
        for name in ("_compiled", "backends._event_integers", "backends._event_fixed_learning"):
            copy = f"uncached_{name.rsplit('.', 1)[-1]} import"
            source = source.replace(f"softhebb_spiking.{name} import", copy)
        uncached = types.ModuleType(f"uncached_{short}")
        monkeypatch.setitem(sys.modules, uncached.__name__, uncached)
        exec(compile(source, uncached.__name__, "exec"), vars(uncached))
        own = {name: item for name, item in vars(uncached).items() if hasattr(item, "py_func")}
        kernels |= {n: item for n, item in own.items() if item.__module__ == uncached.__name__}
    monkeypatch.setattr(_event_fixed, "present_fixed", kernels["present_fixed"])
    run = example(11)
    fixed, result = fixed_network_of(run), event.simulate(run)
    assert different_from_oracle(result, run_oracle(run, fixed), fixed) == set()

    compiled = {name: list(typed(item)) for name, item in kernels.items() if item.overloads}
    assert {"present_fixed", "_fire", "_learn_unit", "_round_weights", "log2"} <= set(compiled)
    assert min(len(found) for found in compiled.values()) > 3
    for name, found in compiled.items():
        assert [item for item in found if "float" in item or "complex" in item] == [], name

    @numba.njit
    def planted(n):  # type: ignore[no-untyped-def]
        return int(n / 2 + 0.5)

    planted(3)
    assert "float64" in list(typed(planted))


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.lava
@pytest.mark.parametrize(
    ("wrong", "shape"),
    [
        (lambda good: good.T, (20, 5)),
        (lambda good: good[0], (20,)),
        (lambda good: good + 256 * (good == good.max()), (5, 20)),
        (lambda good: good - 256 * (good == good.max()), (5, 20)),
        (lambda good: good + 0.5 * (good == good.min()), (5, 20)),
        (lambda good: good / 256.0, (5, 20)),
    ],
    ids=["transposed", "a row", "too large", "negative", "a fraction", "floats"],
)
def test_synapses_refuse_weights_that_are_no_integers_of_their_shape(
    quiet_lava: None, wrong: Callable[[Any], Any], shape: tuple[int, ...]
) -> None:
    from softhebb_spiking.processes import PlasticDense

    run = example()
    fixed = fixed_network_of(run)
    good = fixed.weights(run.weights)
    PlasticDense(weights=good, fixed=fixed)
    with pytest.raises(ValueError, match="integers of shape") as caught:
        PlasticDense(weights=wrong(good), fixed=fixed)
    assert str(caught.value) == (
        f"weights must be integers of shape (5, 20) in [0, 255], got shape {shape} "
        f"and dtype {wrong(good).dtype}; FixedNetwork.weights makes them from floats."
    )


@pytest.mark.lava
def test_synapses_refuse_a_negative_seed(quiet_lava: None) -> None:
    from softhebb_spiking.processes import PlasticDense

    run = example()
    fixed = fixed_network_of(run)
    with pytest.raises(ValueError, match="seed"):
        PlasticDense(weights=fixed.weights(run.weights), fixed=fixed, seed=-1)


@pytest.mark.lava
def test_an_encoder_in_integers_needs_samples(quiet_lava: None) -> None:
    from softhebb_spiking.processes import RateEncoder

    run = example()
    fixed = fixed_network_of(run)
    with pytest.raises(ValueError, match="a RateEncoder in integers needs samples"):
        RateEncoder(params=run.network, fixed=fixed, samples=None)
    RateEncoder(params=run.network, fixed=fixed, samples=run.samples)
    RateEncoder(params=run.network, samples=None)
