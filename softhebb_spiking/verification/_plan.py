"""What the ladder measures, at which size, and what every comparison works on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from softhebb_spiking.data import Dataset
from softhebb_spiking.params import NetworkParams, Run, RunResult
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.validation import FloatArray, unit_norm_samples

Simulator = Callable[[Run], RunResult]
SLOW_RUNGS = ("lava", "brian2")
FIXED = "fixed"  # the rung in integers: the same samples, bounds that allow for rounding

# Two-sided false-alarm rate of a k·σ check: 6e-5 for k = 4. A run makes a few tens of them.
K_SIGMA = 4.0
_LOWEST_LOG_PRIOR = -22.0  # nats
REQUIREMENT = "a requirement, not an error bar"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is run; slow rungs get fewer samples.

    Attributes
    ----------
    n_units : int
        Units of the network.
    train : int
        Training samples of the rate and the event rung.
    posterior, slow_posterior : int
        Test samples of the posterior check.
    update_samples, update_repeats, slow_repeats : int
        Samples of the expected-update check, and how often each is shown.
    convergence_repeats : int
        Presentations of each sample in the convergence measurement.
    learning_units, learning_samples : int
        Network and samples of the learning check, which all rungs run alike.
    budget_train, budget_repeats : int
        Samples that each row of the error budget learns from, and presentations of each of the
        samples whose mean update it measures.
    """

    n_units: int
    train: int
    posterior: int
    slow_posterior: int
    update_samples: int
    update_repeats: int
    slow_repeats: int
    convergence_repeats: int
    learning_units: int
    learning_samples: int
    budget_train: int
    budget_repeats: int


SIZES: Mapping[tuple[str, bool], Sizes] = {
    ("digits", False): Sizes(
        n_units=20,
        train=1437,
        posterior=360,
        slow_posterior=50,
        update_samples=20,
        update_repeats=200,
        slow_repeats=4,
        convergence_repeats=400,
        learning_units=20,
        learning_samples=1000,
        budget_train=1437,
        budget_repeats=50,
    ),
    ("digits", True): Sizes(
        n_units=20,
        train=1437,
        posterior=100,
        slow_posterior=15,
        update_samples=10,
        update_repeats=100,
        slow_repeats=2,
        convergence_repeats=200,
        learning_units=20,
        learning_samples=1000,
        budget_train=1437,
        budget_repeats=20,
    ),
    ("mnist", False): Sizes(
        n_units=100,
        train=60_000,
        posterior=500,
        slow_posterior=50,
        update_samples=20,
        update_repeats=200,
        slow_repeats=3,
        convergence_repeats=300,
        learning_units=20,
        learning_samples=500,
        budget_train=2000,
        budget_repeats=20,
    ),
    ("mnist", True): Sizes(
        n_units=100,
        train=10_000,
        posterior=100,
        slow_posterior=10,
        update_samples=10,
        update_repeats=100,
        slow_repeats=1,
        convergence_repeats=200,
        learning_units=20,
        learning_samples=200,
        budget_train=1000,
        budget_repeats=10,
    ),
}


# With few inputs the drive is noisier: it takes more input spikes, and neurons to spare for the
# steps in which inhibition lags behind.
_MANY_FEATURES = 256
_FEW_INPUTS: dict[str, Any] = {"max_probability": 0.5, "population_size": 128}


def suitable_sizes(dataset: str, *, quick: bool) -> Sizes:
    """Return how much is run on a data set."""
    return SIZES["digits" if dataset == "digits" else "mnist", quick]


def reading_network(n_features: int, n_units: int, temperature: float) -> NetworkParams:
    """Return the setting in which spikes are compared with rates: slow PSPs, many spikes."""
    return NetworkParams(
        n_features=n_features,
        n_units=n_units,
        temperature=temperature,
        n_steps=100,
        settle_steps=40,
        psp_tau_ms=20.0,
        **(_FEW_INPUTS if n_features < _MANY_FEATURES else {}),
    )


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Everything the comparisons share.

    Attributes
    ----------
    data : Dataset
        The data.
    X_train, X_test : ndarray of shape (n_samples, n_features)
        Unit-norm samples in the order in which they are shown.
    sizes : Sizes
        How much is run.
    rungs : tuple of str
        Spiking rungs that take part.
    rate : SoftHebb
        The reference, trained on `X_train`.
    network : NetworkParams
        Setting of the posterior and expected-update checks.
    seed : int
        Key of everything random.
    """

    data: Dataset
    X_train: FloatArray
    X_test: FloatArray
    sizes: Sizes
    rungs: tuple[str, ...]
    rate: SoftHebb
    network: NetworkParams
    seed: int

    @classmethod
    def prepare(cls, data: Dataset, rungs: tuple[str, ...], *, seed: int, sizes: Sizes) -> Ladder:
        """Train the reference and fix the setting for a data set."""
        X_train = unit_norm_samples(data.X_train[: sizes.train])
        # The log prior learns too, so that every later check runs with an uneven one.
        rate = SoftHebb(sizes.n_units, prior_learning_rate=0.001, random_state=seed).fit(X_train)
        # Units that win nothing; below this, integers could not hold their log prior.
        rate.log_prior_ = np.maximum(rate.log_prior_, _LOWEST_LOG_PRIOR)
        network = reading_network(X_train.shape[1], sizes.n_units, rate.temperature)
        return cls(
            data=data,
            X_train=X_train,
            X_test=unit_norm_samples(data.X_test),
            sizes=sizes,
            rungs=rungs,
            rate=rate,
            network=network,
            seed=seed,
        )

    def with_inhibition(self, inhibition: str) -> NetworkParams:
        """Return the setting with another kind of inhibition."""
        return replace(self.network, inhibition=inhibition)

    def run(
        self,
        network: NetworkParams,
        samples: FloatArray,
        *,
        learning_rate: float = 0.0,
        prior_learning_rate: float = 0.0,
        probes: tuple[str, ...] = (),
        keep_spikes: bool = False,
    ) -> Run:
        """Return a run of the reference's weights, with constant learning rates."""
        ones = np.ones(len(samples))
        return Run(
            network=network,
            samples=samples,
            weights=self.rate.weights_,
            log_prior=self.rate.log_prior_,
            learning_rates=learning_rate * ones,
            prior_learning_rates=prior_learning_rate * ones,
            seed=self.seed,
            probes=probes,
            keep_spikes=keep_spikes,
        )
