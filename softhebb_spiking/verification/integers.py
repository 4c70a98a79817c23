"""Integers: Lava and the event engine, run in fixed point, reach the same bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from softhebb_spiking.backends import event
from softhebb_spiking.params import (
    PROBES,
    ROUNDINGS,
    FixedPointParams,
    NetworkParams,
    Run,
    RunResult,
)
from softhebb_spiking.verification._plan import Ladder, Simulator
from softhebb_spiking.verification.check import Check

N_SAMPLES = 12
N_UNITS = 20
N_STEPS, SETTLE_STEPS = 30, 9
LEARNING_RATE = 0.2
PRIOR_LEARNING_RATE = 0.02
_STATES = ("weights", "log_prior", "spike_counts", "input_spikes", "output_spikes")


def simulate(run: Run) -> RunResult:
    """Run a network on the event engine in integers; the rung "fixed"."""
    return event.simulate(run if run.fixed is not None else replace(run, fixed=FixedPointParams()))


def plan(ladder: Ladder, simulators: Mapping[str, Simulator]) -> dict[tuple[str, str], Run]:
    """Let both learn from the same samples, free running, with either kind of rounding."""
    rungs = [name for name in ("fixed", "lava") if name in ladder.rungs]
    if len(rungs) < 2:
        return {}
    samples = ladder.X_train[:N_SAMPLES]
    network = NetworkParams(
        n_features=samples.shape[1], n_units=N_UNITS, n_steps=N_STEPS, settle_steps=SETTLE_STEPS
    )
    run = Run(
        network=network,
        samples=samples,
        weights=ladder.rate.weights_[:N_UNITS],
        log_prior=np.full(N_UNITS, -np.log(N_UNITS)),
        learning_rates=np.full(N_SAMPLES, LEARNING_RATE),
        prior_learning_rates=np.full(N_SAMPLES, PRIOR_LEARNING_RATE),
        seed=ladder.seed,
        probes=PROBES,
    )
    return {
        ("integers", f"{rung}:{rounding}"): replace(run, fixed=FixedPointParams(rounding=rounding))
        for rung in rungs
        for rounding in ROUNDINGS
    }


def evaluate(ladder: Ladder, results: Mapping[tuple[str, str], RunResult]) -> list[Check]:
    """Count the numbers that differ, over all states."""
    if not {"fixed", "lava"} <= set(ladder.rungs):
        return []
    return [_check(rounding, results) for rounding in ROUNDINGS]


def count_differences(one: RunResult, other: RunResult) -> int:
    """Return how many numbers differ between two results, over all states."""
    pairs = zip(_states(one), _states(other), strict=True)
    return sum(_n_different(a, b) for a, b in pairs)


def _check(rounding: str, results: Mapping[tuple[str, str], RunResult]) -> Check:
    pair = [results["integers", f"{rung}:{rounding}"] for rung in ("fixed", "lava")]
    n_steps = N_SAMPLES * (SETTLE_STEPS + N_STEPS + 1)
    return Check(
        name=f"integers/bits, {rounding}",
        rungs=("fixed", "lava"),
        statistic=f"numbers that differ after {n_steps} steps of learning, rounding {rounding}: "
        "spikes, drives, inhibition, traces, weights, log prior",
        value=float(count_differences(*pair)),
        high=0.0,
        bound_from="exact",
    )


def _states(result: RunResult) -> list[np.ndarray]:  # type: ignore[type-arg]
    return [getattr(result, name) for name in _STATES] + list(result.probes.values())


def _n_different(one: np.ndarray, other: np.ndarray) -> int:  # type: ignore[type-arg]
    if one.shape != other.shape:
        return max(one.size, other.size)
    return int(np.count_nonzero(one != other))
