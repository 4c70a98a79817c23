"""The one description of a network that every rung of the ladder runs.

Passive, validated containers and nothing else: `NetworkParams` says what the network is,
`FixedPointParams` which integers it is made of if it is not floating point, `Run` what is shown to
it, `RunResult` what a backend hands back. They hold no equations, so that
two backends which share them share no physics. `docs/model.md` says what each number does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np

from softhebb_spiking.validation import (
    FloatArray,
    IntArray,
    check_choice,
    check_integer,
    check_real,
)

INHIBITIONS = ("feedback", "graded", "exact")
PROBES = ("drive", "inhibition", "psp")
ROUNDINGS = ("per_synapse", "shared")
# Far beyond what means anything, and such that nothing overflows or takes all memory.
MIN_TEMPERATURE = 1e-9
_MAX_STEPS = 1_000_000
_SHORTEST_TAU, _LONGEST_TAU = 1e-12, 1e6  # in time steps
_LEARNING_STEPS = {"per_synapse": 2.0**-7, "shared": 2.0**-5}


@dataclass(frozen=True, kw_only=True)
class NetworkParams:
    """A soft winner-take-all layer of spiking populations.

    Parameters
    ----------
    n_features : int
        Inputs, one spiking source each.
    n_units : int
        Units of the soft winner-take-all, one population each (K).
    temperature : float
        Softmax temperature (τ), without unit; 1/τ is the concentration of the mixture.
    inhibition : {"feedback", "graded", "exact"}
        How lateral inhibition finds the normaliser: from output spike counts, from graded
        messages, or by an oracle that sees all drives.
    inhibition_gain : float
        Gain of the feedback (κ), nats per nat.
    population_size : int
        Spiking neurons in each population (M).
    total_rate : float
        Mean output spikes of the whole layer that inhibition aims at (r), spikes per step.
    n_steps : int
        Steps of a presentation that are read and learned from.
    settle_steps : int
        Steps before them, in which the PSPs and the inhibition settle.
    dt_ms : float
        Duration of a step, milliseconds.
    max_probability : float
        Spike probability per step of a sample's strongest input.
    psp_tau_ms : float
        Time constant of the postsynaptic potential, milliseconds.

    Raises
    ------
    TypeError, ValueError
        If a parameter has the wrong type or lies outside its range.
    """

    n_features: int
    n_units: int
    temperature: float = 0.02
    inhibition: str = "feedback"
    inhibition_gain: float = 0.7
    population_size: int = 32
    total_rate: float = 8.0
    n_steps: int = 50
    settle_steps: int = 20
    dt_ms: float = 1.0
    max_probability: float = 0.3
    psp_tau_ms: float = 10.0

    def __post_init__(self) -> None:
        check_integer("n_features", self.n_features, 1)
        check_integer("n_units", self.n_units, 1)
        check_real("temperature", self.temperature, MIN_TEMPERATURE)
        check_choice("inhibition", self.inhibition, INHIBITIONS)
        check_real("inhibition_gain", self.inhibition_gain, 0.0, 2.0, low_open=True)
        check_integer("population_size", self.population_size, 1, 1024)
        check_real("total_rate", self.total_rate, 0.0, low_open=True)
        if self.total_rate >= self.population_size:
            raise ValueError(
                f"total_rate must be smaller than population_size, got total_rate="
                f"{self.total_rate:g} and population_size={self.population_size}: a unit that "
                "wins alone must emit all spikes of a step. Raise population_size or lower "
                "total_rate."
            )
        check_integer("n_steps", self.n_steps, 1, _MAX_STEPS)
        check_integer("settle_steps", self.settle_steps, 0, _MAX_STEPS)
        check_real("dt_ms", self.dt_ms, 0.0, low_open=True)
        check_real("max_probability", self.max_probability, 0.0, 1.0, low_open=True)
        check_real("psp_tau_ms", self.psp_tau_ms, 0.0, low_open=True)
        if not _SHORTEST_TAU <= self.psp_tau_ms / self.dt_ms <= _LONGEST_TAU:
            raise ValueError(
                f"psp_tau_ms must be {_SHORTEST_TAU:g} to {_LONGEST_TAU:g} times dt_ms, got "
                f"psp_tau_ms={self.psp_tau_ms:g} and dt_ms={self.dt_ms:g}."
            )

    @property
    def presentation_steps(self) -> int:
        """Steps for which one sample is shown: settling, then reading."""
        return self.settle_steps + self.n_steps


@dataclass(frozen=True, kw_only=True)
class FixedPointParams:
    """How a network is held in integers; see `softhebb_spiking.fixed_network`.

    Parameters
    ----------
    rounding : {"per_synapse", "shared"}
        How learned weights, and the traces of inputs, are rounded to their bits: with a random
        number for each, or, as Lava's own `LearningDense` does, with one for all in a step.
    learning_epoch : int
        Steps between two updates of the weights (Lava's t_epoch), in [1, 63]. It divides the
        steps of a presentation and its reset step.
    learning_step : float, optional
        Size η' of one update, at least. A population learns from its spikes by as many updates of
        this size, at random, as give the learning rate in the mean; few large updates are rounded
        less often than many small ones. By default 2⁻⁷, with "shared" rounding 2⁻⁵.
    weight_exponent, trace_exponent : int, optional
        Weights are multiples of 2**weight_exponent, traces of 2**trace_exponent; chosen by the
        number of inputs if not given.
    table_bits : int
        Binary logarithm of the number of entries in the tables of powers and logarithms.

    Raises
    ------
    TypeError, ValueError
        If a parameter has the wrong type or lies outside its range.
    """

    rounding: str = "per_synapse"
    learning_epoch: int = 1
    learning_step: float | None = None
    weight_exponent: int | None = None
    trace_exponent: int | None = None
    table_bits: int = 6

    def __post_init__(self) -> None:
        check_choice("rounding", self.rounding, ROUNDINGS)
        check_integer("learning_epoch", self.learning_epoch, 1, 63)
        if self.learning_step is None:
            step = _LEARNING_STEPS[self.rounding]
            object.__setattr__(self, "learning_step", step)
        check_real("learning_step", self.learning_step, 0.0, 1.0, low_open=True)
        for name in ("weight_exponent", "trace_exponent"):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), -24, 0)
        check_integer("table_bits", self.table_bits, 0, 12)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is shown to a network, in which state it starts, and what is wanted back.

    Parameters
    ----------
    network : NetworkParams
        The network.
    samples : ndarray of shape (n_samples, n_features)
        Non-negative, of unit L2 norm, shown in this order.
    weights : ndarray of shape (n_units, n_features)
        Initial weights.
    log_prior : ndarray of shape (n_units,)
        Initial log prior, nats.
    learning_rates, prior_learning_rates : ndarray of shape (n_samples,)
        η and η_b of each sample; zero freezes.
    seed : int
        Key of the random numbers, below 2**63.
    first_sample : int
        Number of the first sample in the random number streams.
    input_spikes, output_spikes : ndarray of shape (n_spikes, 3), optional
        Rows (sample, step, index) to be used instead of drawn spikes; several output spikes of a
        population in a step are several rows.
    keep_spikes : bool
        Whether the spikes are wanted back.
    probes : tuple of str
        Of "drive", "inhibition", "psp".
    fixed : FixedPointParams, optional
        Run in integers; in floating point if not given.
    restart : bool
        Let every sample find the initial weights and log prior; the result's are those plus the
        sum of all changes, which measures updates at fixed weights. The event rung can.
    weight_scales : ndarray of shape (n_units,), optional
        What a `RunResult` said of these weights, to go on with the same bits.

    Raises
    ------
    ValueError
        If shapes, spikes or probes do not fit the network.
    """

    network: NetworkParams
    samples: FloatArray
    weights: FloatArray
    log_prior: FloatArray
    learning_rates: FloatArray
    prior_learning_rates: FloatArray
    seed: int = 0
    first_sample: int = 0
    input_spikes: IntArray | None = None
    output_spikes: IntArray | None = None
    keep_spikes: bool = True
    probes: tuple[str, ...] = ()
    fixed: FixedPointParams | None = None
    restart: bool = False
    weight_scales: FloatArray | None = None

    def __post_init__(self) -> None:
        check_integer("seed", self.seed, 0, 2**63 - 1)
        check_integer("first_sample", self.first_sample, 0)
        net, n_samples = self.network, len(self.samples)
        expected = {
            "samples": (n_samples, net.n_features),
            "weights": (net.n_units, net.n_features),
            "log_prior": (net.n_units,),
            "learning_rates": (n_samples,),
            "prior_learning_rates": (n_samples,),
        }
        if self.weight_scales is not None:
            expected["weight_scales"] = (net.n_units,)
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f"{name} must have shape {shape}, got {getattr(self, name).shape}."
                )
        for name in self.probes:
            check_choice("probes", name, PROBES)
        for name, size, at_most in (
            ("input_spikes", net.n_features, 1),
            ("output_spikes", net.n_units, net.population_size),
        ):
            spikes = getattr(self, name)
            if spikes is not None:
                limits = np.array([n_samples, net.presentation_steps, size])
                object.__setattr__(self, name, _checked_spikes(name, spikes, limits, at_most))

    def probe_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of what each probe asks for."""
        net = self.network
        widths = {"drive": (net.n_units,), "inhibition": (), "psp": (net.n_features,)}
        return {name: (len(self.samples), net.n_steps, *widths[name]) for name in self.probes}

    @property
    def learn(self) -> bool:
        """Whether any weight or log prior can change in this run."""
        return bool(self.learning_rates.any() or self.prior_learning_rates.any())


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What a backend hands back.

    Parameters
    ----------
    spike_counts : ndarray of shape (n_samples, n_units)
        Output spikes of each population while the sample was read.
    weights : ndarray of shape (n_units, n_features)
        Weights at the end.
    log_prior : ndarray of shape (n_units,)
        Log prior at the end.
    input_spikes, output_spikes : ndarray of shape (n_spikes, 3)
        Rows (sample, step, index), sorted; empty unless they were to be kept.
    probes : dict of str to ndarray
        "drive" (n_samples, n_steps, n_units), "inhibition" (n_samples, n_steps), "psp"
        (n_samples, n_steps, n_features), over the steps that are read.
    weight_scales : ndarray of shape (n_units,), optional
        The factor with which an engine stores each unit's weights. Given to the next `Run`, it
        goes on with the same bits; without it, to rounding.
    """

    spike_counts: IntArray
    weights: FloatArray
    log_prior: FloatArray
    input_spikes: IntArray = field(default_factory=lambda: np.empty((0, 3), np.int64))
    output_spikes: IntArray = field(default_factory=lambda: np.empty((0, 3), np.int64))
    probes: dict[str, FloatArray] = field(default_factory=dict)
    weight_scales: FloatArray | None = None


