"""SoftHebb in Brian2, written to be fast: one equation a unit, weights touched on spikes only.

It is not the reference rung, which has every neuron by itself and records everything. Here a unit
draws the number of its spikes as a Poisson variate, as a Brian2 user in a hurry would; nothing is
recorded but counts. The rule and the inhibition are the same.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import asdict
from typing import Any

import numpy as np

from softhebb_spiking._timing import N_RUNS, seconds
from softhebb_spiking.peers.workload import (
    N_STEPS,
    Workload,
    fitting_images,
    input_rate,
    paced,
    rates_and_gains,
)

TARGETS = ("cython", "cpp_standalone")
_IMAGES = {
    "cython": {100: 40, 400: 20, 1600: 8, math.inf: 4},
    "cpp_standalone": {100: 200, 400: 60, 1600: 20, math.inf: 4},
}


def n_images(target: str, n_units: int, *, quick: bool) -> int:
    """Return how many images make a run of about a second."""
    n = fitting_images(_IMAGES[target], n_units)
    return min(n, 5) if quick else n


def brian2(work: Workload, target: str) -> dict[str, Any]:
    """Time Brian2 on the work; compiling is not counted."""
    import brian2 as b2

    model, X = work.model(), work.images()
    with tempfile.TemporaryDirectory() as folder:
        if target == "cpp_standalone":
            b2.set_device("cpp_standalone", directory=folder, build_on_run=False)
        else:
            b2.prefs.codegen.target = "cython"
        b2.seed(1)
        network, units, synapses = _network(b2, model, X, learn=work.learn)
        duration = work.n_images * N_STEPS * b2.ms
        paces = []
        if target == "cpp_standalone":
            network.run(duration)
            b2.device.build(directory=folder, compile=True, run=False, with_output=False)
            for _ in range(N_RUNS):
                b2.device.run(directory=folder, with_output=False, run_args=[])
                paces.append(work.n_images / b2.device._last_run_time)
            n_runs = 1
        else:
            network.run(N_STEPS * b2.ms)
            units.spike_count = 0
            for _ in range(N_RUNS):
                paces.append(work.n_images / seconds(lambda: network.run(duration)))
            n_runs = N_RUNS
        spikes = float(np.sum(units.spike_count[:])) / (n_runs * work.n_images * N_STEPS)
        moved = bool(np.abs(synapses.w[:] - model.weights_.T.ravel()).max() > 0.0)
    if moved != work.learn:
        raise RuntimeError(f"Brian2 {target}: weights moved: {moved}, wanted {work.learn}.")
    return paced(paces) | {
        "peer": f"Brian2, {target}",
        **asdict(work),
        "input_rate": input_rate(model, X[:50]),
        "output_rate": spikes,
    }


def _network(b2: Any, model: Any, X: Any, *, learn: bool) -> tuple[Any, Any, Any]:
    """Return network, units and synapses."""
    net = model.network_params()
    probabilities, gains = rates_and_gains(model, X)
    image = N_STEPS * b2.ms
    space = {
        "P": b2.TimedArray(probabilities, dt=image),
        "G": b2.TimedArray(gains, dt=image),
        "tau": net.psp_tau_ms * b2.ms,
        "beta": 1.0 / net.temperature,
        "r": net.total_rate,
        "most": float(net.population_size),
        "d": float(np.exp(-net.dt_ms / net.psp_tau_ms)),
        "kappa": net.inhibition_gain,
        "eta": model.learning_rate / (net.total_rate * net.n_steps),
    }
    b2.defaultclock.dt = net.dt_ms * b2.ms
    inputs = b2.NeuronGroup(
        net.n_features,
        "ds/dt = -s/tau : 1",
        threshold="rand() < P(t, i)",
        reset="s += G(t)",
        method="exact",
        namespace=space,
    )
    # Sums are found one place before their target: before the draw if exact, else after it.
    pool = b2.NeuronGroup(
        1,
        "total : 1\nspikes : 1\nh : 1\ntrend : 1",
        namespace=space,
        order=0 if net.inhibition == "exact" else 2,
    )
    # Drawn before the drives advance.
    units = b2.NeuronGroup(
        net.n_units,
        """
        du/dt = -u/tau : 1
        b : 1
        n : 1
        spike_count : 1
        total : 1 (linked)
        h : 1 (linked)
        """,
        threshold="n > 0",
        reset="",
        method="exact",
        namespace=space,
        order=1,
    )
    units.b = model.log_prior_
    units.total = b2.linked_var(pool, "total", index=np.zeros(net.n_units, int))
    units.h = b2.linked_var(pool, "h", index=np.zeros(net.n_units, int))
    rate = "r*exp(beta*u + b)/total" if net.inhibition == "exact" else "r*exp(beta*u + b - h)"
    units.run_regularly(
        f"n = clip(poisson(clip({rate}, 0, most)), 0, most)\nspike_count += n",
        when="groups",
        order=0,
    )
    summed = "exp(beta*u_pre + b_pre)" if net.inhibition == "exact" else "n_pre"
    name = "total" if net.inhibition == "exact" else "spikes"
    gather = b2.Synapses(units, pool, f"{name}_post = {summed} : 1 (summed)", namespace=space)
    gather.connect()
    if net.inhibition == "feedback":
        pool.run_regularly(
            """
            e = kappa*log((spikes + 0.5)/(r + 0.5))
            trend = d*trend + (1 - d)*e
            h = h + e + trend
            """,
            when="end",
        )
    on_post = {"on_post": "w += eta*n_post*(s_pre - u_post*w)"} if learn else {}
    synapses = b2.Synapses(
        inputs,
        units,
        "w : 1",
        on_pre="u_post += G(t)*w",
        delay=net.dt_ms * b2.ms,
        namespace=space,
        **on_post,
    )
    synapses.connect()
    synapses.w = model.weights_.T.ravel()
    for group, silence in ((inputs, "s = 0"), (units, "u = 0"), (pool, "h = 0\ntrend = 0")):
        group.run_regularly(silence, dt=image, when="start")
    return b2.Network(inputs, pool, units, gather, synapses), units, synapses
