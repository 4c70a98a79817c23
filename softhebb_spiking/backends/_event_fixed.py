"""The event rung in integers: what the compiled steps need, and what they leave."""

from __future__ import annotations

import numpy as np

from softhebb_spiking.backends._event_fixed_kernel import (
    FixedProbes,
    IntegerConstants,
    IntegerState,
    SharedRandoms,
    present_fixed,
)
from softhebb_spiking.backends._event_kernel import Given
from softhebb_spiking.encoding import (
    draw_presentation,
    input_probabilities,
    spike_thresholds,
)
from softhebb_spiking.fixed_network import (
    LAVA_WEIGHT_SEED,
    FixedNetwork,
    fixed_network_of,
    lava_seed,
    trace_tau,
    warn_of_overflows,
)
from softhebb_spiking.fixed_point import exp2_table, log2_table
from softhebb_spiking.params import INHIBITIONS, Run
from softhebb_spiking.validation import FloatArray, IntArray

_RANDOM_BITS = 53  # of numpy's uniform doubles, so that they are integers over 2**53
_Y_TAU = float(np.iinfo(np.uint16).max)


class FixedEngine:
    """Presents the samples of a run in integers.

    Parameters
    ----------
    run : Run
        With `fixed` given.
    """

    def __init__(self, run: Run, n_threads: int) -> None:
        self._run = run
        self._fixed = fixed_network_of(run)
        self._constants = integer_constants(self._fixed)
        weights = self._fixed.weights(run.weights).astype(np.uint8)
        n_units, n_features = weights.shape
        self._state = IntegerState(
            weights=np.ascontiguousarray(weights),
            columns=np.array(weights.T, order="C"),
            log_prior=self._fixed.log_prior(run.log_prior),
            u=np.zeros(n_units, np.int64),
            log_intensity=np.zeros(n_units, np.int64),
            current=np.zeros(n_units, np.int32),
            pending=np.zeros(n_units, np.int64),
            x1=np.zeros(n_features, np.int64),
            overflows=np.zeros(1, np.int64),
        )
        self._initial = self._state.weights.copy(), self._state.log_prior.copy()
        self._changes = np.zeros(weights.shape, np.int64), np.zeros(n_units, np.int64)
        self._half_payloads = self._fixed.half_payloads(run.samples)
        self._doses = self._fixed.doses(run.learning_rates)
        self._prior_rates = self._fixed.prior_rates(run.prior_learning_rates)
        self._randoms = LavaRandoms(run) if self._constants.shared else None
        self.probes = {
            name: np.zeros(shape, np.int64) for name, shape in run.probe_shapes().items()
        }
        self._thresholds = spike_thresholds(
            input_probabilities(run.samples, run.network.max_probability)
        )

    def present_many(self, begin: int, end: int, spike_counts: IntArray) -> None:
        """Show samples begin … end − 1, of which nothing is kept but their counts."""
        nothing = np.empty(0, np.int64)
        given = Given(nothing, nothing, np.empty((0, 0), np.int64))
        for sample in range(begin, end):
            self.present_one(sample, given, {}, spike_counts)

    def present_one(
        self, sample: int, given: Given, record: dict[str, IntArray], spike_counts: IntArray
    ) -> None:
        """Show one sample and keep what the run wants of it."""
        run, net = self._run, self._run.network
        nothing = np.empty(0, np.int64)
        starts, indices, clamped = given.input_starts, given.inputs, given.output_counts.size > 0
        if starts.size == 0:
            number = run.first_sample + sample
            starts, indices = draw_presentation(
                self._thresholds[sample], net.presentation_steps, run.seed, number
            )
        counts = given.output_counts
        if not clamped:
            counts = np.zeros((net.presentation_steps, net.n_units), np.int64)
        randoms = SharedRandoms(nothing, nothing, nothing)
        if self._randoms is not None:
            randoms = self._randoms.next_presentation()
        present_fixed(
            self._constants,
            self._state,
            starts,
            indices,
            self._half_payloads[sample],
            counts,
            clamped,
            self._doses[sample],
            self._prior_rates[sample],
            run.seed,
            run.first_sample + sample,
            randoms,
            self._sample_probes(sample),
        )
        spike_counts[sample] = counts[net.settle_steps :].sum(axis=0)
        if record:
            record["input_starts"][:] = starts
            record["inputs"][: len(indices)] = indices
            record["output_counts"][:] = counts
        if run.restart:
            self._restart()

    def _restart(self) -> None:
        """Collect the changes that a sample made, and take them back."""
        state, (weights, log_prior) = self._state, self._initial
        self._changes[0][:] += state.weights.astype(np.int64) - weights
        self._changes[1][:] += state.log_prior - log_prior
        state.weights[:], state.columns[:], state.log_prior[:] = weights, weights.T, log_prior

    def weights(self) -> FloatArray:
        """Return the weights, shape (n_units, n_features)."""
        if self._run.restart:
            return self._run.weights + self._fixed.weights_as_float(self._changes[0])
        return self._fixed.weights_as_float(self._state.weights.astype(np.int64))

    def weight_scales(self) -> None:
        """Integers are stored as they are."""

    def log_prior(self) -> FloatArray:
        """Return the log prior, nats; warn if a drive did not fit on the way."""
        warn_of_overflows(int(self._state.overflows[0]))
        if self._run.restart:
            return self._run.log_prior + self._fixed.log_prior_as_float(self._changes[1])
        return self._fixed.log_prior_as_float(self._state.log_prior)

    def probes_as_float(self) -> dict[str, FloatArray]:
        """Return what was probed, in the units of the float network."""
        return {
            name: getattr(self._fixed, f"{name}_as_float")(values)
            for name, values in self.probes.items()
        }

    def _sample_probes(self, sample: int) -> FixedProbes:
        nothing = {
            "drive": np.empty((0, 0), np.int64),
            "inhibition": np.empty(0, np.int64),
            "psp": np.empty((0, 0), np.int64),
        }
        return FixedProbes(**nothing | {name: row[sample] for name, row in self.probes.items()})


