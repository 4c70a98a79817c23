"""The climb: rungs side by side, failures, numbers that diverge, and what a verification holds."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hand_made import (
    TINY,
    a_check,
    a_state,
    made_ladder,
)

from softhebb_spiking.params import (
    Run,
    RunResult,
)
from softhebb_spiking.verification import (
    integers,
    ladder,
    verify,
)
from softhebb_spiking.verification._plan import (
    SIZES,
    Ladder,
)
from softhebb_spiking.verification.check import Check


def test_backends_are_found_by_the_names_of_rungs(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    modules = {
        "softhebb_spiking.backends.event": SimpleNamespace(simulate="the event rung"),
        "softhebb_spiking.backends.lava": SimpleNamespace(
            simulate="the Lava rung", require_installed=lambda: checked.append("lava")
        ),
    }
    monkeypatch.setattr(ladder, "import_module", modules.__getitem__)
    found = ladder.backend_simulators(("lava", "fixed", "event"))
    assert dict(found) == {
        "lava": "the Lava rung",
        "fixed": integers.simulate,
        "event": "the event rung",
    }
    assert checked == ["lava"]
    with pytest.raises(TypeError):
        found["event"] = abs  # type: ignore[index]
    with pytest.raises(ValueError, match="rungs must"):
        ladder.backend_simulators(("event", "loihi"))


def test_numbers_that_are_not_finite_are_counted_for_their_rung() -> None:
    good = a_state(np.random.default_rng(0))
    weights, psp = good.weights.copy(), good.probes["psp"].copy()
    weights[0, 0], psp[0, 0, :2] = np.nan, np.inf
    bad = replace(
        good,
        weights=weights,
        log_prior=np.full(3, -np.inf),
        probes=good.probes | {"psp": psp},
    )
    results = {
        ("a", "event"): good,
        ("b", "lava:x:1"): bad,
        ("c", "lava"): bad,
        ("d", "lava2"): bad,
    }
    found = ladder.finite_check("lava", results)
    assert found.value == 2 * (1 + 2 + 3)
    assert not found.passed
    assert (found.name, found.rungs, found.high) == ("state/finite", ("lava",), 0.0)
    assert isinstance(found.statistic, str)
    assert isinstance(found.bound_from, str)
    assert ladder.finite_check("event", results).passed


def test_diverged_numbers_become_large_ones() -> None:
    good = a_state(np.random.default_rng(0))
    assert np.array_equal(ladder.made_finite(good).weights, good.weights)
    values = np.array([np.nan, np.inf, -np.inf, 1e9, -1e9, 1.0])
    kept = np.array([1e6, 1e6, -1e6, 1e6, -1e6, 1.0])
    bad = replace(good, weights=values, log_prior=values, probes={"drive": values, "psp": values})
    found = ladder.made_finite(bad)
    for array in (found.weights, found.log_prior, found.probes["drive"], found.probes["psp"]):
        np.testing.assert_array_equal(array, kept)
    assert found.spike_counts is good.spike_counts


def keys_of(*names: str) -> dict[tuple[str, str], Any]:
    return {("x", name): f"run of {name}" for name in names}


def test_rungs_run_side_by_side_each_in_order_and_lava_on_the_calling_thread() -> None:
    done: list[tuple[str, threading.Thread]] = []
    both = threading.Barrier(2, timeout=20)

    def simulate(run: Any) -> Any:
        done.append((run, threading.current_thread()))
        if run.endswith(":0"):
            both.wait()  # passed only if both rungs run at a time
        return f"result of {run}"

    seen: list[tuple[str, int, int]] = []
    runs = keys_of("a:0", "lava:0", "a:1", "lava:1")
    results = ladder.run_all(
        runs, {"a": simulate, "lava": simulate}, lambda *progress: seen.append(progress)
    )
    assert results == {key: f"result of {run}" for key, run in runs.items()}
    for rung in ("a", "lava"):
        assert [run for run, _ in done if f" {rung}:" in run] == [
            f"run of {rung}:{i}" for i in "01"
        ]
    for run, thread in done:
        assert (thread is threading.main_thread()) == ("lava" in run)
        assert thread.daemon == ("lava" not in run)
    assert {text for text, _, _ in seen} == {f"x, {name}" for _, name in runs}
    assert [(number, total) for _, number, total in seen] == [(i, 4) for i in (1, 2, 3, 4)]
    assert ladder.run_all({}, {}) == {}


def test_after_a_failure_no_further_run_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The climb waits for the run that another rung is in, and no longer than its patience."""
    started, release = [], threading.Event()

    def slow(run: Any) -> Any:
        started.append(run)
        release.wait(20)

    def broken(run: Any) -> Any:
        while not started:
            time.sleep(0.001)
        raise RuntimeError(f"broken in {run}")

    assert ladder._PATIENCE_S == 60
    monkeypatch.setattr(ladder, "_PATIENCE_S", 0.05)
    before = time.monotonic()
    with pytest.raises(RuntimeError, match="broken in run of b:0"):
        ladder.run_all(keys_of("a:0", "a:1", "b:0", "b:1"), {"a": slow, "b": broken})
    assert time.monotonic() - before < 10
    release.set()
    ended: list[str] = []

    def brief(run: Any) -> Any:
        started.append(run)
        time.sleep(0.3)
        ended.append(run)

    monkeypatch.setattr(ladder, "_PATIENCE_S", 20.0)
    with pytest.raises(RuntimeError, match="broken"):
        ladder.run_all(keys_of("a:2", "a:3", "b:0"), {"a": brief, "b": broken})
    assert ended == ["run of a:2"]
    assert started == ["run of a:0", "run of a:2"]


