"""Models of the SoftWTA."""

import math
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.neuron import LearningNeuronModelFloat
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

from softhebb_spiking.encoding import NEURON_STREAM, psp_decay, spike_thresholds, uniform_words
from softhebb_spiking.processes.presentation import (
    SpikeTable,
    StepRecorder,
    presentation_position,
)
from softhebb_spiking.processes.soft_wta.process import SoftWTA
from softhebb_spiking.validation import FloatArray

# Lava multiplies every y trace by this before the rule sees it, although the neuron has just sent
# it: the time constant of a three-factor rule's y traces is fixed at the largest 16-bit number.
LAVA_Y_TRACE_DECAY = math.exp(-1.0 / np.iinfo(np.uint16).max)


def spike_probabilities(
    log_intensities: FloatArray, h: float, total_rate: float, population_size: int
) -> FloatArray:
    """Return ρ_k = min(1, (r/M) exp(u_k/τ + b_k − h)), without overflow.

    Parameters
    ----------
    log_intensities : ndarray of shape (n_units,)
        u_k/τ + b_k, nats.
    h : float
        Inhibition, nats.
    total_rate : float
        r, spikes per step.
    population_size : int
        M, neurons.

    Returns
    -------
    ndarray of shape (n_units,)
        Probability of a spike per step of each neuron in the population.
    """
    saturation = math.log(population_size / total_rate)
    excess = np.minimum(log_intensities - h, saturation + 1.0)
    return np.asarray(np.minimum(1.0, total_rate / population_size * np.exp(excess)))


def intensity_messages(log_intensities: FloatArray) -> FloatArray:
    """Return e^v as exponents and mantissas of base 2, which no drive can overflow.

    Parameters
    ----------
    log_intensities : ndarray of shape (n_units,)
        v = u_k/τ + b_k − h, nats.

    Returns
    -------
    ndarray of shape (2, n_units)
        Exponents in row 0, mantissas in [1, 2) in row 1.
    """
    exponents, fractions = np.divmod(log_intensities / math.log(2.0), 1.0)
    return np.stack([exponents, np.exp2(fractions)])


class NeuronPopulations:
    """The random draws of K populations of M neurons, or given spikes in their place."""

    def __init__(self, proc_params: Any) -> None:
        params = proc_params["params"]
        self._shape = (params.n_units, params.population_size)
        # numba compiles another version for numbers that do not fit 63 bits.
        self._seed: Any = np.uint64(proc_params["seed"])
        self._first_sample: int = proc_params["first_sample"]
        given = proc_params["output_spikes"]
        self._given: SpikeTable | None = None
        if given is not None:
            self._given = SpikeTable(given, params.n_units, params.presentation_steps)

    def counts(self, sample: int, step: int, probabilities: FloatArray) -> NDArray[np.int32]:
        """Return how many neurons of each population fire, shape (n_units,)."""
        if self._given is not None:
            return self._given.counts(sample, step)
        number = self._first_sample + sample
        n_neurons = self._shape[0] * self._shape[1]
        words = uniform_words(self._seed, NEURON_STREAM, number, step, n_neurons)
        fired = words.reshape(self._shape) < spike_thresholds(probabilities)[:, None]
        return np.asarray(np.count_nonzero(fired, axis=1), np.int32)


@implements(proc=SoftWTA, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PySoftWTAModelFloat(LearningNeuronModelFloat):
    """Floating point."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    pool_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    h_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    intensity_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    u: FloatArray = LavaPyType(np.ndarray, float)
    log_prior: FloatArray = LavaPyType(np.ndarray, float)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        params = self._params = proc_params["params"]
        self._decay = psp_decay(params)
        per_spike = 1.0 / (params.total_rate * params.n_steps)
        self._rates = proc_params["learning_rates"] * per_spike
        self._prior_rates = proc_params["prior_learning_rates"] * per_spike
        self._plastic = proc_params["learning_rule"] is not None
        self._populations = NeuronPopulations(proc_params)
        self._counts = np.zeros(params.n_units, np.int32)
        self._pending_prior_rate = 0.0
        directory, probes = proc_params["record_to"], proc_params["probes"]
        self._record_drive = StepRecorder(directory if "drive" in probes else None, "drive")
        self._record_h = StepRecorder(directory if "inhibition" in probes else None, "inhibition")
        self._record_prior = StepRecorder(directory, "log_prior")

    def run_spk(self) -> None:
        """Listen to synapses and pool, fire, and tell synapses and pool."""
        params = self._params
        sample, step = presentation_position(self.time_step, params)
        current = self.a_in.recv()
        h, total = self.pool_in.recv()
        self._learn_prior(total)
        is_reset = step == params.presentation_steps
        self.u = np.zeros_like(self.u) if is_reset else self._decay * self.u + current
        log_intensities = self.u / params.temperature + self.log_prior
        h = self._exchange_intensities(log_intensities, h)
        is_read = params.settle_steps <= step < params.presentation_steps
        if is_reset:
            self._counts = np.zeros_like(self._counts)
            self._flush()
        else:
            probabilities = spike_probabilities(
                log_intensities, h, params.total_rate, params.population_size
            )
            self._counts = self._populations.counts(sample, step, probabilities)
        self.s_out.send(self._counts)
        self._pending_prior_rate = rate_of(self._prior_rates, sample) if is_read else 0.0
        if self._plastic:
            self._send_to_synapses(rate_of(self._rates, sample) if is_read else 0.0)
        if is_read:
            self._record_drive.append(self.u)
            self._record_h.append(h)

    def _learn_prior(self, total: float) -> None:
        """Make the last step's update, b_k ← min(0, b_k + η_b,s (n_k e^(−b_k) − N))."""
        if self._pending_prior_rate > 0.0:
            # Without spikes the product is 0 even where the exponential would overflow.
            exponents = np.where(self._counts > 0, np.minimum(-self.log_prior, 700.0), 0.0)
            change = self._counts * np.exp(exponents) - total
            self.log_prior = np.minimum(0.0, self.log_prior + self._pending_prior_rate * change)

    def _exchange_intensities(self, log_intensities: FloatArray, h: float) -> float:
        """Tell the pool what its mode asks for; return the inhibition of this step."""
        mode = self._params.inhibition
        if mode == "graded":
            self.intensity_out.send(intensity_messages(log_intensities - h))
        elif mode == "exact":
            self.intensity_out.send(log_intensities)
            h = self.h_in.recv()[0]
        return float(h)

    def _send_to_synapses(self, rate: float) -> None:
        """Send bAP and the traces y1 = η_s n_k, y2 = u_k, in the synapses' units.

        A graded spike of payload g adds g/2 to Lava's x1, which decays once more before it is used:
        x1 = (d/2) s. So y1 carries 2/d and y2 its inverse, and y1 x1 and y1 y2 are as they should.
        """
        scale = 2.0 / self._decay
        self.y1 = rate * self._counts * scale / LAVA_Y_TRACE_DECAY
        self.y2 = self.u / scale / LAVA_Y_TRACE_DECAY
        self.s_out_bap.send(self._counts > 0)
        self.s_out_y1.send(self.y1)
        self.s_out_y2.send(self.y2)
        self.s_out_y3.send(self.y3)

    def _flush(self) -> None:
        self._record_drive.flush()
        self._record_h.flush()
        self._record_prior.append(self.log_prior)
        self._record_prior.flush()


def rate_of(rates: FloatArray, sample: int) -> float:
    """Return the rate of a sample: a single rate holds for all, beyond the last it is 0."""
    if rates.ndim == 0:
        return float(rates)
    return float(rates[sample]) if sample < len(rates) else 0.0
