"""Climbing the ladder: plan all runs, run them on every rung, compare, report."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from softhebb_spiking.data import Dataset
from softhebb_spiking.params import Run, RunResult
from softhebb_spiking.validation import FloatArray, check_choice, check_integer
from softhebb_spiking.verification import (
    budget,
    clamped,
    clusters,
    expected_update,
    integers,
    learning,
    posterior,
)
from softhebb_spiking.verification._plan import FIXED, Ladder, Simulator, Sizes, suitable_sizes
from softhebb_spiking.verification.budget import Row
from softhebb_spiking.verification.check import Check

RUNGS = ("event", "lava", "brian2", FIXED)
MAX_SEED = 2**31 - 1
COMPARISONS = (clamped, integers, posterior, expected_update, learning, clusters)
Key = tuple[str, str]
Finished: TypeAlias = "queue.SimpleQueue[tuple[Key, RunResult | Exception]]"

_DIVERGED = 1e6
_PATIENCE_S = 60.0  # for a rung to finish the run it is in when another has failed


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Everything that a verification found.

    Attributes
    ----------
    ladder : Ladder
        Data, reference network and setting.
    runs : mapping
        The runs, by (comparison, rung and variant).
    results : mapping
        What the rungs handed back, by the same keys.
    checks : tuple of Check
        The evidence.
    budget : tuple of Row
        What each rounding costs, if the rung in integers takes part.
    """

    ladder: Ladder
    runs: Mapping[Key, Run]
    results: Mapping[Key, RunResult]
    checks: tuple[Check, ...]
    budget: tuple[Row, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every check keeps its bound."""
        return all(check.passed for check in self.checks)


def backend_simulators(rungs: tuple[str, ...]) -> Mapping[str, Simulator]:
    """Return the `simulate` function of each rung's backend.

    Raises
    ------
    ValueError
        If a rung is not known.
    ImportError
        If a rung's simulator is not installed; the message has the install line.
    """
    simulators: dict[str, Simulator] = {}
    for rung in rungs:
        check_choice("rungs", rung, RUNGS)
        if rung == FIXED:
            simulators[rung] = integers.simulate
            continue
        backend = import_module(f"softhebb_spiking.backends.{rung}")
        if hasattr(backend, "require_installed"):
            backend.require_installed()
        simulators[rung] = backend.simulate
    return MappingProxyType(simulators)


def verify(
    data: Dataset,
    *,
    rungs: tuple[str, ...] = RUNGS,
    seed: int = 0,
    quick: bool = False,
    sizes: Sizes | None = None,
    simulators: Mapping[str, Simulator] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Verification:
    """Compare every rung with the rate equations and with every other rung.

    Parameters
    ----------
    data : Dataset
        The data.
    rungs : tuple of {"event", "lava", "brian2", "fixed"}
        Rungs that take part.
    seed : int
        Key of everything random, in [0, 2**31).
    quick : bool
        Fewer samples, wider error bars.
    sizes : Sizes, optional
        How much is run, in place of what suits the data set.
    simulators : mapping of str to callable, optional
        The function that runs each rung; the package's backends if not given.
    progress : callable, optional
        Called with (what has just been done, runs done, runs in all).

    Returns
    -------
    Verification

    Raises
    ------
    ValueError, ImportError
        If a rung is not known or not installed, before anything is run.
    """
    check_integer("seed", seed, 0, MAX_SEED)
    if not rungs or len(set(rungs)) != len(rungs):
        raise ValueError(f"rungs must name one or more different rungs, got {rungs!r}.")
    chosen = backend_simulators(rungs) if simulators is None else simulators
    chosen_sizes = sizes if sizes is not None else suitable_sizes(data.name, quick=quick)
    ladder = Ladder.prepare(data, rungs, seed=seed, sizes=chosen_sizes)
    runs: dict[Key, Run] = {}
    for comparison in COMPARISONS:
        runs.update(comparison.plan(ladder, chosen))
    results = run_all(runs, chosen, progress)
    checks = [finite_check(rung, results) for rung in rungs]
    results = {key: made_finite(result) for key, result in results.items()}
    for comparison in COMPARISONS:
        checks += comparison.evaluate(ladder, results)
    rows: list[Row] = []
    if FIXED in rungs:
        rows = budget.error_budget(
            budget.task_for(ladder),
            lambda row: progress and progress(f"error budget, {row}", len(runs), len(runs)),
        )
        checks += budget.checks(rows)
    return Verification(
        ladder=ladder, runs=runs, results=results, checks=tuple(checks), budget=tuple(rows)
    )


def finite_check(rung: str, results: Mapping[Key, RunResult]) -> Check:
    """Count the numbers a rung handed back that are not finite."""
    own = [result for key, result in results.items() if key[1].split(":")[0] == rung]
    arrays = [
        array
        for result in own
        for array in (result.weights, result.log_prior, *result.probes.values())
    ]
    return Check(
        name="state/finite",
        rungs=(rung,),
        statistic="NaN or infinite weights, log priors, drives, inhibition or traces, all runs",
        value=float(sum(np.count_nonzero(~np.isfinite(array)) for array in arrays)),
        high=0.0,
        bound_from="exact",
    )


def made_finite(result: RunResult) -> RunResult:
    """Return a result in which diverged numbers are merely large, so that it can be compared."""

    def bounded(array: FloatArray) -> FloatArray:
        return np.nan_to_num(array, nan=_DIVERGED).clip(-_DIVERGED, _DIVERGED)

    return replace(
        result,
        weights=bounded(result.weights),
        log_prior=bounded(result.log_prior),
        probes={name: bounded(probe) for name, probe in result.probes.items()},
    )


def run_all(
    runs: Mapping[Key, Run],
    simulators: Mapping[str, Simulator],
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[Key, RunResult]:
    """Run everything, the rungs side by side, each rung's runs one after the other.

    Lava runs on the calling thread, which is the one that an interrupt reaches; its processes
    leave this interpreter free for the other rungs.

    Raises
    ------
    Exception
        The first failure of any rung, once the others have stopped.
    """
    by_rung: dict[str, list[Key]] = {}
    for key in runs:
        by_rung.setdefault(key[1].split(":")[0], []).append(key)
    finished: Finished = queue.SimpleQueue()
    stop = threading.Event()

    threads = [
        threading.Thread(
            target=_work, args=(keys, runs, simulators[rung], finished, stop), daemon=True
        )
        for rung, keys in by_rung.items()
        if rung != "lava"
    ]
    for_this_thread = list(by_rung.get("lava", []))
    results: dict[Key, RunResult] = {}
    try:
        for thread in threads:
            thread.start()
        while len(results) < len(runs):
            if for_this_thread:
                _work([for_this_thread.pop(0)], runs, simulators["lava"], finished, stop)
            key, outcome = finished.get()
            if isinstance(outcome, Exception):
                raise outcome
            results[key] = outcome
            if progress is not None:
                progress(f"{key[0]}, {key[1]}", len(results), len(runs))
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=_PATIENCE_S)
    return results


def _work(
    keys: list[Key],
    runs: Mapping[Key, Run],
    simulate: Simulator,
    finished: Finished,
    stop: threading.Event,
) -> None:
    """Run one after the other, until told to stop; hand failures on instead of raising them."""
    for key in keys:
        if stop.is_set():
            return
        try:
            finished.put((key, simulate(runs[key])))
        except Exception as error:
            finished.put((key, error))
