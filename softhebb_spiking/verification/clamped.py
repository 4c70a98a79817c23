"""Clamped: the same spikes in, the same spikes out, so every rung must reach the same state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np

from softhebb_spiking.params import NetworkParams, Run, RunResult
from softhebb_spiking.validation import FloatArray
from softhebb_spiking.verification._plan import FIXED, REQUIREMENT, Ladder, Simulator
from softhebb_spiking.verification.check import Check

N_SAMPLES = 40
N_UNITS = 20
N_STEPS, SETTLE_STEPS = 50, 10
LEARNING_RATE = 0.1
PRIOR_LEARNING_RATE = 0.02
_ROUNDINGS_PER_STEP = 1000
# In integers a unit learns in few updates at random steps, so its weights scatter about the mean.
ROUNDED_BOUNDS = {
    "weights": 0.08,
    "log_prior": 0.002,
    "drive": 0.03,
    "inhibition": 0.01,
    "psp": 0.08,
}
_ROUNDED_BECAUSE = {
    "weights": "updates come at random steps, in steps of η'",
    "log_prior": "each change is rounded at random",
    "drive": "weights and payloads are rounded",
    "inhibition": "logarithms come from a table",
    "psp": "traces have 7 bits",
}


def plan(ladder: Ladder, simulators: Mapping[str, Simulator]) -> dict[tuple[str, str], Run]:
    """Draw spikes once, on the first rung, and give them to all rungs."""
    samples = ladder.X_train[:N_SAMPLES]
    network = NetworkParams(
        n_features=samples.shape[1],
        n_units=N_UNITS,
        n_steps=N_STEPS,
        settle_steps=SETTLE_STEPS,
    )
    free = Run(
        network=network,
        samples=samples,
        weights=ladder.rate.weights_[:N_UNITS],
        log_prior=np.full(N_UNITS, -np.log(N_UNITS)),
        learning_rates=np.full(N_SAMPLES, LEARNING_RATE),
        prior_learning_rates=np.full(N_SAMPLES, PRIOR_LEARNING_RATE),
        seed=ladder.seed,
    )
    source = "event" if "event" in simulators else ladder.rungs[0]
    drawn = simulators[source](free)
    clamped = replace(
        free,
        input_spikes=drawn.input_spikes,
        output_spikes=drawn.output_spikes,
        keep_spikes=False,
        probes=("drive", "inhibition", "psp"),
    )
    return {("clamped", rung): clamped for rung in ladder.rungs}


def evaluate(ladder: Ladder, results: Mapping[tuple[str, str], RunResult]) -> list[Check]:
    """Compare weights, log prior, traces, drives and inhibition between any two rungs.

    Integers are compared with one rung in floating point only, and within their rounding.
    """
    checks = []
    in_float = [rung for rung in ladder.rungs if rung != FIXED]
    pairs = list(combinations(in_float, 2))
    if FIXED in ladder.rungs and in_float:
        pairs.append((in_float[0], FIXED))
    for pair in pairs:
        compare = _compare_rounded if FIXED in pair else _compare
        states = [_state(results["clamped", rung]) for rung in pair]
        checks += [compare(name, pair, states[0][name], states[1][name]) for name in states[0]]
    return checks


def _state(result: RunResult) -> dict[str, FloatArray]:
    return {"weights": result.weights, "log_prior": result.log_prior, **result.probes}


def _compare(name: str, pair: tuple[str, ...], one: FloatArray, other: FloatArray) -> Check:
    n_steps = N_SAMPLES * (SETTLE_STEPS + N_STEPS)
    bound = float(_ROUNDINGS_PER_STEP * np.finfo(float).eps * n_steps)
    return Check(
        name=f"clamped/{name}",
        rungs=pair,
        statistic=f"max |difference| / max |value| of {name} after {N_SAMPLES} clamped samples",
        value=float(np.abs(one - other).max() / np.abs(one).max()),
        high=bound,
        bound_from=f"{_ROUNDINGS_PER_STEP} float64 roundings in each of {n_steps} steps",
    )


def _compare_rounded(name: str, pair: tuple[str, ...], one: FloatArray, other: FloatArray) -> Check:
    return Check(
        name=f"clamped/{name}",
        rungs=pair,
        statistic=f"rms difference / rms value of {name} after {N_SAMPLES} clamped samples",
        value=float(np.sqrt(((one - other) ** 2).mean() / (one**2).mean())),
        high=ROUNDED_BOUNDS[name],
        bound_from=f"{REQUIREMENT}: {_ROUNDED_BECAUSE[name]}",
    )
