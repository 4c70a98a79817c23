"""A ladder of a few samples, and results made by hand, whose verdict is known exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking.data import Dataset
from softhebb_spiking.params import (
    PROBES,
    NetworkParams,
    Run,
    RunResult,
)
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.verification._plan import (
    Ladder,
    Sizes,
)
from softhebb_spiking.verification.check import Check

Floats = NDArray[np.float64]
ALL = ("event", "lava", "brian2", "fixed")
TINY = Sizes(
    n_units=22,
    train=40,
    posterior=6,
    slow_posterior=4,
    update_samples=5,
    update_repeats=20,
    slow_repeats=3,
    convergence_repeats=8,
    learning_units=4,
    learning_samples=24,
    budget_train=7,
    budget_repeats=2,
)


def unit(rows: Any) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def clustered(rng: np.random.Generator, n: int) -> tuple[Floats, NDArray[np.int64]]:
    """Samples of ten features near four directions, and which each is near."""
    labels = rng.integers(0, 4, n)
    return 0.2 + 0.2 * rng.random((n, 10)) + np.kron(np.eye(4, 5), np.ones(2))[labels], labels


def made_ladder(rungs: tuple[str, ...] = ALL, *, seed: int = 5, **network: Any) -> Ladder:
    """A ladder of a few samples, whose reference network is not learned but given."""
    rng = np.random.default_rng(seed)
    X_train, y_train = clustered(rng, 50)
    X_test, y_test = clustered(rng, 12)
    weights = 1.1 * unit(clustered(rng, TINY.n_units)[0])
    log_prior = np.log(rng.dirichlet(np.full(TINY.n_units, 9.0)))
    options: dict[str, Any] = {"temperature": 0.3, "n_steps": 20, "settle_steps": 8}
    return Ladder(
        data=Dataset(
            name="made",
            X_train=X_train,
            y_train=y_train,
            X_test=X_test,
            y_test=y_test,
            image_shape=(2, 5),
        ),
        X_train=unit(X_train),
        X_test=unit(X_test),
        sizes=TINY,
        rungs=rungs,
        rate=SoftHebb.from_weights(weights, log_prior, temperature=0.3),
        network=NetworkParams(n_features=10, n_units=TINY.n_units, **(options | network)),
        seed=seed,
    )


def by_name(checks: list[Check], *rungs: str) -> dict[str, Check]:
    """The checks of some rungs by the second part of their name; each says what it is."""
    own = [item for item in checks if item.rungs == rungs]
    for item in own:
        assert "/" in item.name
        assert isinstance(item.statistic, str)
        assert isinstance(item.bound_from, str)
    found = {item.name.split("/")[1]: item for item in own}
    assert len(found) == len(own)
    return found


def groups_of(checks: list[Check]) -> set[str]:
    """The first parts of the names of checks, under which a report has them."""
    return {item.name.split("/")[0] for item in checks}


def assert_same_run(one: Run, other: Run) -> None:
    for name in Run.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def a_check(**changes: Any) -> Check:
    return Check(
        **({"name": "a/b", "rungs": ("x",), "statistic": "s", "bound_from": "f"} | changes)
    )


STATES = ("weights", "log_prior", *PROBES)


def a_state(rng: np.random.Generator, factors: dict[str, float] | None = None) -> RunResult:
    """A result of random states, each times a factor."""
    given = dict.fromkeys(STATES, 1.0) | (factors or {})
    return RunResult(
        spike_counts=np.zeros((2, 3), np.int64),
        weights=given["weights"] * rng.normal(size=(3, 4)),
        log_prior=given["log_prior"] * rng.normal(size=3),
        probes={name: given[name] * rng.normal(size=(2, 5, 3)) for name in PROBES},
    )
