"""The soft winner-take-all layer as a circuit of Lava's own LIF neurons and synapses."""

from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.learning.learning_rule import Loihi2FLearningRule
from lava.proc.dense.process import Dense, LearningDense
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.lif.process import LIF
from lava.proc.sparse.process import Sparse
from lava.utils.weightutils import SignMode

from softhebb_spiking.circuit import background_spikes, psp_height
from softhebb_spiking.circuit_constants import Neurons, circuit_constants, input_payloads
from softhebb_spiking.circuit_params import CircuitResult, CircuitRun
from softhebb_spiking.fixed_network import lava_seed
from softhebb_spiking.networks.watched_network import WatchedNetwork
from softhebb_spiking.processes.count_recorder.process import CountRecorder
from softhebb_spiking.processes.dendrite.process import Dendrite
from softhebb_spiking.processes.plasticity import (
    GRADED_SPIKE_BITS,
    learning_rule,
    plastic_synapses,
)
from softhebb_spiking.validation import IntArray

# Steps from an input spike to the count of the output spikes it can cause: synapses, then the sum.
_LATENCY = 2
_RUN_IN_TAUS = 8  # PSP time constants in which the background fills the neurons before a sample


class LifCircuit(WatchedNetwork):
    """Populations of LIF neurons that fire as a softmax of their drives.

    Without learning, or with the two-factor rule, all Processes are Lava's own: `LIF`, `Dense`,
    `Sparse`, `LearningDense` and ring buffers. With the three-factor rule a `Dendrite` for each
    unit reports its drive to the plastic synapses.

    Parameters
    ----------
    run : CircuitRun
        The circuit, its state at the start, and what it is shown.
    record_to : str, optional
        Directory in which a `CountRecorder` writes the counts; by default a ring buffer of Lava's
        holds them, which is slow to read.
    log_config : LogConfig, optional
        Lava's logging options, for the excitatory neurons.

    Attributes
    ----------
    constants : CircuitConstants
        What the Processes were made with.
    excitatory, inhibitory : LIF
        The populations, neuron after neuron, and the inhibitory pool.
    synapses : Dense or LearningDense
        From the inputs.
    n_steps : int
        Lava steps of the run.

    Examples
    --------
    with LifCircuit(run) as circuit:
        circuit.present()
        posterior = circuit.result().posterior
    """

    def __init__(
        self, run: CircuitRun, *, record_to: str | None = None, log_config: Any = None
    ) -> None:
        circuit = run.circuit
        self.run = run
        self.constants = constants = circuit_constants(run)
        taus = circuit.psp_tau_ms / circuit.dt_ms
        self._run_in = round(_RUN_IN_TAUS * taus)
        self._latency = _LATENCY + (run.learning == "three_factor")
        shown = run.n_samples * circuit.presentation_steps
        self.excitatory = _neurons(constants.excitatory, log_config=log_config)
        super().__init__(
            self.excitatory,
            self._run_in + shown + self._latency,
            fixed=run.fixed is not None,
            timeout_s=default_timeout_s(run),
            description=describe(run),
        )
        self.inhibitory = _neurons(constants.inhibitory)
        self._record_to = record_to
        self._counts: Any = (
            Sink(shape=(circuit.n_units,), buffer=self.n_steps)
            if record_to is None
            else CountRecorder(n_units=circuit.n_units, record_to=record_to)
        )
        source = Source(data=self._input_data())
        background = Source(data=background_spikes(run, self.n_steps).T)
        sums = Dense(weights=_population_sums(run))
        self.excitatory.s_out.connect(sums.s_in)
        sums.a_out.connect(self._counts.a_in)

        self.synapses = self._connect_inputs(source, sums)
        _connect(source, constants.inputs_to_pool, self.inhibitory)  # by spikes, not by payloads
        _connect(background, constants.background, self.excitatory, kind=Sparse)
        _connect(self.excitatory, constants.to_pool, self.inhibitory)
        _connect(self.inhibitory, constants.inhibition, self.excitatory)

    def _input_data(self) -> Any:
        """Return what the inputs send, (n_sources, n_steps): silence, then the samples."""
        shown = input_payloads(self.run, self.constants)
        data = np.zeros((self.n_steps, shown.shape[1]), shown.dtype)
        data[self._run_in : self._run_in + len(shown)] = shown
        return data.T

    def _connect_inputs(self, source: Any, sums: Any) -> Any:
        """Connect the inputs to the populations, and return the synapses."""
        run = self.run
        if run.learning == "three_factor":
            return self._connect_dendrites(source, sums)
        if run.learning == "two_factor":
            return _two_factor_synapses(run, source, self.excitatory)
        graded = {} if run.drives is None else {"num_message_bits": GRADED_SPIKE_BITS}
        return _connect(source, self.constants.inputs, self.excitatory, **graded)

    def _connect_dendrites(self, source: Any, sums: Any) -> Any:
        """Connect the inputs by plastic synapses and a dendrite for each unit."""
        run, network = self.run, self.constants.network
        params = run.circuit.network()
        seed = lava_seed(run.seed, run.first_sample)
        rule = learning_rule(params, network, seed)
        dendrites = Dendrite(
            params=params,
            learning_rates=np.asarray(run.learning_rates),
            first_step=self._first_step,
            learning_rule=rule,
            current_factor=self.constants.dendrite_factor,
            fixed=network,
            seed=run.seed,
            first_sample=run.first_sample,
        )
        synapses = plastic_synapses(
            run.weights if network is None else network.weights(run.weights),
            rule,
            dendrites,
            network,
            seed=run.seed,
            first_sample=run.first_sample,
        )
        source.s_out.connect(synapses.s_in)
        synapses.a_out.connect(dendrites.a_in)
        sums.a_out.connect(dendrites.count_in)
        fan_out = Dense(weights=_population_sums(run).T, num_message_bits=GRADED_SPIKE_BITS)
        dendrites.s_out.connect(fan_out.s_in)
        fan_out.a_out.connect(self.excitatory.a_in)
        return synapses

    @property
    def _first_step(self) -> int:
        """Steps before the first that belongs to a sample, seen from the counts."""
        return self._run_in + self._latency

    def result(self) -> CircuitResult:
        """Return the spikes of the run, and the weights at its end."""
        run, circuit = self.run, self.run.circuit
        counts = self._recorded_counts()[self._first_step :]
        weights = np.asarray(run.weights, np.float64)
        if run.learning is not None:
            learned = np.asarray(self.synapses.weights.get())
            if self.constants.network is not None:
                weights = self.constants.network.weights_as_float(learned)
            else:
                weights = learned / (
                    1.0 if run.learning == "three_factor" else nats_per_weight(run)
                )
        return CircuitResult(
            step_counts=counts.reshape(run.n_samples, circuit.presentation_steps, circuit.n_units),
            settle_steps=circuit.settle_steps,
            weights=weights,
        )

    def _recorded_counts(self) -> IntArray:
        """Return the counts of all Lava steps, shape (n_steps, n_units)."""
        if self._record_to is None:
            return np.asarray(self._counts.data.get(), np.int64).T
        recorded = np.fromfile(Path(self._record_to, "counts.bin"), np.int64)
        return recorded.reshape(self.n_steps, self.run.circuit.n_units)