def test_work_stops_when_told_to() -> None:
    finished: Any = queue.SimpleQueue()
    stop = threading.Event()

    def simulate(run: Any) -> Any:
        if run.endswith("1"):
            raise ValueError("no")
        if run.endswith("2"):
            stop.set()
        return run

    runs = keys_of("a0", "a1", "a2", "a3")
    ladder._work(list(runs), runs, simulate, finished, stop)
    got = [finished.get() for _ in range(3)]
    assert finished.empty()
    assert [key for key, _ in got] == [("x", name) for name in ("a0", "a1", "a2")]
    assert [outcome for _, outcome in got if isinstance(outcome, str)] == ["run of a0", "run of a2"]
    assert str(got[1][1]) == "no"


def a_comparison(group: str) -> Any:
    """A comparison of one run for each rung, whose only check is of the weights it is given."""

    def plan(made: Ladder, simulators: Any) -> dict[tuple[str, str], Run]:
        assert set(simulators) >= set(made.rungs)
        return {(group, rung): made.run(made.network, made.X_test[:1]) for rung in made.rungs}

    def evaluate(made: Ladder, results: Any) -> list[Check]:
        return [
            a_check(
                name=f"{group}/w", rungs=(rung,), value=float(results[group, rung].weights.max())
            )
            for rung in made.rungs
        ]

    return SimpleNamespace(plan=plan, evaluate=evaluate)


def test_a_climb_plans_runs_and_compares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "COMPARISONS", (a_comparison("one"), a_comparison("two")))
    rows = [SimpleNamespace(name="a row")]
    tasks: list[Any] = []

    def error_budget(task: Any, progress: Any) -> Any:
        tasks.append(task)
        progress("a row")
        return rows

    monkeypatch.setattr(ladder.budget, "task_for", lambda made: ("task of", made.seed))
    monkeypatch.setattr(ladder.budget, "error_budget", error_budget)
    by_rows = {id(rows): [a_check(value=0.0, high=-1.0)]}
    monkeypatch.setattr(ladder.budget, "checks", lambda given: by_rows[id(given)])

    def simulate(run: Run) -> RunResult:
        shape = (run.network.n_units, run.network.n_features)
        weights = np.full(shape, np.inf if run.fixed is None and run.seed == 8 else 2.0)
        return RunResult(
            spike_counts=np.zeros((1, shape[0]), np.int64),
            weights=weights,
            log_prior=run.log_prior,
        )

    made, seen = made_ladder(), []
    given: dict[str, Any] = {"sizes": TINY, "simulators": {"event": simulate, "fixed": simulate}}
    found = verify(
        made.data,
        rungs=("event", "fixed"),
        seed=8,
        progress=lambda *progress: seen.append(progress),
        **given,
    )
    assert found.ladder.seed == 8
    assert found.ladder.rungs == ("event", "fixed")
    assert set(found.runs) == set(found.results)
    assert set(found.runs) == {
        (group, rung) for group in ("one", "two") for rung in ("event", "fixed")
    }
    names = [(item.name, item.rungs) for item in found.checks]
    assert names == [
        ("state/finite", ("event",)),
        ("state/finite", ("fixed",)),
        *((f"{group}/w", (rung,)) for group in ("one", "two") for rung in ("event", "fixed")),
        ("a/b", ("x",)),
    ]
    # What diverged is counted as it came, and compared as a large number.
    assert [item.value for item in found.checks[:3]] == [2 * 220, 2 * 220, 1e6]
    assert found.budget == tuple(rows)
    assert tasks == [("task of", 8)]
    assert seen[-1] == ("error budget, a row", 4, 4)
    assert len(seen) == 5
    assert not found.passed

    alone = verify(made.data, rungs=("event",), seed=9, **given)
    assert alone.passed
    assert alone.budget == ()
    assert verify(made.data, rungs=("fixed",), seed=9, **given).budget == tuple(rows)


def test_a_climb_finds_its_own_sizes_and_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "COMPARISONS", ())
    quick = verify(made_ladder().data, rungs=("event",), quick=True)
    assert quick.ladder.sizes is SIZES["mnist", True]
    assert quick.ladder.seed == 0
    digits = replace(made_ladder().data, name="digits")
    assert verify(digits, rungs=("event",)).ladder.sizes is SIZES["digits", False]
    with pytest.raises(ValueError, match="rungs must"):
        verify(digits, rungs=("loihi",))
    for seed in (-1, 2**31):
        with pytest.raises(ValueError, match=r"^seed"):
            verify(digits, rungs=("event",), seed=seed)
    assert verify(digits, rungs=("event",), seed=2**31 - 1).ladder.seed == 2**31 - 1


def test_repeated_rungs_are_refused_with_their_names() -> None:
    with pytest.raises(ValueError, match=r"different rungs, got \('event', 'event'\)"):
        verify(made_ladder().data, rungs=("event", "event"))