def integer_constants(fixed: FixedNetwork) -> IntegerConstants:
    """Return the integers of a network in the form the kernel wants them."""
    learning, network = fixed.learning, fixed.network
    x1_floor, x1_threshold = _decay_table(trace_tau(network))
    y_floor, y_threshold = _decay_table(_Y_TAU)
    return IntegerConstants(
        inhibition=INHIBITIONS.index(network.inhibition),
        population_size=int(network.population_size),
        settle_steps=int(network.settle_steps),
        decay=fixed.decay,
        octaves_mantissa=fixed.octaves_multiplier.mantissa,
        octaves_shift=fixed.octaves_multiplier.shift,
        neuron_rate_log=fixed.neuron_rate_log,
        pool_gain=fixed.pool_gain,
        target_log=fixed.target_log,
        exp2_table=exp2_table(fixed.params.table_bits),
        log2_table=log2_table(fixed.params.table_bits),
        table_bits=fixed.params.table_bits,
        epoch=learning.epoch,
        y1_quantum=learning.y1_quantum,
        max_quanta=learning.max_quanta,
        hebb_shift=learning.hebb_exponent + 7,
        decay_mantissa=learning.decay_mantissa,
        decay_shift=learning.decay_exponent + 7,
        y2_mantissa=learning.y2_multiplier.mantissa,
        y2_shift=learning.y2_multiplier.shift,
        shared=fixed.params.rounding == "shared",
        x1_floor=x1_floor,
        x1_threshold=x1_threshold,
        y_floor=y_floor,
        y_threshold=y_threshold,
    )


def _decay_table(tau: float) -> tuple[IntArray, IntArray]:
    """Return floor and fraction of exp(−1/τ) v for each trace v, the fraction times 2⁵³.

    A uniform double r is a multiple of 2⁻⁵³, so r < fraction is a comparison of integers.
    """
    decayed = np.exp(-1 / np.float64(tau)) * np.arange(128)
    return (
        np.floor(decayed).astype(np.int64),
        np.ceil(np.ldexp(decayed % 1, _RANDOM_BITS)).astype(np.int64),
    )


class LavaRandoms:
    """The random numbers that Lava's LearningDense draws, in the order in which it does.

    It draws one when it is made; then two in each step for the traces, of which the second counts,
    and one in each epoch for the weights.

    Parameters
    ----------
    run : Run
        Gives seed and epoch.
    """

    def __init__(self, run: Run) -> None:
        seed = lava_seed(run.seed, run.first_sample)
        self._weight = np.random.default_rng(LAVA_WEIGHT_SEED)
        self._x, self._y = (np.random.default_rng(seed + offset) for offset in (0, 2))
        for generator in (self._weight, self._x, self._y):
            generator.random()
        self._steps = run.network.presentation_steps + 1
        self._epoch = run.fixed.learning_epoch if run.fixed is not None else 1

    def next_presentation(self) -> SharedRandoms:
        """Return the numbers at the ends of the epochs of the next presentation."""
        last_of_epoch = slice(2 * self._epoch - 1, None, 2 * self._epoch)
        weight = self._weight.random(self._steps // self._epoch)
        x, y = (g.random(2 * self._steps)[last_of_epoch] for g in (self._x, self._y))
        return SharedRandoms(
            weight=np.floor(np.ldexp(weight, 7)).astype(np.int64),
            x=np.ldexp(x, _RANDOM_BITS).astype(np.int64),
            y=np.ldexp(y, _RANDOM_BITS).astype(np.int64),
        )