def describe(run: CircuitRun) -> str:
    """Return what runs, as the subject of a sentence."""
    circuit = run.circuit
    return (
        f"The LIF circuit of {circuit.n_units} populations of {circuit.population_size} neurons, "
        f"{run.n_samples} samples of {circuit.presentation_steps} steps,"
    )


def default_timeout_s(run: CircuitRun) -> float:
    """Return seconds in which even a busy machine should have run the circuit."""
    circuit = run.circuit
    synapses = circuit.n_neurons * (circuit.n_features + 64)
    step_s = 0.05 + 2e-8 * synapses
    return 120.0 + step_s * run.n_samples * circuit.presentation_steps


def nats_per_weight(run: CircuitRun) -> float:
    """Return the voltage, in nats, that one spike adds per unit of its weight."""
    return run.circuit.gain * psp_height(run.circuit)


def _neurons(neurons: Neurons, log_config: Any = None) -> LIF:
    return LIF(
        shape=np.shape(neurons.bias),
        du=neurons.du,
        dv=neurons.dv,
        vth=neurons.vth,
        bias_mant=neurons.bias,
        bias_exp=neurons.bias_exponent,
        log_config=log_config,
    )


def _connect(source: Any, synapses: Any, target: Any, kind: Any = Dense, **options: Any) -> Any:
    """Connect a source to neurons by stock synapses, and return them."""
    process = kind(weights=synapses.weights, weight_exp=synapses.exponent, **options)
    source.s_out.connect(process.s_in)
    process.a_out.connect(target.a_in)
    return process


def _population_sums(run: CircuitRun) -> Any:
    """Return the weights that sum the spikes of each population."""
    circuit = run.circuit
    return np.repeat(np.eye(circuit.n_units), circuit.population_size, axis=1).astype(int)


def _two_factor_synapses(run: CircuitRun, source: Any, neurons: Any) -> Any:
    """Return plastic synapses that know the spikes at both of their ends, and nothing else.

    The trace y2 has the learning rate for its impulse and is gone in the next step, so in a
    product with y0 it is a factor; a rule's own constants reach down to 2^-7 only. The constant c0
    of the decay is divided out of the rule: x1 is larger by 1/c0, the rate smaller by c0. Stock
    synapses learn in all steps, so those in which the circuit settles share the rate too.
    """
    circuit, decay = run.circuit, run.decay
    tau = circuit.psp_tau_ms / circuit.dt_ms
    scale = nats_per_weight(run)
    per_spike = float(np.mean(np.asarray(run.learning_rates))) / (
        circuit.total_rate * circuit.presentation_steps
    )
    rule = Loihi2FLearningRule(
        dw="y0*y2*x1 - y0*y2*w - y0*y1*y2*w",
        x1_impulse=scale * psp_height(circuit) / decay.constant,
        x1_tau=tau,
        y1_impulse=decay.per_spike / decay.constant,
        y1_tau=decay.trace_tau_ms / circuit.dt_ms,
        y2_impulse=per_spike * decay.constant,
        y2_tau=1e-2,
        t_epoch=1,
    )
    synapses = LearningDense(
        weights=run.weights * scale, learning_rule=rule, sign_mode=SignMode.EXCITATORY
    )
    source.s_out.connect(synapses.s_in)
    synapses.a_out.connect(neurons.a_in)
    neurons.s_out.connect(synapses.s_in_bap)
    return synapses
