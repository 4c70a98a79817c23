"""The network in Brian2: an independent check of the other backends.

Nothing here is shared with what it checks but the description of the network: the constants are
derived again, with units, from `NetworkParams`, the equations of `docs/model.md` are Brian2
strings, and the random numbers are Brian2's own. Input and output spikes that are not given are
therefore *other* draws than those of the other backends for the same seed: compare such runs
statistically, or give the spikes of one run to the other.

    network = build_network(run)     # a brian2.Network with named groups
    print(network)                   # its parameters, equations and order of events
    brian2.seed(1)
    network.run(200 * brian2.ms)
    network["units"].u               # drives, without unit
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking.params import Run, RunResult

IntArray = NDArray[np.int64]

TARGETS = ("numpy", "cython", "cpp_standalone")

INPUTS = """
ds/dt = -s/tau_psp : 1            # PSP, E[s] = x on average over the steps that are read
p = max_probability*x/peak : 1    # spike probability per step
d = exp(-dt/tau_psp) : 1 (shared)
rise = 1 - d**(settle_steps + 1)*(1 - d**n_steps)/(n_steps*(1 - d)) : 1 (shared)
g = peak*(1 - d)/(max_probability*rise) : 1 (shared)  # height of one PSP
x : 1                             # the sample that is shown
peak : 1 (shared)                 # its largest entry
"""
UNITS = """
du/dt = -u/tau_psp : 1      # drive of the dendrite: w_k . s, one step late
a : 1                       # current on its way, it arrives in the next step
b : 1                       # log prior, nats
rho : 1                     # spike probability per step of each neuron of the population
n : integer                 # spikes of the population in this step
spike_count : integer       # the same, summed over the steps that are read
eta : 1 (shared)            # learning rate per output spike
eta_b : 1 (shared)          # the same of the log prior
h : 1 (linked)              # of the pool
n_total : integer (linked)  # of the pool
reading = t_in_timesteps % presentation_steps >= settle_steps : boolean (shared)
"""
NEURONS = """
rho : 1 (linked)            # of the unit whose population the neuron belongs to
"""
POOL = """
h : 1                       # inhibition, nats
v : 1                       # trend of its corrections, nats
n_total : integer           # spikes of all populations in this step
intensity : 1               # sum over the units of exp(u/temperature + b - h)
"""
CLAMPED = """
fired : boolean             # whether a given spike makes it fire in this step
"""
WEIGHTS = """
w : 1                       # weight from input to unit
"""
# Relative to the last h the sum neither overflows nor vanishes: it moves by few nats per step.
INTENSITY = """
intensity_post = exp(u_pre/temperature + b_pre - h_post) : 1 (summed)
"""
MODELS = {
    "inputs": INPUTS,
    "units": UNITS,
    "neurons": NEURONS,
    "pool": POOL,
    "feedforward": WEIGHTS,
    "lateral": INTENSITY,
}

ONSET = {
    "inputs": """
peak = sample_peak(t)
x = sample(t, i)
s = 0
""",
    "units": """
eta = learning_rate(t)/(total_rate*n_steps)
eta_b = prior_learning_rate(t)/(total_rate*n_steps)
u = 0
a = 0
spike_count = 0
""",
    "pool": """
h = 0
v = 0
""",
}
DENDRITE = """
u += a
a = 0
n = 0
"""
EXACT = "h += log(intensity)"
# The exponential of a clipped logarithm is min(1, ...) that cannot overflow.
RATE = "rho = exp(clip(u/temperature + b - h + log(total_rate/population_size), -inf, 0))"
COUNT = """
n_post += 1
spike_count_post += int(reading_post)
"""
TRANSMISSION = "a_post += g_pre*w"
PLASTICITY = "w += eta_post*n_post*(s_pre - u_post*w)"
# In the exponent int(n > 0) keeps a silent unit of vanishing prior from 0 * inf.
PRIOR = "b = clip(b + int(reading)*eta_b*(n*exp(-b*int(n > 0)) - n_total), -inf, 0)"
TREND = """
v = v*exp(-dt/tau_psp) + (1 - exp(-dt/tau_psp))*correction
h += correction + v
n_total = 0
"""
POOL_UPDATE = {
    "feedback": f"""
correction = inhibition_gain*log((n_total + 0.5)/(total_rate + 0.5))
{TREND.strip()}
""",
    "graded": f"""
