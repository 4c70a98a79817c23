"""The one description of a LIF circuit that Lava, in floats and integers, and Brian2 run.

Passive, validated containers, as in `softhebb_spiking.params`; `softhebb_spiking.circuit` has the
equations, `docs/circuit.md` the reasons. Voltages are in nats: one nat more of drive makes a
neuron fire e times as often.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from softhebb_spiking.params import FixedPointParams, NetworkParams
from softhebb_spiking.validation import (
    FloatArray,
    IntArray,
    check_choice,
    check_integer,
    check_real,
)

LEARNING_FORMS = ("three_factor", "two_factor")


@dataclass(frozen=True, kw_only=True)
class LifCircuitParams:
    """A soft winner-take-all layer of leaky integrate-and-fire neurons.

    Parameters
    ----------
    n_features, n_units : int
        Inputs, and populations (K).
    gain : float
        Nats of voltage per unit of drive w_k · x; the reciprocal of the temperature, but for a
        factor that `calibrate` measures.
    population_size : int
        LIF neurons in each population (M).
    common_drive : float
        Drive that feed-forward inhibition takes from all populations alike. Choose a low quantile
        of the drives of winning units, see `softhebb_spiking.circuit.common_drive`.
    total_rate : float
        Spikes per step of the layer when the best drive is `common_drive`.
    threshold : float
        Threshold above the resting voltage, nats: without input, a neuron fires e^-threshold
        times a step. Where the gain is too low to reach it, the threshold is lower.
    feedback : float
        Drive that feedback inhibition takes, in each step, for each doubling of the layer's spikes;
        less where the gain is so high that inhibition would oscillate.
    max_probability : float
        Spike probability per step of an input of size `largest_input`.
    largest_input : float
        Largest entry that a sample, scaled to unit norm, may have.
    psp_tau_ms, dt_ms : float
        Time constant of synaptic currents, and duration of a step, milliseconds.
    n_steps, settle_steps : int
        Steps of a presentation that are read, and steps before them.
    n_background : int
        Sources of background spikes.
    background_fan_in : int
        Of which each neuron hears this many.

    Raises
    ------
    TypeError, ValueError
        If a parameter has the wrong type or lies outside its range.
    """

    n_features: int
    n_units: int
    gain: float = 50.0
    population_size: int = 50
    common_drive: float = 0.6
    total_rate: float = 4.0
    threshold: float = 8.0
    feedback: float = 0.01
    max_probability: float = 0.5
    largest_input: float = 0.4
    psp_tau_ms: float = 10.0
    dt_ms: float = 1.0
    n_steps: int = 50
    settle_steps: int = 30
    n_background: int = 512
    background_fan_in: int = 64

    def __post_init__(self) -> None:
        for name in ("n_features", "n_units", "population_size", "n_steps", "background_fan_in"):
            check_integer(name, getattr(self, name), 1)
        check_integer("settle_steps", self.settle_steps, 0)
        check_integer("n_background", self.n_background, self.background_fan_in)
        check_real("common_drive", self.common_drive, 0.0)
        check_real("largest_input", self.largest_input, 0.0, 1.0, low_open=True)
        check_real("max_probability", self.max_probability, 0.0, 1.0, low_open=True)
        positive = ("gain", "total_rate", "threshold", "feedback", "psp_tau_ms", "dt_ms")
        for name in positive:
            check_real(name, getattr(self, name), 0.0, low_open=True)

    @property
    def n_neurons(self) -> int:
        """Excitatory neurons, K · M."""
        return self.n_units * self.population_size

    @property
    def presentation_steps(self) -> int:
        """Steps for which one sample is shown: settling, then reading."""
        return self.settle_steps + self.n_steps

    def network(self) -> NetworkParams:
        """Return the layer that the circuit imitates, for what plastic synapses share with it."""
        return NetworkParams(
            n_features=self.n_features,
            n_units=self.n_units,
            temperature=1.0 / self.gain,
            population_size=max(self.population_size, math.floor(self.total_rate) + 1),
            total_rate=self.total_rate,
            n_steps=self.n_steps,
            settle_steps=self.settle_steps,
            dt_ms=self.dt_ms,
            max_probability=self.max_probability,
            psp_tau_ms=self.psp_tau_ms,
        )


@dataclass(frozen=True, kw_only=True)
class TwoFactorDecay:
    """Decay of the two-factor rule per spike: w ← w − η (constant + per_spike · y1) w.

    Parameters
    ----------
    constant, per_spike : float
        c0 and c1; `softhebb_spiking.circuit.tangent_decay` derives them.
    trace_tau_ms : float
        Time constant of the trace y1 of the neuron's own spikes, milliseconds.
    """

    constant: float = 0.97
    per_spike: float = 0.0
    trace_tau_ms: float = 20.0

    def __post_init__(self) -> None:
        check_real("constant", self.constant, 0.0, low_open=True)
        check_real("per_spike", self.per_spike, 0.0)
        check_real("trace_tau_ms", self.trace_tau_ms, 0.0, low_open=True)


@dataclass(frozen=True, kw_only=True)
class CircuitRun:
    """What is shown to a LIF circuit, and in which state it starts.

    Parameters
    ----------
    circuit : LifCircuitParams
        The circuit.
    weights : ndarray of shape (n_units, n_features)
        Non-negative weights.
    samples : ndarray of shape (n_samples, n_features), optional
        Of unit norm, shown in this order as spikes.
    drives : ndarray of shape (n_samples, n_units), optional
        Drives to clamp the populations to, in place of samples.
    log_prior : ndarray of shape (n_units,), optional
        Log prior, nats; uniform by default.
    seed : int
        Key of the random numbers.
    first_sample : int
        Number of the first sample in the random number streams.
    fixed : FixedPointParams, optional
        Run in the integers of a chip; in floating point if not given. Its learning parameters
        hold for the three-factor rule.
    learning : {"three_factor", "two_factor"}, optional
        The form of the rule; without it, weights stay as they are.
    learning_rates : ndarray of shape (n_samples,), optional
        η of each sample; the two-factor rule uses their mean, as its constants cannot change.
    decay : TwoFactorDecay
        For the two-factor rule.

    Raises
    ------
    ValueError
        If shapes do not fit, or what is asked for does not exist.
    """

    circuit: LifCircuitParams
    weights: FloatArray
    samples: FloatArray | None = None
    drives: FloatArray | None = None
    log_prior: FloatArray | None = None
    seed: int = 0
    first_sample: int = 0
    fixed: FixedPointParams | None = None
    learning: str | None = None
    learning_rates: FloatArray | None = None
    decay: TwoFactorDecay = field(default_factory=TwoFactorDecay)

    def __post_init__(self) -> None:
        check_integer("seed", self.seed, 0, 2**63 - 1)
        check_integer("first_sample", self.first_sample, 0)
        net = self.circuit
        if (self.samples is None) == (self.drives is None):
            raise ValueError("Give either samples or drives, not both and not neither.")
        expected: dict[str, tuple[int, ...]] = {"weights": (net.n_units, net.n_features)}
        expected["samples" if self.drives is None else "drives"] = (
            self.n_samples,
            net.n_features if self.drives is None else net.n_units,
        )
        if self.log_prior is not None:
            expected["log_prior"] = (net.n_units,)
        if self.learning is not None:
            check_choice("learning", self.learning, LEARNING_FORMS)
            expected["learning_rates"] = (self.n_samples,)
        for name, shape in expected.items():
            found = np.shape(getattr(self, name))
            if found != shape:
                raise ValueError(f"{name} must have shape {shape}, got {found}.")
        if (np.asarray(self.weights) < 0).any():
            raise ValueError("weights must not be negative: they are excitatory synapses.")
        self._check_learning()
        self._check_samples()

    def _check_learning(self) -> None:
        if self.learning is None:
            return
        if self.drives is not None:
            raise ValueError("A LIF circuit learns from samples; its drives cannot be clamped.")
        if self.learning == "two_factor" and self.fixed is not None:
            raise ValueError(
                "The two-factor rule runs in floating point; in integers learn with "
                "learning='three_factor', or run the learned weights without learning."
            )
        if self.fixed is not None and self.fixed.learning_epoch != 1:
            raise ValueError(
                f"A LIF circuit learns in every step: learning_epoch must be 1, got "
                f"{self.fixed.learning_epoch}."
            )
        if self.learning == "two_factor" and self.circuit.population_size != 1:
            raise ValueError(
                "Two-factor synapses belong to one neuron each, so population_size must be 1, got "
                f"{self.circuit.population_size}; run what was learned with any population_size."
            )

    def _check_samples(self) -> None:
        if self.samples is None or self.samples.size == 0:
            return
        norms = np.linalg.norm(self.samples, axis=1)
        if not (self.samples >= 0).all() or not np.allclose(norms, 1.0, atol=1e-6):
            raise ValueError(
                "samples must be non-negative and of unit norm; validation.unit_norm_samples makes "
                "them so."
            )
        largest = float(self.samples.max())
        if largest > self.circuit.largest_input:
            row = int(np.argmax(self.samples.max(axis=1)))
            raise ValueError(
                f"samples[{row}] has an entry of {largest:.4g} after scaling to unit norm, but "
                f"largest_input is {self.circuit.largest_input:g}: it could not fire often "
                f"enough. Set largest_input to {largest:.4g} or more."
            )

    @property
    def n_samples(self) -> int:
        """Number of samples, or of drives."""
        shown = self.samples if self.drives is None else self.drives
        return len(np.asarray(shown))


@dataclass(frozen=True, kw_only=True)
class CircuitResult:
    """What a simulator of the circuit hands back.

    Parameters
    ----------
    step_counts : ndarray of shape (n_samples, presentation_steps, n_units)
        Spikes of each population in each step; settling included.
    settle_steps : int
        Steps that are not read.
    weights : ndarray of shape (n_units, n_features)
        Weights at the end.
    """

    step_counts: IntArray
    settle_steps: int
    weights: FloatArray

    @property
    def spike_counts(self) -> IntArray:
        """Spikes in the steps that are read, shape (n_samples, n_units)."""
        return np.asarray(self.step_counts[:, self.settle_steps :].sum(axis=1))

    @property
    def posterior(self) -> FloatArray:
        """Normalised spike counts, (n_samples, n_units); uniform where all stayed silent."""
        counts = self.spike_counts
        totals = counts.sum(axis=1, keepdims=True)
        return np.where(totals > 0, counts / np.maximum(totals, 1), 1.0 / counts.shape[1])
