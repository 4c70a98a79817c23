"""Faults in Lava's processes, and in those of sweeps and experiments."""

from __future__ import annotations

import csv
import importlib.util
import json
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

import numpy as np
import psutil
from faults.campaign import CHILDREN, GRACE_S, Fault, HangError, LeftError, Scene, require, send

# Ending a network takes two graces of 5 s each, at the most, after the limit itself.
_LAVA_LIMIT_S = 30.0


def _no_lava() -> str:
    return "" if importlib.util.find_spec("lava") else "Lava is not installed"


@cache
def _lava_seconds() -> float:
    with tempfile.TemporaryDirectory(prefix="softhebb-fault-") as name:
        scene = Scene(Path(name), np.random.default_rng(0))
        ended = scene.run(str(CHILDREN), "lava_undisturbed")
        require(ended.status == 0, f"the undisturbed network failed: {ended.err}")
        return float(ended.out.split()[-1])


def _lava(scene: Scene, kind: str, message: str) -> None:
    """Disturb a network in a process that shows another one before and after."""
    seconds = str(_lava_seconds())
    seed = str(int(scene.rng.integers(2**31)))
    ended = scene.run(str(CHILDREN), "lava", kind, seed, seconds)
    require(ended.status == 0, f"the next network failed: {ended.err[-500:]}")
    found = json.loads(ended.out.splitlines()[-1])
    where = found["where"]
    if found["elapsed_s"] > _LAVA_LIMIT_S:
        raise HangError(f"{where}: told after {found['elapsed_s']:.0f} s")
    told = message in found["error"] or found["too_late"]
    require(told, f"{where}: got {found['error']!r}, no {message!r}")
    require(found["again"], f"{where}: the next network counts other spikes")
    if found["children"] or found["files"][1] > found["files"][0]:
        raise LeftError(f"{where}: {found['children']} children, open files {found['files']}")


# --- programs that run Lava ----------------------------------------------------------------------


@cache
def _undisturbed_program(kind: str) -> tuple[str, float]:
    """Return what a program finds, and the seconds that it takes without its imports."""
    with tempfile.TemporaryDirectory(prefix="softhebb-fault-") as name:
        scene = Scene(Path(name), np.random.default_rng(0))
        ended = scene.run(str(CHILDREN), "lava_program", kind)
        require(ended.status == 0, f"the undisturbed program failed: {ended.err}")
        seconds, found = ended.out.splitlines()[-2:]
        return found, float(seconds)


def _signalled_program(scene: Scene, kind: str, number: signal.Signals) -> None:
    """Signal a program that runs Lava and catches nothing; nothing of Lava's may outlive it."""
    expected, seconds = _undisturbed_program(kind)
    process = scene.start(str(CHILDREN), "lava_program", kind)
    scene.wait_for_begin(process)
    time.sleep(scene.moment(seconds))
    send(process, number)
    scene.wait(process)
    scene.require_nothing_left(GRACE_S)
    ended = scene.run(str(CHILDREN), "lava_program", kind)
    require(ended.status == 0, f"the next one fails: {ended.err[-500:]}")
    require(ended.out.splitlines()[-1] == expected, "the next one finds something else")


# --- sweeps --------------------------------------------------------------------------------------

SPEC = """
samples = 1000
seeds = 3
[fixed]
n_units = 10
n_steps = 20
[grid]
temperature = [0.02, 0.05]
"""


def _sweep(folder: Path) -> tuple[str, ...]:
    spec = folder / "spec.toml"
    spec.write_text(SPEC, encoding="utf-8")
    results = ("--output", str(folder / "results"), "--jobs", "2")
    return (str(CHILDREN), "command", "sweep", str(spec), *results)