correction = log(intensity)
{TREND.strip()}
""",
    "exact": "n_total = 0",
}


def _import_brian2() -> Any:
    """Import Brian2 if it is installed, without the log file and excepthook it comes with."""
    foreign, hook = "brian2" in sys.modules, sys.excepthook
    try:
        import brian2
    except ImportError:
        return None
    if foreign:
        return brian2
    sys.excepthook = hook
    log = brian2.BrianLogger
    if log.file_handler is not None:
        logging.getLogger("brian2").removeHandler(log.file_handler)
        log.file_handler.close()
    for path in (log.tmp_log, log.tmp_script):
        with suppress(OSError, TypeError):
            os.remove(path)
    log.file_handler = log.tmp_log = log.tmp_script = None
    return brian2


b2 = _import_brian2()
_Network: Any = object if b2 is None else b2.Network


class SpikingNetwork(_Network):
    """A `brian2.Network` that prints as its parameters, equations and order of events.

    Parameters
    ----------
    *objects : brian2.BrianObject
        What the network consists of.
    title : str
        First line of the print-out.
    parameters : dict of str to object
        The constants of the equations, with their units.
    """

    def __init__(self, *objects: Any, title: str, parameters: dict[str, Any]) -> None:
        super().__init__(*objects, name="softhebb*")
        self.title = title
        self.parameters = parameters
        for item in objects:
            # Else Brian2 warns that a network which is only printed was "never included" in one.
            item._network = self.id

    def __str__(self) -> str:
        lines = [self.title, "", "parameters"]
        lines += [f"    {name} = {value}" for name, value in self.parameters.items()]
        members = {item.name: item for item in self.objects}
        for name in [name for name in MODELS if name in members]:
            model = MODELS[name] + (CLAMPED if f"clamp_{name}" in members else "")
            lines += ["", _heading(members[name]), textwrap.indent(model.strip(), "    ")]
        lines += ["", "each step, in this order"]
        for item in self.sorted_objects:
            statement = "; ".join(_statement(item).strip().splitlines())
            if statement:
                lines.append(f"    {item.when:17} {item.name}: {statement}")
        return "\n".join(lines)


def build_network(run: Run) -> Any:
    """Build the network of a run, with its samples and monitors.

    Its groups are "inputs" (n_features), "units" (n_units), "neurons" (n_units * population_size)
    and "pool" (1). Its synapses are "feedforward" (inputs to units, weights ``w``), "counting" and
    "pooling" (neurons to units and to the pool) and, unless inhibition is `feedback`, "lateral"
    (units to pool). Its monitors are "spike_counts", with `keep_spikes` "input_spikes" and
    "output_spikes", and "drive", "inhibition" and "psp" where probed. Where spikes are given,
    "given_inputs" and "given_neurons" emit them.

    Parameters
    ----------
    run : Run
        The network, what is shown to it and its initial state. Its `seed` is not used here: call
        `brian2.seed` before the network runs to be able to repeat it.

    Returns
    -------
    SpikingNetwork
        Ready for ``run(duration)``. Each sample is shown for ``presentation_steps * dt_ms``
        milliseconds, the last one over and over again.

    Raises
    ------
    ImportError
        If Brian2 is not installed.
    ValueError
        If there are no samples.
    """
    require_installed()
    if len(run.samples) == 0:
        raise ValueError("samples is empty: a run needs at least one sample.")
    net, parameters = run.network, _parameters(run)
    onset = b2.Clock(dt=_presentation(run), name="presentation_clock")
    given = _given_spikes(run)
    groups = _groups(run, parameters | _tables(run))
    _schedule(run, groups, onset)
    return SpikingNetwork(
        *groups.values(),
        *_synapses(run, groups),
        *chain(*(_clamp(name, groups[name], *spikes) for name, spikes in given.items())),
        *_monitors(run, groups, onset),
        title=f"SoftHebb, spiking: {net.n_features} inputs, {net.n_units} units of "
        f"{net.population_size} neurons, {net.inhibition} inhibition",
        parameters=parameters,
    )


def simulate(run: Run, *, target: str = "numpy") -> RunResult:
    """Run a network in Brian2.

    Brian2's preferences, device and random state are left as they were found.

    Parameters
    ----------
    run : Run
        The network, what is shown to it and what is wanted back; ``seed`` and ``first_sample``
        key Brian2's random numbers.
    target : {"numpy", "cython", "cpp_standalone"}
        How Brian2 runs the equations. The latter two need a C++ compiler; "cpp_standalone"
        compiles for some ten seconds, in a temporary directory.

    Returns
    -------
    RunResult
        Spikes are those of all steps, settling included, and steps count from the onset of a
        sample; counts and probes are those of the steps that are read.

    Raises
    ------
    ImportError
        If Brian2 is not installed.
    ValueError
        If the target is unknown, the run asks for what only other rungs can, or it cannot be
        built (see `build_network`).
    RuntimeError
        If "cpp_standalone" finds no compiler.
    """
    if target not in TARGETS:
        listed = ", ".join(repr(item) for item in TARGETS)
        raise ValueError(f"target must be one of {listed}; got {target!r}.")
    require_installed()
    if run.fixed is not None or run.restart:
        what = "integers" if run.fixed is not None else "restart"
        raise ValueError(
            f"Brian2 runs in floating point and goes on learning; {what} need 'event'."
        )
    key = np.random.SeedSequence([run.seed, run.first_sample]).generate_state(1)[0]
    with _device(target) as device:
        b2.seed(int(key))
        network = build_network(run)
        network.run(len(run.samples) * _presentation(run), namespace={})
        if target != "cpp_standalone":
            return _result(run, network)
        with tempfile.TemporaryDirectory(prefix="softhebb_brian2_") as directory:
            device.build(directory=directory, with_output=False)
            return _result(run, network)


def require_installed() -> None:
    """Raise the error that says how to install Brian2, if it is missing."""
    if b2 is None:
        raise ImportError(
            "The Brian2 backend needs Brian2, which is not installed. Install it with\n"
            '    pip install "softhebb-spiking[brian2]"'
        )


def _require_compiler() -> None:
    """Raise the error that says what "cpp_standalone" misses, if it misses something."""
    needed = ("make", os.environ.get("CXX", "g++").split()[0])
    missing = [name for name in needed if shutil.which(name) is None]
    if missing and os.name == "posix":
        raise RuntimeError(
            f"target='cpp_standalone' compiles C++, but found no {' and no '.join(missing)} on "
            "the PATH. Install a compiler (set CXX for another than g++) or use target='numpy'."
        )


@contextmanager
def _device(target: str) -> Iterator[Any]:
    """Make Brian2 run on a target for a while, silent below warnings."""
    from brian2.devices.cpp_standalone.device import CPPStandaloneDevice
    from brian2.devices.device import reset_device, runtime_device

    standalone = target == "cpp_standalone"
    if standalone:
        _require_compiler()
    codegen, console = b2.prefs.codegen, b2.BrianLogger.console_handler
    previous = codegen.target, console.level, runtime_device.get_random_state()
    # A standalone device of its own spares what the user may be building on Brian2's.
    b2.set_device(CPPStandaloneDevice() if standalone else runtime_device, not standalone)
    try:
        console.setLevel(logging.WARNING)
        if not standalone:
            codegen.target = target
        yield b2.get_device()
    finally:
        reset_device()
        codegen.target = previous[0]
        console.setLevel(previous[1])
        runtime_device.set_random_state(previous[2])


def _presentation(run: Run) -> Any:
    """Return for how long a sample is shown, with its unit."""
    return run.network.presentation_steps * run.network.dt_ms * b2.ms


def _parameters(run: Run) -> dict[str, Any]:
    """Return the constants of the equations, with their units."""
    net = run.network
    return {
        "tau_psp": net.psp_tau_ms * b2.ms,
        "max_probability": net.max_probability,
        "temperature": net.temperature,
        "total_rate": net.total_rate,
        "population_size": net.population_size,
        "inhibition_gain": net.inhibition_gain,
        "n_steps": net.n_steps,
        "settle_steps": net.settle_steps,
        "presentation_steps": net.presentation_steps,
    }


def _tables(run: Run) -> dict[str, Any]:
    """Return what changes from sample to sample, as functions of time."""
    tables = {
        "sample": run.samples,
        "sample_peak": run.samples.max(axis=1),
        "learning_rate": run.learning_rates,
        "prior_learning_rate": run.prior_learning_rates,
    }
    presentation = _presentation(run)
    return {key: b2.TimedArray(table, dt=presentation, name=key) for key, table in tables.items()}


def _groups(run: Run, namespace: dict[str, Any]) -> dict[str, Any]:
    """Return the groups by name."""
    net = run.network
    clock = b2.Clock(dt=net.dt_ms * b2.ms, name="step_clock")

    def group(name: str, size: int, clamped: bool = False, **options: Any) -> Any:
        model = MODELS[name] + (CLAMPED if clamped else "")
        return b2.NeuronGroup(
            size, model, method="exact", name=name, namespace=namespace, clock=clock, **options
        )

    def spiking(name: str, size: int, draw: str, reset: str, clamped: bool) -> Any:
        if clamped:
            draw, reset = "fired", f"{reset}\nfired = False".strip()
        return group(name, size, clamped, threshold=draw, reset=reset or None)

    learning = {"learning": "reading and n > 0"} if run.learning_rates.any() else {}
    n_neurons, clamp_inputs = net.n_units * net.population_size, run.input_spikes is not None
    groups = {
        "inputs": spiking("inputs", net.n_features, "rand() < p", "s += g", clamp_inputs),
        "units": group("units", net.n_units, events=learning),
        "neurons": spiking("neurons", n_neurons, "rand() < rho", "", run.output_spikes is not None),
        "pool": group("pool", 1),
    }
    units, pool = groups["units"], groups["pool"]
    units.b = run.log_prior
    units.h, units.n_total = b2.linked_var(pool, "h"), b2.linked_var(pool, "n_total")
    population = np.arange(n_neurons) // net.population_size
    groups["neurons"].rho = b2.linked_var(units, "rho", index=population)
    return groups


def _schedule(run: Run, groups: dict[str, Any], onset: Any) -> None:
    """Say what happens inside of the groups besides decay and spikes, and when in a step."""
    units, pool, inhibition = groups["units"], groups["pool"], run.network.inhibition
    for name, code in ONSET.items():
        groups[name].run_regularly(code, clock=onset, when="start", name=f"{name}_onset")
    units.run_regularly(DENDRITE, when="after_groups", name="units_dendrite")
    if inhibition == "exact":
        pool.run_regularly(EXACT, when="after_groups", order=2, name="pool_exact")
    units.run_regularly(RATE, when="before_thresholds", name="units_rate")
    if run.learning_rates.any():
        units.set_event_schedule("learning", when="after_resets")
    if run.prior_learning_rates.any():
        units.run_regularly(PRIOR, when="before_end", name="units_prior")
    pool.run_regularly(POOL_UPDATE[inhibition], when="end", name="pool_update")


def _connect(source: Any, target: Any, name: str, pairs: Any = None, **options: Any) -> Any:
    """Connect each source to all targets, or to one of them: synapses without delay."""
    synapses = b2.Synapses(
        source, target, name=name, namespace=target.namespace, clock=target.clock, **options
    )
    if pairs is None:
        synapses.connect()
    else:
        synapses.connect(i=np.arange(len(source)), j=pairs)
    return synapses


def _synapses(run: Run, groups: dict[str, Any]) -> list[Any]:
    """Return the synapses between the groups."""
    inputs, units, neurons, pool = groups.values()
    now, learn = 0 * b2.ms, bool(run.learning_rates.any())
    delay = {"pre": now, "post": now} if learn else {"pre": now}
    feedforward = _connect(
        inputs,
        units,
        "feedforward",
        model=WEIGHTS,
        on_pre=TRANSMISSION,
        on_post=PLASTICITY if learn else None,
        on_event={"post": "learning"} if learn else "spike",
        delay=delay,
    )
    feedforward.w = run.weights.T.ravel()
    if learn:
        feedforward.post.when = "before_end"
    population = np.arange(len(neurons)) // run.network.population_size
    counting = _connect(neurons, units, "counting", population, on_pre=COUNT, delay=now)
    pooling = _connect(neurons, pool, "pooling", on_pre="n_total_post += 1", delay=now)
    if run.network.inhibition == "feedback":
        return [feedforward, counting, pooling]
    lateral = _connect(units, pool, "lateral", model=INTENSITY)
    updater = lateral.summed_updaters["intensity_post"]
    updater.when, updater.order = "after_groups", 1
    return [feedforward, counting, pooling, lateral]


def _given_spikes(run: Run) -> dict[str, tuple[IntArray, IntArray]]:
    """Return steps and neurons of the given spikes, by group."""
    steps, given = run.network.presentation_steps, {}
    if run.input_spikes is not None:
        rows = run.input_spikes
        given["inputs"] = (rows[:, 0] * steps + rows[:, 1], rows[:, 2])
    if run.output_spikes is not None:
        rows = run.output_spikes
        neurons = rows[:, 2] * run.network.population_size + _population_neurons(rows)
        given["neurons"] = (rows[:, 0] * steps + rows[:, 1], neurons)
    return given


def _population_neurons(rows: IntArray) -> IntArray:
    """Give the equal ones among sorted rows to the first neurons of the population."""
    position = np.arange(len(rows))
    new = np.ones(len(rows), dtype=bool)
    new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    first: IntArray = np.maximum.accumulate(np.where(new, position, 0))
    return position - first


def _clamp(name: str, group: Any, steps: IntArray, index: IntArray) -> list[Any]:
    """Return what makes a group spike as given: a generator and its synapses, one to one."""
    times, now = steps * group.clock.dt, 0 * b2.ms
    given = b2.SpikeGeneratorGroup(
        len(group), index, times, sorted=True, when="start", clock=group.clock, name=f"given_{name}"
    )
    clamp = _connect(
        given, group, f"clamp_{name}", np.arange(len(group)), on_pre="fired_post = True", delay=now
    )
    clamp.pre.when = "before_thresholds"
    return [given, clamp]


def _monitors(run: Run, groups: dict[str, Any], onset: Any) -> list[Any]:
    """Return the monitors of what the run wants back."""
    inputs, units, neurons, pool = groups.values()
    # Once per sample: at the onset of the next, before the counts are reset.
    counts = {"clock": onset, "when": "before_start", "name": "spike_counts"}
    monitors = [b2.StateMonitor(units, "spike_count", record=True, **counts)]
    if run.keep_spikes:
        monitors.append(b2.SpikeMonitor(inputs, name="input_spikes"))
        monitors.append(b2.SpikeMonitor(neurons, name="output_spikes"))
    for name, group, variable, when in (
        ("drive", units, "u", "thresholds"),
        ("inhibition", pool, "h", "thresholds"),
        ("psp", inputs, "s", "after_resets"),
    ):
        if name in run.probes:
            monitors.append(b2.StateMonitor(group, variable, record=True, when=when, name=name))
    return monitors


def _result(run: Run, network: Any) -> RunResult:
    """Read the result from the monitors and the state of a finished network."""
    net, units = run.network, network["units"]
    counts = np.vstack([network["spike_counts"].spike_count.T[1:], units.spike_count[:]])
    spikes, probes = {}, {}
    if run.keep_spikes:
        for name, size in (("input_spikes", 1), ("output_spikes", net.population_size)):
            spikes[name] = _spike_rows(run, network[name], size)
    for name in run.probes:
        monitor = network[name]
        steps = getattr(monitor, monitor.record_variables[0]).T
        values = np.reshape(steps, (len(run.samples), net.presentation_steps, -1))
        values = np.array(values[:, net.settle_steps :])
        probes[name] = values[..., 0] if name == "inhibition" else values
    weights = np.reshape(network["feedforward"].w[:], (net.n_features, net.n_units))
    return RunResult(
        spike_counts=counts.astype(np.int64),
        weights=np.array(weights.T, order="C"),
        log_prior=np.array(units.b[:]),
        input_spikes=spikes.get("input_spikes", np.empty((0, 3), np.int64)),
        output_spikes=spikes.get("output_spikes", np.empty((0, 3), np.int64)),
        probes=probes,
    )


def _spike_rows(run: Run, monitor: Any, size: int) -> IntArray:
    """Return a monitor's spikes as sorted rows (sample, step, index of the population)."""
    dt = run.network.dt_ms * b2.ms
    steps = np.rint(np.asarray(monitor.t[:] / dt)).astype(np.int64)
    index = np.asarray(monitor.i[:]).astype(np.int64) // size
    order = np.lexsort((index, steps))
    sample, step = np.divmod(steps[order], run.network.presentation_steps)
    return np.column_stack([sample, step, index[order]])


def _heading(group: Any) -> str:
    """Say what a group is and how large."""
    if isinstance(group, b2.Synapses):
        return f"{group.name}: synapses from {group.source.name} to {group.target.name}"
    return f"{group.name}: {len(group)}"


def _statement(item: Any) -> str:
    """Say what an object of the network does in a step."""
    group: Any = getattr(item, "group", None)
    kind = type(item).__name__
    if kind == "Thresholder":
        return f"{item.event} if {group.events[item.event]}"
    if kind == "Resetter":
        return f"on {item.event}: {group.event_codes[item.event]}"
    if kind == "StateUpdater":
        names = group.equations.diff_eq_names
        return "; ".join(f"d{name}/dt" for name in sorted(names))
    if kind == "SummedVariableUpdater":
        return f"{item.target_varname} = sum of {item.expression.code}"
    if kind == "SynapticPathway":
        return f"on {item.prepost} {item.event}: {item.code.strip()}"
    if kind in ("StateMonitor", "SpikeMonitor"):
        return "records " + ", ".join(item.record_variables)
    return str(getattr(item, "abstract_code", None) or "")