def network_field_names() -> tuple[str, ...]:
    """Return the names of the parameters of `NetworkParams`, in order."""
    return tuple(item.name for item in fields(NetworkParams))


def _checked_spikes(name: str, spikes: object, limits: IntArray, at_most: int) -> IntArray:
    """Return spike rows sorted by sample, step and index, or say which row does not fit."""
    rows = np.asarray(spikes)
    if rows.ndim != 2 or rows.shape[1] != 3 or rows.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be an integer array of shape (n_spikes, 3) with rows "
            f"(sample, step, index), got shape {rows.shape} and dtype {rows.dtype}."
        )
    wrong = np.flatnonzero(((rows < 0) | (rows >= limits)).any(axis=1))
    if wrong.size:
        raise ValueError(
            f"{name}[{wrong[0]}] = {rows[wrong[0]].tolist()} lies outside (sample, step, index) "
            f"< {limits.tolist()}; steps count from the onset of a sample, settling included."
        )
    order = np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))
    ordered = np.ascontiguousarray(rows[order], dtype=np.int64)
    # Sorted, a row that stands more than `at_most` times meets itself `at_most` rows later.
    repeated = np.flatnonzero((ordered[at_most:] == ordered[:-at_most]).all(axis=1))
    if repeated.size:
        raise ValueError(
            f"{name} has the row {ordered[repeated[0]].tolist()} more than {at_most} times, more "
            "than the neurons that can fire there in a step. Remove the surplus rows."
        )
    return ordered