def _rows(folder: Path) -> list[dict[str, str]]:
    """Return the table without times and places."""
    with (folder / "results" / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = ("elapsed_s", "samples_per_s", "host", "date")
    return [{name: row[name] for name in row if name not in names} for row in rows]


@cache
def _undisturbed_sweep() -> tuple[list[dict[str, str]], float]:
    with tempfile.TemporaryDirectory(prefix="softhebb-fault-") as name:
        scene = Scene(Path(name), np.random.default_rng(0))
        started = time.monotonic()
        ended = scene.run(*_sweep(scene.folder))
        require(ended.status == 0, f"the undisturbed sweep failed: {ended.err}")
        return _rows(scene.folder), time.monotonic() - started


def _killed_worker(scene: Scene) -> None:
    expected, seconds = _undisturbed_sweep()
    process = scene.start(*_sweep(scene.folder))
    time.sleep(scene.moment(seconds))
    _kill_a_worker(scene, process)
    ended = scene.wait(process)
    require(ended.status == 0, f"exit status {ended.status}: {ended.err[-500:]}")
    require(_rows(scene.folder) == expected, "the table is another one")


def _kill_a_worker(scene: Scene, process: subprocess.Popen[str]) -> None:
    victims: list[psutil.Process] = []
    while process.poll() is None and not (victims := _workers(process)):
        time.sleep(0.01)
    if victims:
        with suppress(psutil.Error):
            scene.pick(victims).kill()


def _workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    with suppress(psutil.Error):
        children = psutil.Process(process.pid).children(recursive=True)
        return [child for child in children if "LokyProcess" in " ".join(child.cmdline())]
    return []


def _killed_sweep(scene: Scene) -> None:
    expected, seconds = _undisturbed_sweep()
    process = scene.start(*_sweep(scene.folder))
    time.sleep(scene.moment(seconds))
    send(process, signal.SIGKILL)
    scene.wait(process)
    _wait_for_orphans(scene)
    ended = scene.run(*_sweep(scene.folder))
    require(ended.status == 0, f"it does not go on: {ended.err[-500:]}")
    require(_rows(scene.folder) == expected, "the table is another one")


def _wait_for_orphans(scene: Scene) -> None:
    deadline = time.monotonic() + 20.0
    while scene.marked():
        if time.monotonic() > deadline:
            raise LeftError("workers live on 20 s after their parent")
        time.sleep(0.1)


# --- experiments ---------------------------------------------------------------------------------


def _experiment(folder: Path) -> tuple[str, ...]:
    options = "interpolation --dataset digits --quick --seeds 2 --jobs 2 --rungs rate,event"
    output = ("--output", str(folder / "experiment"))
    return (str(CHILDREN), "command", "experiment", *options.split(), *output)


def _found(folder: Path) -> dict[str, object]:
    tasks = (folder / "experiment").rglob("tasks/*.json")
    return {path.name: json.loads(path.read_text(encoding="utf-8"))["data"] for path in tasks}


@cache
def _undisturbed_experiment() -> tuple[dict[str, object], float]:
    with tempfile.TemporaryDirectory(prefix="softhebb-fault-") as name:
        scene = Scene(Path(name), np.random.default_rng(0))
        started = time.monotonic()
        ended = scene.run(*_experiment(scene.folder))
        found = _found(scene.folder)
        require(found, f"the undisturbed experiment found nothing: {ended.err[-500:]}")
        return found, time.monotonic() - started


def _killed_experiment(scene: Scene) -> None:
    expected, seconds = _undisturbed_experiment()
    process = scene.start(*_experiment(scene.folder))
    time.sleep(scene.moment(seconds))
    send(process, signal.SIGKILL)
    scene.wait(process)
    _wait_for_orphans(scene)
    scene.run(*_experiment(scene.folder))
    require(_found(scene.folder) == expected, "it finds something else")


def _killed_worker_of_experiment(scene: Scene) -> None:
    expected, seconds = _undisturbed_experiment()
    process = scene.start(*_experiment(scene.folder))
    time.sleep(scene.moment(seconds))
    _kill_a_worker(scene, process)
    scene.wait(process)
    require(_found(scene.folder) == expected, "it finds something else")


FAULTS = [
    *(
        Fault(name, partial(_lava, kind=kind, message=message), _no_lava)
        for name, kind, message in (
            ("a Lava model killed", "kill", "exit code -9"),
            ("a Lava model that raises in __init__", "init", "ZeroDivisionError: planted"),
            ("a Lava model that raises in a step", "step", "ZeroDivisionError: planted"),
            ("a Lava model that blocks for ever", "block", "did not end within 5 s"),
        )
    ),
    *(
        Fault(
            f"{number.name} of a program {what}",
            partial(_signalled_program, kind=kind, number=number),
            _no_lava,
        )
        for kind, what in (("network", "with a Lava network"), ("training", "training with Lava"))
        for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
    ),
    Fault("a worker of a sweep killed", _killed_worker),
    Fault("a sweep killed", _killed_sweep),
    Fault("a worker of an experiment killed", _killed_worker_of_experiment),
    Fault("an experiment killed", _killed_experiment),
]
