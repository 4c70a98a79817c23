"""The spiking estimator: one interface, one parameter object, any rung."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from softhebb_spiking._recording_size import check_size
from softhebb_spiking.conversion import ConversionReport, conversion_report
from softhebb_spiking.fixed_network import fixed_network
from softhebb_spiking.fixed_point import FixedPointOverflow
from softhebb_spiking.mixture import SoftHebbMixture
from softhebb_spiking.params import (
    ROUNDINGS,
    FixedPointParams,
    NetworkParams,
    Run,
    RunResult,
    network_field_names,
)
from softhebb_spiking.recording import Recording
from softhebb_spiking.samples import CHUNK_SAMPLES
from softhebb_spiking.validation import FloatArray, as_generator, check_choice

BACKENDS = ("event", "lava", "brian2")
ARITHMETICS = ("float", "fixed")
FIXED_OPTIONS = tuple(item.name for item in fields(FixedPointParams) if item.name != "rounding")
_MAX_SEED = 2**63
_COUNTS_AT_ONCE = 2_500_000


class SpikingSoftHebb(SoftHebbMixture):
    """SoftHebb in spikes: soft winner-take-all populations, lateral inhibition, local plasticity.

    Inputs are Bernoulli spike trains, each unit is a population of spiking neurons, lateral
    inhibition keeps the total rate, and on every output spike w_k moves by η_s (s − u_k w_k).
    `docs/model.md` defines every step.

    Parameters
    ----------
    n_units : int
        Units K.
    backend : {"event", "lava", "brian2"}
        The rung that runs the network.
    arithmetic : {"float", "fixed"}
        Floating point, or the integers of a chip; "fixed" runs on the event and the Lava rung.
    rounding : {"per_synapse", "shared"}
        In integers: how learned weights are rounded, see `FixedPointParams`.
    fixed_options : dict, optional
        In integers: other keywords of `FixedPointParams`, e.g. ``{"learning_epoch": 10}``.
    inhibition : {"feedback", "graded", "exact"}
        How inhibition finds the normaliser; see `NetworkParams`.
    temperature : float
        Softmax temperature τ.
    learning_rate, prior_learning_rate : float
        η and η_b of each sample.
    population_size : int
        Spiking neurons per unit (M).
    total_rate : float
        Output spikes of the layer per step that inhibition aims at (r).
    inhibition_gain : float
        Gain of the spike feedback (κ).
    n_steps, settle_steps : int
        Steps of a presentation that are read, and steps before them.
    dt_ms : float
        Duration of a step.
    max_probability : float
        Spike probability per step of a sample's strongest input.
    psp_tau_ms : float
        Time constant of the PSP.
    n_epochs : int
        Passes of `fit` over the data.
    init : {"data", "random"}
        Initial weights, as in `SoftHebb`.
    backend_options : dict, optional
        Keywords for the backend's `simulate`, e.g. ``{"target": "cython"}`` for Brian2 or
        ``{"timeout_s": 60}`` for Lava.
    random_state : int, Generator, RandomState or None
        For initial weights and spikes. With an int, every call is repeatable.

    Attributes
    ----------
    weights_ : ndarray of shape (n_units, n_features)
        Weights.
    log_prior_ : ndarray of shape (n_units,)
        Log prior, nats.
    n_features_in_, n_samples_seen_ : int
        Features, and samples learned from so far.
    weight_scales_ : ndarray of shape (n_units,)
        The factor with which the event rung stores each unit's weights, if it learned last: with
        it, learning goes on with the same bits, in one part or in many.

    Examples
    --------
    >>> from softhebb_spiking import SpikingSoftHebb, load_dataset
    >>> digits = load_dataset("digits")
    >>> model = SpikingSoftHebb(n_units=20, random_state=0).fit(digits.X_train[:200])
    >>> recording = model.record(digits.X_test[:3], probes=("inhibition",))
    >>> recording.inhibition.shape
    (3, 50)
    """

    def __init__(
        self,
        n_units: int = 100,
        *,
        backend: str = "event",
        arithmetic: str = "float",
        rounding: str = "per_synapse",
        fixed_options: Mapping[str, Any] | None = None,
        inhibition: str = "feedback",
        temperature: float = 0.02,
        learning_rate: float = 0.1,
        prior_learning_rate: float = 0.0,
        population_size: int = 32,
        total_rate: float = 8.0,
        inhibition_gain: float = 0.7,
        n_steps: int = 50,
        settle_steps: int = 20,
        dt_ms: float = 1.0,
        max_probability: float = 0.3,
        psp_tau_ms: float = 10.0,
        n_epochs: int = 1,
        init: str = "data",
        backend_options: Mapping[str, Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_units = n_units
        self.backend = backend
        self.arithmetic = arithmetic
        self.rounding = rounding
        self.fixed_options = fixed_options
        self.inhibition = inhibition
        self.temperature = temperature
        self.learning_rate = learning_rate
        self.prior_learning_rate = prior_learning_rate
        self.population_size = population_size
        self.total_rate = total_rate
        self.inhibition_gain = inhibition_gain
        self.n_steps = n_steps
        self.settle_steps = settle_steps
        self.dt_ms = dt_ms
        self.max_probability = max_probability
        self.psp_tau_ms = psp_tau_ms
        self.n_epochs = n_epochs
        self.init = init
        self.backend_options = backend_options
        self.random_state = random_state

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the posterior over units as read from spikes: normalised spike counts.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Non-negative samples; scaled to unit norm inside.

        Returns
        -------
        ndarray of shape (n_samples, n_units)
            Rows sum to 1; uniform where the whole layer stayed silent.
        """
        key = self._seed(learn=False)

        def posterior(chunk: FloatArray, first: int) -> FloatArray:
            run = self._run(chunk, np.zeros(len(chunk)), key, first_sample=first, keep_spikes=False)
            counts = self._simulate(run).spike_counts
            totals = counts.sum(axis=1)
            shares: FloatArray = counts / np.maximum(totals, 1)[:, np.newaxis]
            shares[totals == 0] = 1.0 / self.n_units
            return shares

        return self._map_chunks(X, posterior)

    def record(
        self,
        X: Any,
        *,
        learn: bool = False,
        input_spikes: Any = None,
        output_spikes: Any = None,
        probes: Sequence[str] = (),
        max_gb: float = 4.0,
    ) -> Recording:
        """Run samples in order and return everything that happened.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Non-negative samples; scaled to unit norm inside.
        learn : bool
            Whether to learn, with the learning rates as given; the estimator keeps the result.
        input_spikes, output_spikes : array_like of shape (n_spikes, 3), optional
            Rows (sample, step, index) to use in place of drawn spikes. With both, the run is
            deterministic ("clamped").
        probes : sequence of {"drive", "inhibition", "psp"}
            What to record in every step that is read.
        max_gb : float
            Gigabytes that the recording is expected to take at most; while it is made, its spikes
            are in memory twice. `recording_parts.record_in_parts` writes longer ones to disk.

        Returns
        -------
        Recording

        Raises
        ------
        TypeError, ValueError
            If data, spikes or probes are not accepted.
        MemoryError
            If more than `max_gb` is expected; nothing has been learned then.
        """
        run = self.make_run(
            X, learn=learn, input_spikes=input_spikes, output_spikes=output_spikes, probes=probes
        )
        check_size(run, max_gb, self._simulate)
        result = self._simulate(run)
        if learn:
            self._keep_state(run, result)
        return Recording.from_result(run, result, self.backend)

    def make_run(
        self,
        X: Any,
        *,
        learn: bool = False,
        input_spikes: Any = None,
        output_spikes: Any = None,
        probes: Sequence[str] = (),
    ) -> Run:
        """Return what `record` would run, for use with a backend's own functions.

        Parameters
        ----------
        X, learn, input_spikes, output_spikes, probes
            As for `record`.

        Returns
        -------
        Run
            For `softhebb_spiking.networks.SoftHebbNetwork`, for `build_network` of the Brian2
            backend, or for any backend's `simulate`.
        """
        given = {"input_spikes": input_spikes, "output_spikes": output_spikes}
        return self._run_of(self._check_samples(X), learn=learn, probes=probes, **given)

    def _run_of(
        self, samples: FloatArray, *, learn: bool, probes: Sequence[str], **given: Any
    ) -> Run:
        """Return the run of unit-norm samples that starts where the estimator is."""
        if not isinstance(learn, bool | np.bool_):
            raise TypeError(f"learn must be True or False, got {learn!r}.")
        return self._run(
            samples,
            np.full(len(samples), float(learn)),
            self._seed(learn=bool(learn)),
            first_sample=self.n_samples_seen_ if learn else 0,
            probes=tuple([probes] if isinstance(probes, str) else probes),
            **given,
        )

    def to_fixed(self, **changes: Any) -> tuple[SpikingSoftHebb, ConversionReport]:
        """Return this model in integers, and a report of what that does to it.

        Parameters
        ----------
        **changes
            Parameters of the new estimator, e.g. ``rounding="shared"`` or
            ``fixed_options={"weight_exponent": -9}``.

        Returns
        -------
        model : SpikingSoftHebb
            With ``arithmetic="fixed"`` and the weights and log prior that the integers hold.
        report : ConversionReport
            Formats, clipping, and the learning rule with what it achieves; print it.

        Raises
        ------
        ValueError
            If a parameter does not fit its format; the message has the nearest that fits.

        Warns
        -----
        FixedPointOverflow
            If weights or log prior were clipped.

        Examples
        --------
        >>> from softhebb_spiking import SpikingSoftHebb, load_dataset
        >>> digits = load_dataset("digits")
        >>> model = SpikingSoftHebb(n_units=20, random_state=0).fit(digits.X_train[:200])
        >>> on_chip, report = model.to_fixed()
        >>> report.clipped_weights, report.fixed.learning.rule
        (0, '2^-7*u0*x1*y1 - 2*2^-7*u0*y1*y2*w')
        """
        check_is_fitted(self)
        params = self.get_params() | {"arithmetic": "fixed"} | changes
        model = type(self)(**params)
        model._check_parameters()
        network = model._network_params(self.n_features_in_)
        params_fixed = model._fixed_params() or FixedPointParams()
        fixed = fixed_network(network, params_fixed, learning_rate=model.learning_rate)
        report = conversion_report(fixed, self.weights_, self.log_prior_, model.learning_rate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FixedPointOverflow)  # the report has just told
            model._set_state(
                fixed.weights_as_float(fixed.weights(self.weights_)),
                fixed.log_prior_as_float(fixed.log_prior(self.log_prior_)),
            )
        model.n_samples_seen_ = self.n_samples_seen_
        return model, report

    def network_params(self) -> NetworkParams:
        """Return the parameter object of the fitted network."""
        return self._network_params(self.n_features_in_)

    def _network_params(self, n_features: int) -> NetworkParams:
        names = set(network_field_names()) - {"n_features"}
        return NetworkParams(n_features=n_features, **{name: getattr(self, name) for name in names})

    def _fixed_params(self) -> FixedPointParams | None:
        """Return how the network is held in integers, None in floating point."""
        if self.arithmetic == "float":
            return None
        return FixedPointParams(rounding=self.rounding, **(self.fixed_options or {}))

    def _chunk_samples(self) -> int:
        # A chunk's spike counts, a number for each sample and unit, should stay below 20 MB.
        return max(100, min(CHUNK_SAMPLES, _COUNTS_AT_ONCE // self.n_units))

    def _learning_key(self) -> int:
        return self._seed(learn=True)

    def _learn(self, samples: FloatArray, rate_factors: FloatArray, key: int) -> int:
        first = self.n_samples_seen_
        run = self._run(samples, rate_factors, key, first_sample=first, keep_spikes=False)
        result = self._simulate(run)
        self._keep_state(run, result)
        return int(result.spike_counts.sum())

    def _run(self, samples: FloatArray, rate_factors: FloatArray, key: int, **options: Any) -> Run:
        """Return a run from the state of the estimator, learning rates scaled by sample."""
        return Run(
            network=self.network_params(),
            samples=samples,
            weights=self.weights_,
            log_prior=self.log_prior_,
            learning_rates=self.learning_rate * rate_factors,
            prior_learning_rates=self.prior_learning_rate * rate_factors,
            seed=key,
            fixed=self._fixed_params(),
            weight_scales=getattr(self, "weight_scales_", None),
            **options,
        )

    def _keep_state(self, run: Run, result: RunResult) -> None:
        if not np.isfinite(result.weights).all():
            raise FloatingPointError(
                f"the weights diverged: with learning_rate={self.learning_rate:g}, "
                f"n_steps={self.n_steps} and total_rate={self.total_rate:g}, updates by few spikes "
                "are so large that they overshoot. Lower learning_rate, or raise n_steps or "
                "total_rate."
            )
        self.weights_ = result.weights
        self.log_prior_ = result.log_prior
        self.n_samples_seen_ += len(run.samples)
        self.__dict__.pop("weight_scales_", None)
        if result.weight_scales is not None:
            self.weight_scales_ = result.weight_scales

    def _seed(self, *, learn: bool) -> int:
        """Return the key of this call's spikes: the same each time for an integer random_state.

        Learning and reading have keys of their own, so that what is read off training samples
        does not see the noise the weights were learned from.
        """
        keys = as_generator(self.random_state).integers(_MAX_SEED, size=2)
        return int(keys[0 if learn else 1])

    def _simulate(self, run: Run) -> RunResult:
        module = importlib.import_module(f"softhebb_spiking.backends.{self.backend}")
        result: RunResult = module.simulate(run, **(self.backend_options or {}))
        return result

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice("backend", self.backend, BACKENDS)
        check_choice("arithmetic", self.arithmetic, ARITHMETICS)
        check_choice("rounding", self.rounding, ROUNDINGS)
        self._network_params(n_features=1)  # it checks the other parameters
        if self.settle_steps + self.n_steps < 2:
            raise ValueError(
                "n_steps=1 needs settle_steps of 1 at least: in the first step no input has "
                "reached a unit yet, so that weights would only grow."
            )
        for name in ("backend_options", "fixed_options"):
            if not isinstance(getattr(self, name), Mapping | None):
                raise TypeError(
                    f"{name} must be a dict of keywords or None, got "
                    f"{type(getattr(self, name)).__name__}."
                )
        unknown = set(self.fixed_options or {}) - set(FIXED_OPTIONS)
        if unknown:
            raise ValueError(
                f"fixed_options has unknown keys {sorted(unknown)}; it may have "
                f"{', '.join(FIXED_OPTIONS)}."
            )
        if self.arithmetic == "fixed" and self.backend == "brian2":
            raise ValueError(
                "arithmetic='fixed' runs on backend='event' and 'lava'; Brian2 is the reference "
                "in floating point."
            )
        self._fixed_params()
