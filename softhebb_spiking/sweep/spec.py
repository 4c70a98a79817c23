"""What a sweep consists of; every key and value is checked before any work starts."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from softhebb_spiking.data import DATASETS
from softhebb_spiking.evaluation import READOUTS
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.spiking import BACKENDS, SpikingSoftHebb
from softhebb_spiking.validation import MAX_KEY, check_choice, check_integer

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RUNGS = ("rate", *BACKENDS)
SCORES = ("validation", "test")
_KEYS = (
    "dataset",
    "rung",
    "samples",
    "held_out",
    "score",
    "readouts",
    "seeds",
    "fixed",
    "grid",
)
_MAX_TASKS = 100_000
_DEFAULT_HELD_OUT = {"digits": 300}
_HELD_OUT_OF_IMAGES = 10_000


@dataclass(frozen=True, kw_only=True)
class Task:
    """One training and its scores.

    Attributes
    ----------
    dataset, rung : str
        Data and estimator.
    samples : int or None
        Training samples, from the first; None for all that are not held out.
    held_out : int
        Last samples of the training set that are never trained on.
    score : {"validation", "test"}
        What is scored: what is held out, or the test set.
    readouts : tuple of str
        How classes are read.
    params : dict
        Parameters of the estimator.
    seed : int
        Its `random_state`.
    """

    dataset: str
    rung: str
    samples: int | None
    held_out: int
    score: str
    readouts: tuple[str, ...]
    params: dict[str, Any]
    seed: int

    def estimator(self) -> Any:
        """Return the estimator that the task trains; raises what its parameters are refused for."""
        if self.rung == "rate":
            model: Any = SoftHebb(random_state=self.seed, **self.params)
        else:
            model = SpikingSoftHebb(backend=self.rung, random_state=self.seed, **self.params)
        model._check_parameters()
        return model

    def as_dict(self) -> dict[str, Any]:
        """Return the task in the types of JSON."""
        return asdict(self) | {"readouts": list(self.readouts)}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Task:
        """Return the task that `as_dict` gave."""
        return cls(**{**found, "readouts": tuple(found["readouts"])})

    @property
    def key(self) -> str:
        """A name for the task, of all that its results depend on, package version included."""
        from softhebb_spiking import __version__

        content = json.dumps(self.as_dict() | {"version": __version__}, sort_keys=True)
        return hashlib.blake2b(content.encode(), digest_size=10).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep: what all tasks share, and what they differ in.

    Attributes
    ----------
    varied : tuple of str
        Names of the grid's parameters.
    tasks : tuple of Task
        Grid times seeds, grid first.
    spec : dict
        The specification as it was written.
    """

    varied: tuple[str, ...]
    tasks: tuple[Task, ...]
    spec: dict[str, Any]


def read_spec(path: str | Path) -> Sweep:
    """Read a specification, and check all of it.

    Parameters
    ----------
    path : str or Path
        A TOML file. It names `dataset` (default ``"digits"``), `rung` (``"event"``), `samples`
        (all), `held_out` (10 000; 300 of digits), `score` (``"validation"``), `readouts`
        (``["units"]``), `seeds` (a number of seeds, or a list; 1), a table `fixed` of parameters
        of the estimator, and a table `grid` of lists of them.

    Returns
    -------
    Sweep

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError, TypeError
        If it is not TOML, or a key or a value is not accepted; the message has the nearest key.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no sweep specification at {path}.")
    try:
        with Path(path).open("rb") as file:
            spec = tomllib.load(file)
    except (ValueError, RecursionError) as error:  # of TOML, of bytes that are no text, of numbers
        raise ValueError(f"{path} is not TOML: {error}.") from error
    try:
        return make_sweep(spec)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{path}: {error}") from error


def make_sweep(spec: Mapping[str, Any]) -> Sweep:
    """Return the sweep of a specification; see `read_spec`."""
    _check_keys("the specification", spec, _KEYS)
    try:
        json.dumps(dict(spec))  # dates, which TOML has, are no values of parameters
    except (TypeError, ValueError) as error:
        raise type(error)(f"the specification must have values of JSON: {error}.") from error
    dataset = check_choice("dataset", spec.get("dataset", "digits"), DATASETS)
    rung = check_choice("rung", spec.get("rung", "event"), RUNGS)
    samples = spec.get("samples")
    if samples is not None:
        check_integer("samples", samples, 1)
    held_out = spec.get("held_out", _DEFAULT_HELD_OUT.get(dataset, _HELD_OUT_OF_IMAGES))
    check_integer("held_out", held_out, 0)
    score = check_choice("score", spec.get("score", "validation"), SCORES)
    if score == "validation" and held_out == 0:
        raise ValueError('score = "validation" needs held_out samples, got held_out = 0.')
    readouts = tuple(_as_list("readouts", spec.get("readouts", ["units"])))
    for readout in readouts:
        check_choice("readouts", readout, tuple(READOUTS))
    fixed, grid = (_table(name, spec.get(name, {})) for name in ("fixed", "grid"))
    names = set(SoftHebb().get_params() if rung == "rate" else SpikingSoftHebb().get_params())
    accepted = tuple(sorted(names - {"random_state", "backend"}))
    _check_keys("fixed", fixed, accepted)
    _check_keys("grid", grid, accepted)
    twice = sorted(set(fixed) & set(grid))
    if twice:
        raise ValueError(f"{', '.join(twice)} is in fixed and in grid; leave it in one of them.")
    values = [_as_list(f"grid.{name}", of_name) for name, of_name in grid.items()]
    seeds = _seeds(spec.get("seeds", 1))
    n_tasks = math.prod(map(len, values)) * len(seeds)  # before they take memory
    if n_tasks > _MAX_TASKS:
        raise ValueError(f"the grid has {n_tasks} tasks, at most {_MAX_TASKS} are accepted.")
    tasks = tuple(
        Task(
            dataset=dataset,
            rung=rung,
            samples=samples,
            held_out=held_out,
            score=score,
            readouts=readouts,
            params=fixed | dict(zip(grid, chosen, strict=True)),
            seed=seed,
        )
        for chosen in itertools.product(*values)
        for seed in seeds
    )
    for task in tasks[:: len(seeds)]:  # each setting once
        _check_task(task)
    return Sweep(varied=tuple(grid), tasks=tasks, spec=dict(spec))


def _check_task(task: Task) -> None:
    try:
        task.estimator()
    except (TypeError, ValueError) as error:
        raise type(error)(f"the task with {task.params} is refused: {error}") from error
    except OverflowError as error:
        raise ValueError(f"the task with {task.params} is refused: {error}") from error


def _check_keys(where: str, found: Mapping[str, Any], accepted: tuple[str, ...]) -> None:
    for name in found:
        if name not in accepted:
            near = difflib.get_close_matches(name, accepted, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it may have {', '.join(accepted)}."
            raise ValueError(f"{where} has an unknown key {name!r}; {hint}")


def _table(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a table of parameters, got {value!r}.")
    return dict(value)


def _as_list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise TypeError(f"{name} must be a list of values, got {value!r}.")
    return value


def _seeds(value: Any) -> list[int]:
    seeds = (
        value
        if isinstance(value, list)
        else list(range(check_integer("seeds", value, 1, _MAX_TASKS)))
    )
    for seed in seeds:
        check_integer("seeds", seed, 0, MAX_KEY)
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds must be a number of seeds or a list of different ones: {value!r}.")
    return seeds
