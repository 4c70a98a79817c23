"""Running experiments: one task for each experiment and seed, kept as soon as it is done."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np

import softhebb_spiking
from softhebb_spiking import __version__
from softhebb_spiking._untrusted import read_json
from softhebb_spiking._workers import MAX_DEATHS, run_in_workers
from softhebb_spiking.data import DATASETS, load_dataset
from softhebb_spiking.experiments import (
    adversarial,
    attacks,
    convergence,
    cross_entropy,
    interpolation,
    noise,
    soft_hard,
)
from softhebb_spiking.experiments.settings import settings_of
from softhebb_spiking.experiments.statistics import Claim
from softhebb_spiking.experiments.trial import RUNG_PARAMS, RUNGS, Trial
from softhebb_spiking.serialization import write_whole
from softhebb_spiking.validation import check_choice, check_integer, check_real

EXPERIMENTS: MappingProxyType[str, ModuleType] = MappingProxyType(
    {
        "cross-entropy": cross_entropy,
        "convergence": convergence,
        "noise": noise,
        "adversarial": adversarial,
        "interpolation": interpolation,
        "soft-hard": soft_hard,
    }
)
ALL = "all"
DEFAULT_RUNGS = RUNGS[:3]
_WITHOUT_EFFECT = frozenset({"pictures", "plots", "_pages", "statistics"})
_WITH_ATTACKS = ("adversarial", "soft-hard")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be run; everything is checked when it is made.

    Attributes
    ----------
    experiments : tuple of str
        Names out of `EXPERIMENTS`.
    dataset : str
        Data set.
    rungs : tuple of str
        Rungs of the ladder.
    seeds : tuple of int
        Seeds.
    quick : bool
        Smaller everywhere.
    data_root : str or None
        Folder with IDX files.

    Raises
    ------
    ValueError
        If a name is not known; the message has those that are.
    ImportError
        If a library that an experiment needs is not installed.
    """

    experiments: tuple[str, ...]
    dataset: str
    rungs: tuple[str, ...] = DEFAULT_RUNGS
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    quick: bool = False
    data_root: str | None = None

    def __post_init__(self) -> None:
        for name in self.experiments:
            check_choice("experiment", name, tuple(EXPERIMENTS))
        check_choice("dataset", self.dataset, DATASETS)
        for rung in self.rungs:
            check_choice("rung", rung, RUNGS)
        for name, values in (("experiments", self.experiments), ("rungs", self.rungs)):
            if len(set(values)) < len(values) or not values:
                raise ValueError(f"{name} must be different and at least one, got {values}.")
        for seed in self.seeds:
            check_integer("seed", seed, 0)
        if set(self.experiments) & set(_WITH_ATTACKS):
            attacks.require_installed()

    @property
    def facts(self) -> dict[str, Any]:
        """What a result depends on besides experiment and seed."""
        settings = settings_of(self.dataset, quick=self.quick)
        return {
            "version": __version__,
            "dataset": self.dataset,
            "rungs": self.rungs,
            "settings": settings.as_dict(),
        }


@dataclass(frozen=True, kw_only=True)
class Task:
    """One experiment with one seed."""

    experiment: str
    seed: int

    @property
    def key(self) -> str:
        """A name that no other task of a run has."""
        return f"{self.experiment}-seed-{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a task has found, or why it has not.

    Attributes
    ----------
    task : Task
        The task.
    data : dict or None
        Plain data, as the experiment's `run` returns it.
    error : str or None
        What went wrong.
    elapsed_s : float
        How long it took; layers that were there already are not trained again.
    """

    task: Task
    data: dict[str, Any] | None = None
    error: str | None = None
    elapsed_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything that a run has found.

    Attributes
    ----------
    plan : Plan
        What was run.
    outcomes : tuple of Outcome
        One for each task, in the order of experiments and seeds.
    """

    plan: Plan
    outcomes: tuple[Outcome, ...]

    def data_of(self, experiment: str) -> list[dict[str, Any]]:
        """Return what an experiment has found, one for each seed that came to its end."""
        return [
            one.data
            for one in self.outcomes
            if one.task.experiment == experiment and one.data is not None
        ]

    def claims(self) -> list[Claim]:
        """Return the verdicts, by number of the claim."""
        found = []
        for name in self.plan.experiments:
            if results := self.data_of(name):
                found += EXPERIMENTS[name].claims(results, self.plan.rungs)
        return sorted(found, key=lambda claim: claim.number)

    def figures(self) -> dict[str, Any]:
        """Return the figures of all experiments by name."""
        found: dict[str, Any] = {}
        for name in self.plan.experiments:
            if results := self.data_of(name):
                found |= EXPERIMENTS[name].figures(results, self.plan.rungs)
        return found

    @property
    def failed(self) -> list[Outcome]:
        """The tasks that did not come to their end."""
        return [one for one in self.outcomes if one.error is not None]


