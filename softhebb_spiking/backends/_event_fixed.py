"""The event rung in integers: what the compiled steps need, and what they leave."""

from __future__ import annotations

import numpy as np

from softhebb_spiking._compiled import padded
from softhebb_spiking.backends._event_draws import BLOCK_UNITS, new_spikes
from softhebb_spiking.backends._event_fixed_kernel import (
    UNITS_DRAWN_AT_ONCE,
    IntegerTask,
    IntegerUnits,
    Payloads,
    present_fixed,
)
from softhebb_spiking.backends._event_fixed_learning import SharedRandoms, Traces
from softhebb_spiking.backends._event_inputs import Given, Inputs, new_inputs, nothing_given
from softhebb_spiking.backends._event_integers import IntegerConstants, IntegerWeights
from softhebb_spiking.backends._event_network import INHIBITION_CODES
from softhebb_spiking.backends._event_record import Record, nothing_recorded
from softhebb_spiking.backends._threads import run_threads, shares
from softhebb_spiking.encoding import input_thresholds
from softhebb_spiking.fixed_network import (
    LAVA_WEIGHT_SEED,
    FixedNetwork,
    fixed_network_of,
    lava_seed,
    trace_tau,
    warn_of_overflows,
)
from softhebb_spiking.fixed_point import exp2_table, log2_table
from softhebb_spiking.params import Run
from softhebb_spiking.philox import STEPS_OF_BLOCK
from softhebb_spiking.validation import FloatArray, IntArray

_RANDOM_BITS = 53  # of numpy's uniform doubles, so that they are integers over 2**53
_Y_TAU = float(np.iinfo(np.uint16).max)


class FixedEngine:
    """Presents the samples of a run in integers.

    Parameters
    ----------
    run : Run
        With `fixed` given.
    n_threads : int
        Threads at most; they share the samples if nothing is learned.
    """

    def __init__(self, run: Run, n_threads: int) -> None:
        self._run = run
        self._fixed = fixed_network_of(run)
        self._constants = integer_constants(self._fixed)
        weights = self._fixed.weights(run.weights).astype(np.uint8)
        log_prior = self._fixed.log_prior(run.log_prior)
        self._learned = IntegerWeights(
            weights=np.ascontiguousarray(weights),
            columns=np.array(weights.T, order="C"),
            log_prior=log_prior,
            bias=(log_prior >> 6).astype(np.int32),
        )
        if run.restart:
            self._initial = weights.copy(), log_prior.copy()
            self._changes = np.zeros(weights.shape, np.int64), np.zeros(len(weights), np.int64)
        self._task = IntegerTask(
            thresholds=input_thresholds(run.samples, run.network.max_probability),
            half_payloads=self._fixed.half_payloads(run.samples),
            doses=self._fixed.doses(run.learning_rates),
            prior_rates=self._fixed.prior_rates(run.prior_learning_rates),
            seed=run.seed,
            first_sample=run.first_sample,
        )
        self._randoms = LavaRandoms(run) if self._constants.shared else None
        self._threads = [_scratch(run) for _ in range(1 if run.learn else n_threads)]
        self.probes = {
            name: np.zeros(shape, np.int64) for name, shape in run.probe_shapes().items()
        }

    def present_many(self, begin: int, end: int, spike_counts: IntArray) -> None:
        """Show samples begin … end − 1, of which nothing is kept but their counts."""
        given, record = nothing_given(), nothing_recorded(np.int64)
        if self._randoms is not None:
            for sample in range(begin, end):
                self._present(0, sample, sample + 1, given, record, spike_counts)
            return
        parts = shares(begin, end, len(self._threads))

        def part(thread: int) -> None:
            self._present(thread, *parts[thread], given, record, spike_counts)

        run_threads(part, len(self._threads))

    def present_one(
        self, sample: int, given: Given, record: dict[str, IntArray], spike_counts: IntArray
    ) -> None:
        """Show one sample and keep what the run wants of it."""
        kept = record | {name: values[sample] for name, values in self.probes.items()}
        wanted = nothing_recorded(np.int64)._replace(wanted=bool(kept), **kept)
        self._present(0, sample, sample + 1, given, wanted, spike_counts)
        if self._run.restart:
            self._restart()

    def _present(
        self,
        thread: int,
        begin: int,
        end: int,
        given: Given,
        record: Record,
        spike_counts: IntArray,
    ) -> None:
        nothing = np.empty(0, np.int64)
        randoms = SharedRandoms(nothing, nothing, nothing)
        if self._randoms is not None:
            randoms = self._randoms.next_presentation()
        state = self._constants, self._learned, *self._threads[thread], self._task
        present_fixed(*state, begin, end, given, record, randoms, spike_counts)

    def _restart(self) -> None:
        """Collect the changes that a sample made, and take them back."""
        learned, (weights, log_prior) = self._learned, self._initial
        self._changes[0][:] += learned.weights.astype(np.int64) - weights
        self._changes[1][:] += learned.log_prior - log_prior
        learned.weights[:], learned.columns[:] = weights, weights.T
        learned.log_prior[:], learned.bias[:] = log_prior, log_prior >> 6

    def weights(self) -> FloatArray:
        """Return the weights, shape (n_units, n_features)."""
        if self._run.restart:
            return self._run.weights + self._fixed.weights_as_float(self._changes[0])
        return self._fixed.weights_as_float(self._learned.weights)

    def weight_scales(self) -> None:
        """Integers are stored as they are."""

    def log_prior(self) -> FloatArray:
        """Return the log prior, nats; warn if a drive did not fit on the way."""
        warn_of_overflows(sum(int(units.overflows[0]) for units, *_ in self._threads))
        if self._run.restart:
            return self._run.log_prior + self._fixed.log_prior_as_float(self._changes[1])
        return self._fixed.log_prior_as_float(self._learned.log_prior)

    def probes_as_float(self) -> dict[str, FloatArray]:
        """Return what was probed, in the units of the float network."""
        return {
            name: getattr(self._fixed, f"{name}_as_float")(values)
            for name, values in self.probes.items()
        }


