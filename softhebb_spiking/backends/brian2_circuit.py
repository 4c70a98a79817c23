"""The LIF circuit in Brian2: an independent check of the one of stock Lava Processes.

Nothing is shared with it but the description: constants are derived again, the background has
weights and spikes of its own, and a step has Brian2's order: currents decay, neurons fire, spikes
arrive. A PSP has therefore decayed once when it is first seen.

    network = build_circuit(run)     # a brian2.Network with named groups
    network.run(300 * brian2.ms)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking.backends.brian2 import TARGETS, _device, b2, require_installed
from softhebb_spiking.circuit_params import CircuitResult, CircuitRun

EXCITATORY = """
du/dt = -u/tau_psp : 1      # synaptic current, nats
b : 1                       # log prior above a uniform one, nats
k : integer (constant)      # population
v = u + b : 1               # the membrane follows at once
"""
INHIBITORY = """
heard : 1                   # spikes heard in this step
needed : 1 (constant)       # to fire
nats : 1 (constant)         # inhibition of one of its spikes
"""
CLAMP = "u += gain*(exp(dt/tau_psp) - 1)*shown(t, k)"  # mean gain*shown after one decay
RUN_IN_TAUS = 8.0  # in which the background fills the membranes before the first sample
# Spikes that arrive now are first seen after one decay.
ARRIVAL = "exp(dt/tau_psp)"
N_INPUT_ON = 8


def build_circuit(run: CircuitRun) -> Any:
    """Build the circuit of a run, with what it is shown and a monitor of its spikes.

    Its groups are "excitatory" (n_units * population_size), "inhibitory", "background" and, unless
    drives are clamped, "inputs"; its monitor is "spikes".

    Parameters
    ----------
    run : CircuitRun
        The circuit and what is shown to it; it does not learn here.

    Returns
    -------
    brian2.Network

    Raises
    ------
    ImportError
        If Brian2 is not installed.
    ValueError
        If the run asks for learning or integers.
    """
    require_installed()
    if run.learning is not None or run.fixed is not None:
        what = "learning" if run.learning is not None else "integers"
        raise ValueError(f"The Brian2 circuit has no {what}; run it with backends.lava_circuit.")
    if run.n_samples == 0:
        raise ValueError("There are no samples, or drives, to show to the circuit.")
    net = run.circuit
    constants = _constants(run)
    excitatory = b2.NeuronGroup(
        net.n_units * net.population_size,
        EXCITATORY,
        threshold="v > theta",
        reset="",  # nothing of a current is spent on a spike
        method="exact",
        dt=net.dt_ms * b2.ms,
        namespace=constants,
        name="excitatory",
    )
    excitatory.k = np.arange(len(excitatory)) // net.population_size
    if run.log_prior is not None:
        excitatory.b = (run.log_prior + np.log(net.n_units))[excitatory.k[:]]
    inhibitory = _inhibitory(run, constants)
    objects = [excitatory, inhibitory, *_background(run, excitatory)]
    objects += _inputs(run, excitatory, inhibitory)
    is_counting = np.flatnonzero(np.arange(len(inhibitory)) >= N_INPUT_ON)
    objects += [
        _all_to_all(excitatory, inhibitory, "heard_post += 1", "counting", is_counting),
        _all_to_all(inhibitory, excitatory, f"u_post -= nats_pre*{ARRIVAL}", "inhibition"),
        b2.SpikeMonitor(excitatory, name="spikes"),
    ]
    return b2.Network(*objects, name="lif_circuit*")


def simulate(run: CircuitRun, *, target: str = "numpy") -> CircuitResult:
    """Run the circuit in Brian2.

    Parameters
    ----------
    run : CircuitRun
        The circuit and what is shown to it; `seed` and `first_sample` key Brian2's random numbers.
    target : {"numpy", "cython"}
        How Brian2 runs the equations.

    Returns
    -------
    CircuitResult

    Raises
    ------
    ImportError, ValueError
        As `build_circuit`; and if the target is unknown.
    """
    if target not in TARGETS[:2]:
        raise ValueError(f"target must be 'numpy' or 'cython'; got {target!r}.")
    require_installed()
    net = run.circuit
    key = np.random.SeedSequence([run.seed, run.first_sample]).generate_state(1)[0]
    with _device(target):
        b2.seed(int(key))
        network = build_circuit(run)
        shown = run.n_samples * net.presentation_steps
        network.run((_run_in_steps(run) + shown + 1) * net.dt_ms * b2.ms, namespace={})
        monitor = network["spikes"]
        steps = np.rint(np.asarray(monitor.t[:] / (net.dt_ms * b2.ms))).astype(np.int64)
        # What arrives in a step makes neurons fire in the next.
        steps -= _run_in_steps(run) + 1
        units = np.asarray(monitor.i[:]).astype(np.int64) // net.population_size
        valid = (steps >= 0) & (steps < shown)
        counts = np.zeros((shown, net.n_units), np.int64)
        np.add.at(counts, (steps[valid], units[valid]), 1)
    return CircuitResult(
        step_counts=counts.reshape(run.n_samples, net.presentation_steps, net.n_units),
        settle_steps=net.settle_steps,
        weights=np.asarray(run.weights, np.float64),
    )


def _run_in_steps(run: CircuitRun) -> int:
    return round(RUN_IN_TAUS * run.circuit.psp_tau_ms / run.circuit.dt_ms)


def _constants(run: CircuitRun) -> dict[str, Any]:
    """Return what the equations need; theta is the threshold and h_on the input-on inhibition."""
    net = run.circuit
    lost = 1.0 - np.exp(-net.dt_ms / net.psp_tau_ms)
    # At the common drive, ln(rate of a neuron) = gain*drive - theta - h_on - feedback.
    # Two steps of delay: a loop gain beyond a quarter period of the leak would oscillate.
    largest = np.pi / 4 * net.psp_tau_ms / net.dt_ms * lost * np.log(2.0)
    per_octave = min(net.gain * net.feedback, largest)
    excess = net.gain * net.common_drive - per_octave * np.log2(1.0 + net.total_rate) / lost
    excess -= np.log(net.total_rate / net.population_size)
    theta = float(np.clip(excess, 0.0, net.threshold))
    return {
        "tau_psp": net.psp_tau_ms * b2.ms,
        "gain": net.gain,
        "theta": theta,
        "h_on": max(excess - net.threshold, 0.0),
        "lost": lost,
        "per_octave": per_octave,
    }


def _inhibitory(run: CircuitRun, constants: dict[str, Any]) -> Any:
    """Return the pool: neurons that fire with the inputs, then neurons that count by octaves."""
    net = run.circuit
    needed = [1.0] * N_INPUT_ON
    nats = [constants["h_on"] * constants["lost"] / N_INPUT_ON] * N_INPUT_ON
    half_octaves = 1
    while 2 ** (half_octaves / 2) <= 1 + net.n_units * net.population_size:
        needed.append(float(np.ceil(2 ** (half_octaves / 2) - 1)))
        nats.append(constants["per_octave"] / 2)
        half_octaves += 1
    pool = b2.NeuronGroup(
        len(needed),
        INHIBITORY,
        threshold="heard > needed - 0.5",
        reset="",
        dt=net.dt_ms * b2.ms,
        name="inhibitory",
    )
    pool.needed, pool.nats = needed, nats
    pool.run_regularly("heard = 0", when="after_thresholds", dt=net.dt_ms * b2.ms)
    return pool


def _background(run: CircuitRun, excitatory: Any) -> list[Any]:
    """Return sources of background spikes, and their synapses of exponential weights."""
    net = run.circuit
    fan_in, n = net.background_fan_in, len(excitatory)
    rng = np.random.default_rng([run.seed, 1])
    sources = np.concatenate([rng.permutation(net.n_background)[:fan_in] for _ in range(n)])
    sizes = -np.log1p(-(np.arange(fan_in) + 0.5) / fan_in)
    sizes /= sizes.mean()
    rate = -np.expm1(-net.dt_ms / net.psp_tau_ms) / fan_in / (net.dt_ms * b2.ms)
    group = b2.PoissonGroup(net.n_background, rates=rate, dt=net.dt_ms * b2.ms, name="background")
    synapses = b2.Synapses(
        group,
        excitatory,
        "nats : 1",
        on_pre=f"u_post += nats*{ARRIVAL}",
        namespace={"tau_psp": net.psp_tau_ms * b2.ms},
        dt=net.dt_ms * b2.ms,
        name="background_synapses",
    )
    synapses.connect(i=sources, j=np.repeat(np.arange(n), fan_in))
    synapses.nats = np.concatenate([rng.permutation(sizes) for _ in range(n)])
    return [group, synapses]


def _inputs(run: CircuitRun, excitatory: Any, inhibitory: Any) -> list[Any]:
    """Return input spikes and their synapses, or what clamps the drives."""
    net = run.circuit
    dt, run_in = net.dt_ms * b2.ms, _run_in_steps(run)
    of_input = np.arange(N_INPUT_ON)
    if run.drives is not None:
        repeated = np.repeat(run.drives, net.presentation_steps, axis=0)
        silence = np.zeros((run_in, net.n_units))
        shown = b2.TimedArray(np.vstack([silence, repeated, silence[:2]]), dt=dt)
        excitatory.namespace["shown"] = shown
        excitatory.run_regularly(CLAMP, when="before_synapses", dt=dt)
        clock = b2.SpikeGeneratorGroup(
            1, np.zeros(len(repeated), int), (run_in + np.arange(len(repeated))) * dt, dt=dt
        )
        return [clock, _all_to_all(clock, inhibitory, "heard_post += 1", "input_on", of_input)]
    spikes = _bernoulli_spikes(run)
    inputs = b2.SpikeGeneratorGroup(
        net.n_features,
        spikes[:, 1],
        (run_in + spikes[:, 0]) * dt,
        sorted=True,
        dt=dt,
        name="inputs",
    )
    per_spike = (1.0 - np.exp(-net.dt_ms / net.psp_tau_ms)) * net.largest_input
    nats = net.gain * per_spike / net.max_probability * np.asarray(run.weights)
    synapses = b2.Synapses(
        inputs,
        excitatory,
        "nats : 1",
        on_pre=f"u_post += nats*{ARRIVAL}",
        namespace={"tau_psp": net.psp_tau_ms * b2.ms},
        dt=dt,
        name="input_synapses",
    )
    synapses.connect()
    synapses.nats = np.repeat(nats, net.population_size, axis=0).T.ravel()
    input_on = _all_to_all(inputs, inhibitory, "heard_post += 1", "input_on", of_input)
    return [inputs, synapses, input_on]


def _bernoulli_spikes(run: CircuitRun) -> NDArray[np.int64]:
    """Return rows (step, input) of spikes, sorted."""
    net = run.circuit
    rng = np.random.default_rng([run.seed, run.first_sample, 2])
    rows = []
    for number, sample in enumerate(np.asarray(run.samples)):
        chance = sample / net.largest_input * net.max_probability
        fired = np.argwhere(rng.random((net.presentation_steps, net.n_features)) < chance)
        rows.append(fired + np.array([number * net.presentation_steps, 0]))
    return np.concatenate(rows)


def _all_to_all(source: Any, target: Any, on_pre: str, name: str, only: Any = None) -> Any:
    """Connect every source to every target, or to some targets only."""
    clock = target.clock if hasattr(target, "clock") else None
    synapses = b2.Synapses(
        source,
        target,
        on_pre=on_pre,
        name=name,
        dt=clock.dt if clock else None,
        namespace=dict(target.namespace or {}),
    )
    targets = np.arange(len(target)) if only is None else only
    i, j = np.meshgrid(np.arange(len(source)), targets, indexing="ij")
    synapses.connect(i=i.ravel(), j=j.ravel())
    return synapses