def run_experiments(
    plan: Plan,
    folder: str | Path,
    *,
    n_jobs: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> Findings:
    """Run what is left to do; results are on the disk as soon as they are there.

    Parameters
    ----------
    plan : Plan
        What to run.
    folder : str or Path
        Where results and trained layers are kept; what is there already is not found again,
        unless it was found with other settings, rungs, data or code.
    n_jobs : int
        Processes of this machine.
    progress : callable, optional
        Called with what was done last, and the numbers of tasks done and of all tasks.

    Returns
    -------
    Findings

    Raises
    ------
    OSError
        If data cannot be read, or results cannot be written.
    """
    folder = Path(folder)
    digests = _digests(plan)
    (folder / "tasks").mkdir(parents=True, exist_ok=True)
    tasks = [Task(experiment=name, seed=seed) for name in plan.experiments for seed in plan.seeds]
    found = {task: _read(folder, task, digests[task.experiment]) for task in tasks}
    to_do = [task for task in tasks if found[task] is None]
    done = len(tasks) - len(to_do)
    report = progress or (lambda *_: None)
    report("", done, len(tasks))
    layers = folder / f"layers-{__version__}"
    work = partial(run_task, plan=plan, layers=str(layers))
    # Neighbours have different seeds: two that run together rarely train the same layer.
    for task, outcome in run_in_workers(n_jobs, to_do, work):
        ended = outcome or Outcome(
            task=task, error=f"its worker died {MAX_DEATHS} times (killed, or out of memory)"
        )
        if ended.error is None:
            _write(folder, digests[task.experiment], ended)
        found[task] = ended
        done += 1
        report(task.key, done, len(tasks))
    return Findings(plan=plan, outcomes=tuple(one for one in found.values() if one is not None))


def run_task(task: Task, *, plan: Plan, layers: str) -> Outcome:
    """Run one experiment with one seed; what goes wrong is in the outcome and not raised."""
    started = time.monotonic()
    trial = Trial(
        dataset=plan.dataset,
        settings=settings_of(plan.dataset, quick=plan.quick),
        rungs=plan.rungs,
        seed=task.seed,
        layers=Path(layers),
        data_root=plan.data_root,
    )
    try:
        data = EXPERIMENTS[task.experiment].run(trial)
    except Exception as error:  # one task must not stop the others
        return Outcome(task=task, error=f"{type(error).__name__}: {error}")
    return Outcome(task=task, data=data, elapsed_s=round(time.monotonic() - started, 3))


def _digests(plan: Plan) -> dict[str, str]:
    """Return for each experiment what tells results of other settings, data or code apart."""
    data = load_dataset(plan.dataset, root=plan.data_root)
    common = hashlib.sha256(json.dumps(plan.facts, sort_keys=True).encode())
    for array in (data.X_train, data.y_train, data.X_test, data.y_test):
        common.update(np.ascontiguousarray(array).tobytes())
    found = {}
    for name in plan.experiments:
        digest = common.copy()
        digest.update(code_digest(name, plan.rungs).encode())
        found[name] = digest.hexdigest()
    return found


@cache
def code_digest(experiment: str, rungs: tuple[str, ...]) -> str:
    """Return what tells versions of an experiment's code, and of all that it imports, apart.

    Modules that only draw or print are left out: a change there leaves results what they are.
    """
    backends = {str(RUNG_PARAMS[rung]["backend"]) for rung in rungs if rung in RUNG_PARAMS}
    left = [f"softhebb_spiking.backends.{name}" for name in sorted(backends)]
    left.append(EXPERIMENTS[experiment].__name__)
    seen: set[str] = set()
    digest = hashlib.sha256()
    while left:
        name = left.pop()
        spec = None if name in seen else importlib.util.find_spec(name)
        seen.add(name)
        if spec is None or spec.origin is None or name.rpartition(".")[2] in _WITHOUT_EFFECT:
            continue
        source = Path(spec.origin).read_bytes()
        digest.update(name.encode() + source)
        left += sorted(_imported_from_here(source))
    return digest.hexdigest()


def _imported_from_here(source: bytes) -> set[str]:
    """Return the modules of this package that a source names in its imports."""
    package = softhebb_spiking.__name__
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package):
            found.add(str(node.module))
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    # What a package's __init__ gathers is not what the module that imports from it uses.
    return {name for name in found if name not in (package, __package__) and _is_module(name)}


@cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is no package: a function, a class
        return False


def _path(folder: Path, task: Task, digest: str) -> Path:
    # Another plan's results have other names: trying another rung overwrites nothing.
    return folder / "tasks" / f"{task.key}-{digest[:8]}.json"


def _read(folder: Path, task: Task, digest: str) -> Outcome | None:
    """Return what a file says a task has found; None if it does not, or is damaged."""
    try:
        found = read_json(_path(folder, task, digest))
        if found["digest"] != digest or not isinstance(found["data"], dict):
            return None
        elapsed_s = check_real("elapsed_s", found["elapsed_s"], 0.0)
        return Outcome(task=task, data=found["data"], elapsed_s=elapsed_s)
    except (OSError, OverflowError, ValueError, KeyError, TypeError):
        return None


def _write(folder: Path, digest: str, outcome: Outcome) -> None:
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    content = {
        "digest": digest,
        "date": date,
        "elapsed_s": outcome.elapsed_s,
        "data": outcome.data,
    }
    write_whole(_path(folder, outcome.task, digest), json.dumps(content).encode())


def experiments_named(name: str) -> Sequence[str]:
    """Return the experiments that a name stands for.

    Raises
    ------
    ValueError
        If it stands for none.
    """
    check_choice("experiment", name, (*EXPERIMENTS, ALL))
    return tuple(EXPERIMENTS) if name == ALL else (name,)