def _scratch(run: Run) -> tuple[IntegerUnits, Traces, Inputs, Payloads]:
    """Return what one thread needs."""
    net = run.network
    n_units, n_features = net.n_units, net.n_features
    n_blocks = -(-n_features // 16)  # of 16 bytes
    words = padded(4 * UNITS_DRAWN_AT_ONCE * (net.population_size // 8 + 2), np.uint32)
    units = IntegerUnits(
        u=padded(n_units, np.int32),
        log_intensity=padded(n_units, np.int32),
        largest=padded(-(-n_units // BLOCK_UNITS), np.int32),
        current=padded(n_units, np.int32),
        sums=padded(n_units, np.uint16),
        spikes=new_spikes(n_units),
        in_play=padded(n_units, np.int64),
        thresholds=padded(n_units, np.int64),
        blocks=padded(words.size // 4, np.int32),
        words=words,
        halves=words.view(np.uint16),
        overflows=padded(1, np.int64),
    )
    noise_words = padded(4 * n_blocks, np.uint32)
    traces = Traces(
        x1=padded(n_features, np.int32),
        pending=padded(n_units, np.int64),
        pending_units=padded(n_units, np.int64),
        n_pending=padded(1, np.int64),
        blocks=np.arange(n_blocks).astype(np.int32),
        noise_words=noise_words,
        noise=noise_words.view(np.uint8),
        row=padded(n_features, np.uint8),
    )
    inputs = new_inputs(n_features)
    payloads = Payloads(
        down=padded(n_features, np.int32),
        up=padded(n_features, np.int32),
        words=padded(4 * n_features, np.uint32).reshape(4, n_features),
        drawn=padded(STEPS_OF_BLOCK * n_features, np.uint8).reshape(STEPS_OF_BLOCK, n_features),
    )
    return units, traces, inputs, payloads


def integer_constants(fixed: FixedNetwork) -> IntegerConstants:
    """Return the integers of a network in the form the kernel wants them."""
    learning, network = fixed.learning, fixed.network
    x1_floor, x1_threshold = _decay_table(trace_tau(network))
    y_floor, y_threshold = _decay_table(_Y_TAU)
    return IntegerConstants(
        inhibition=INHIBITION_CODES[network.inhibition],
        population_size=int(network.population_size),
        settle_steps=int(network.settle_steps),
        n_steps=int(network.presentation_steps),
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
