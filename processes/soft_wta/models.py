"""Models of the SoftWTA."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.neuron import LearningNeuronModelFixed, LearningNeuronModelFloat
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

from softhebb_spiking.fixed_point import (
    GROWTH,
    GROWTH_FRACTION_BITS,
    LOG_FRACTION_BITS,
    LOG_PRIOR,
    PRIOR_FRACTION_BITS,
    RATE_FRACTION_BITS,
    exp2_table,
    inverse_priors,
    power_of_two,
    probability_thresholds,
)
from softhebb_spiking.philox import (
    DOSE_STREAM,
    PRIOR_STREAM,
)
from softhebb_spiking.processes.drives import FixedDrive, FloatDrive
from softhebb_spiking.processes.populations import (
    NeuronPopulations,
    intensity_messages,
    rate_of,
    spike_probabilities,
)
from softhebb_spiking.processes.presentation import StepRecorder, presentation_position
from softhebb_spiking.processes.soft_wta.process import SoftWTA
from softhebb_spiking.validation import FloatArray, IntArray


class AbstractSoftWTAModel:
    """The order of a step; subclasses say in which arithmetic it is computed."""

    record_type: Any = None
    time_step: int
    a_in: Any
    pool_in: Any
    h_in: Any
    s_out: Any
    intensity_out: Any
    s_out_bap: Any
    s_out_y1: Any
    s_out_y2: Any
    s_out_y3: Any
    y1: Any
    y2: Any
    y3: Any
    u: Any
    log_prior: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)  # type: ignore[call-arg]  # Lava's model comes next
        params = self._params = proc_params["params"]
        self._plastic = proc_params["learning_rule"] is not None
        self._populations = NeuronPopulations(proc_params)
        self._counts = np.zeros(params.n_units, np.int32)
        directory, probes = proc_params["record_to"], proc_params["probes"]
        self._record_drive = StepRecorder(
            directory if "drive" in probes else None, "drive", self.record_type
        )
        self._record_h = StepRecorder(
            directory if "inhibition" in probes else None, "inhibition", self.record_type
        )
        self._record_prior = StepRecorder(directory, "log_prior", self.record_type)
        self.prepare(proc_params)

    def run_spk(self) -> None:
        """Listen to synapses and pool, fire, and tell synapses and pool."""
        params = self._params
        sample, step = presentation_position(self.time_step, params)
        current = self.a_in.recv()
        h, total = self.pool_in.recv()
        self.learn_prior(total)
        self.integrate(current)
        log_intensities = self.log_intensities()
        h = self._exchange_intensities(log_intensities, h)
        is_reset = step == params.presentation_steps
        is_read = params.settle_steps <= step < params.presentation_steps
        if is_reset:
            self._counts = np.zeros_like(self._counts)
        else:
            self._counts = self.fire(sample, step, log_intensities, h)
        self.s_out.send(self._counts)
        self.plan_prior(sample, step, is_read)
        if self._plastic:
            self.set_traces(sample, step, is_read)
            self.s_out_bap.send(self.y1 > 0)
            self.s_out_y1.send(self.y1)
            self.s_out_y2.send(self.y2)
            self.s_out_y3.send(self.y3)
        if is_read:
            self._record_drive.append(self.u)
            self._record_h.append(h)
        if is_reset:
            self.u = np.zeros_like(self.u)
            self.flush()

    def _exchange_intensities(self, log_intensities: Any, h: Any) -> Any:
        """Tell the pool what its mode asks for; return the inhibition of this step."""
        mode = self._params.inhibition
        if mode == "graded":
            self.intensity_out.send(self.messages(log_intensities - h))
        elif mode == "exact":
            self.intensity_out.send(log_intensities)
            h = self.h_in.recv()[0]
        return h

    def flush(self) -> None:
        """Write the records of a presentation."""
        self._record_drive.flush()
        self._record_h.flush()
        self._record_prior.append(self.log_prior)
        self._record_prior.flush()

    def prepare(self, proc_params: Any) -> None:
        """Make the constants of the arithmetic."""
        raise NotImplementedError

    def integrate(self, current: Any) -> None:
        """Let the drives decay, and add the currents."""
        raise NotImplementedError

    def log_intensities(self) -> Any:
        """Return the logarithms of the intensities e^(u_k/τ + b_k)."""
        raise NotImplementedError

    def messages(self, relative: Any) -> Any:
        """Return intensities, given by their logarithms, as graded messages."""
        raise NotImplementedError

    def fire(self, sample: int, step: int, log_intensities: Any, h: Any) -> NDArray[np.int32]:
        """Return how many neurons of each population fire."""
        raise NotImplementedError

    def plan_prior(self, sample: int, step: int, is_read: bool) -> None:
        """Remember by which rate the log prior is to learn from this step's spikes."""
        raise NotImplementedError

    def learn_prior(self, total: Any) -> None:
        """Let the log prior learn from the last step's spikes, now that the pool has sent N."""
        raise NotImplementedError

    def set_traces(self, sample: int, step: int, is_read: bool) -> None:
        """Set y1 and y2 for the synapses."""
        raise NotImplementedError


@implements(proc=SoftWTA, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PySoftWTAModelFloat(AbstractSoftWTAModel, LearningNeuronModelFloat):
    """Floating point."""

    record_type = np.float64
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    pool_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    h_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    intensity_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    u: FloatArray = LavaPyType(np.ndarray, float)
    log_prior: FloatArray = LavaPyType(np.ndarray, float)

    def prepare(self, proc_params: Any) -> None:
        """Scale the learning rates to output spikes."""
        params = self._params
        self._drive = FloatDrive(params, proc_params["learning_rates"])
        per_spike = 1.0 / (params.total_rate * params.n_steps)
        self._prior_rates = proc_params["prior_learning_rates"] * per_spike
        self._pending_prior_rate = 0.0

    def integrate(self, current: FloatArray) -> None:
        """Set u_k ← d u_k + a_k."""
        self.u = self._drive.integrate(self.u, current)

    def log_intensities(self) -> FloatArray:
        """Return u_k/τ + b_k, nats."""
        return np.asarray(self.u / self._params.temperature + self.log_prior)

    def messages(self, relative: FloatArray) -> FloatArray:
        """Return exponents and mantissas, see `intensity_messages`."""
        return intensity_messages(relative)

    def fire(
        self, sample: int, step: int, log_intensities: FloatArray, h: float
    ) -> NDArray[np.int32]:
        """Draw with the probabilities ρ_k."""
        params = self._params
        rho = spike_probabilities(log_intensities, h, params.total_rate, params.population_size)
        return self._populations.counts(sample, step, rho)

    def plan_prior(self, sample: int, step: int, is_read: bool) -> None:
        """Remember η_b,s if the step is read."""
        self._pending_prior_rate = rate_of(self._prior_rates, sample) if is_read else 0.0

    def learn_prior(self, total: float) -> None:
        """Set b_k ← min(0, b_k + η_b,s (n_k e^(−b_k) − N))."""
        if self._pending_prior_rate > 0.0:
            # Without spikes the product is 0 even where the exponential would overflow.
            exponents = np.where(self._counts > 0, np.minimum(-self.log_prior, 700.0), 0.0)
            change = self._counts * np.exp(exponents) - total
            self.log_prior = np.minimum(0.0, self.log_prior + self._pending_prior_rate * change)

    def set_traces(self, sample: int, step: int, is_read: bool) -> None:
        """Set y1 = η_s n_k and y2 = u_k, in the synapses' units."""
        self.y1, self.y2 = self._drive.traces(self.u, self._counts, sample, is_read)


@implements(proc=SoftWTA, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySoftWTAModelFixed(AbstractSoftWTAModel, LearningNeuronModelFixed):
    """Integers; `docs/fixed_point.md` has the formats."""

    record_type = np.int64
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    pool_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    h_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    intensity_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    u: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32, precision=24)
    log_prior: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32, precision=24)

    def prepare(self, proc_params: Any) -> None:
        """Take the integers of the network, and make tables and rates."""
        fixed = proc_params["fixed"]
        self._fixed = fixed
        self._drive = FixedDrive(fixed, proc_params["learning_rates"])
        self._exp2_table = exp2_table(fixed.params.table_bits)
        self._prior_rates = fixed.prior_rates(proc_params["prior_learning_rates"])
        self._pending_prior = (0, 0, 0)
        self._record_overflows = StepRecorder(proc_params["record_to"], "overflows", np.int64)

    def integrate(self, current: NDArray[np.int32]) -> None:
        """Set u_k ← d u_k + a_k, with a decay of 12 bits, held to 24 bits."""
        self.u = self._drive.integrate(self.u, current)

    def log_intensities(self) -> IntArray:
        """Return u_k/τ + b_k in units of 2⁻¹² octaves."""
        multiplier = self._fixed.octaves_multiplier
        octaves = (self.u.astype(np.int64) * multiplier.mantissa) >> multiplier.shift
        prior = self.log_prior >> (PRIOR_FRACTION_BITS - LOG_FRACTION_BITS)
        return np.asarray(octaves + prior)

    def messages(self, relative: IntArray) -> IntArray:
        """Return exponents and mantissas of base 2, the mantissas from the table."""
        mantissas, exponents = power_of_two(relative, LOG_FRACTION_BITS, self._exp2_table)
        return np.stack([exponents, mantissas])

    def fire(self, sample: int, step: int, log_intensities: IntArray, h: int) -> NDArray[np.int32]:
        """Compare a random number of each neuron with its population's probability."""
        logs = log_intensities - h + self._fixed.neuron_rate_log
        thresholds = probability_thresholds(logs, self._exp2_table)
        return self._populations.counts_below(sample, step, thresholds)

    def plan_prior(self, sample: int, step: int, is_read: bool) -> None:
        """Remember the rate, and for which step it holds."""
        rate = rate_of(self._prior_rates, sample) if is_read else 0
        self._pending_prior = (rate, sample, step)

    def learn_prior(self, total: int) -> None:
        """Set B_k ← min(0, B_k + η (n_k 2^(−B_k) − N)), rounded at random."""
        rate, sample, step = self._pending_prior
        if rate == 0:
            return
        growth = self._counts * inverse_priors(self.log_prior.astype(np.int64), self._exp2_table)
        change = rate * GROWTH.fit(growth - (int(total) << GROWTH_FRACTION_BITS))
        words = self._populations.words(PRIOR_STREAM, sample, step, change.size)
        noise = words.astype(np.int64) >> (32 - RATE_FRACTION_BITS - GROWTH_FRACTION_BITS)
        change = (change + noise) >> (RATE_FRACTION_BITS + GROWTH_FRACTION_BITS)
        self.log_prior = np.clip(self.log_prior + change, LOG_PRIOR.min_integer, 0).astype(np.int32)

    def set_traces(self, sample: int, step: int, is_read: bool) -> None:
        """At the end of an epoch, ask in y1 for the updates due; y2 is the drive in 7 bits."""
        words = self._populations.words(DOSE_STREAM, sample, step, self._counts.size)
        self.y1, self.y2 = self._drive.traces(self.u, self._counts, sample, step, is_read, words)

    def flush(self) -> None:
        """Write the records of a presentation, and how often a drive did not fit."""
        super().flush()
        self._record_overflows.append([self._drive.overflows])
        self._record_overflows.flush()
        self._drive.overflows = 0
