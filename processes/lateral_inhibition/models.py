"""Models of the LateralInhibition."""

import math
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

from softhebb_spiking.encoding import psp_decay
from softhebb_spiking.fixed_point import (
    DECAY_BITS,
    GAIN_FRACTION_BITS,
    LOG_FRACTION_BITS,
    STATE,
    exp2_table,
    log2_integer,
    log2_sum,
    log2_table,
    power_of_two,
)
from softhebb_spiking.processes.lateral_inhibition.process import LateralInhibition
from softhebb_spiking.processes.presentation import presentation_position
from softhebb_spiking.validation import FloatArray


def log_sum_of_messages(messages: FloatArray) -> float:
    """Return the natural logarithm of the sum of numbers given by exponent and mantissa.

    Parameters
    ----------
    messages : ndarray of shape (2, n_units)
        Row 0 the exponents of base 2, row 1 the mantissas.

    Returns
    -------
    float
        log Σ_k mantissa_k 2^exponent_k, nats; the sum itself may lie outside the float range.
    """
    exponents, mantissas = messages
    common = exponents.max()
    total = (mantissas * np.exp2(exponents - common)).sum()
    return float((common + math.log2(total)) * math.log(2.0))


def log_sum_exp(values: FloatArray) -> float:
    """Return log Σ exp(values)."""
    peak = values.max()
    return float(peak + math.log(np.exp(values - peak).sum()))


class AbstractLateralInhibitionModel(PyLoihiProcessModel):
    """Send and receive; subclasses say how h follows from what was heard."""

    s_in: Any = None
    intensity_in: Any = None
    pool_out: Any = None
    h_out: Any = None
    h: Any = None
    trend: Any = None

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._params = proc_params["params"]
        self._total: Any = 0

    def run_spk(self) -> None:
        """Send h and N of the last step, then hear the populations.

        The pool speaks first and the populations listen first; the other way round both would
        wait for ever.
        """
        mode = self._params.inhibition
        _, step = presentation_position(self.time_step, self._params)
        self.pool_out.send(np.array([self.h[0], self._total]))
        messages = None if mode == "feedback" else self.intensity_in.recv()
        if mode == "exact":
            self.h[0] = self.oracle(messages)
            self.h_out.send(self.h)
        self._total = self.s_in.recv().sum()
        if step == self._params.presentation_steps:
            self.h[0] = self.trend[0] = 0
            self._total = 0
        elif mode == "feedback":
            self.correct(self.correction_from_spikes(self._total))
        elif mode == "graded":
            self.correct(self.correction_from_messages(messages))

    def oracle(self, log_intensities: Any) -> Any:
        """Return h for log intensities of all populations."""
        raise NotImplementedError

    def correction_from_spikes(self, total: Any) -> Any:
        """Return κ e after a step with `total` output spikes."""
        raise NotImplementedError

    def correction_from_messages(self, messages: Any) -> Any:
        """Return κ e for the graded messages of all populations."""
        raise NotImplementedError

    def correct(self, correction: Any) -> None:
        """Change h and its trend."""
        raise NotImplementedError


@implements(proc=LateralInhibition, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyLateralInhibitionModelFloat(AbstractLateralInhibitionModel):
    """Floating point."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    intensity_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    pool_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    h_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    h: FloatArray = LavaPyType(np.ndarray, float)
    trend: FloatArray = LavaPyType(np.ndarray, float)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._decay = psp_decay(self._params)

    def oracle(self, log_intensities: FloatArray) -> float:
        """Return h = log Σ_k exp(u_k/τ + b_k)."""
        return log_sum_exp(log_intensities)

    def correction_from_spikes(self, total: int) -> float:
        """Return κ log((N + ½) / (r + ½))."""
        error = math.log((total + 0.5) / (self._params.total_rate + 0.5))
        return float(self._params.inhibition_gain * error)

    def correction_from_messages(self, messages: FloatArray) -> float:
        """Return the logarithm of the sum of the populations' intensities; κ is 1 here."""
        return log_sum_of_messages(messages)

    def correct(self, correction: float) -> None:
        """Change h and its trend: v ← d v + (1 − d) κ e, then h ← h + κ e + v."""
        self.trend[0] = self._decay * self.trend[0] + (1.0 - self._decay) * correction
        self.h[0] += correction + self.trend[0]


@implements(proc=LateralInhibition, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyLateralInhibitionModelFixed(AbstractLateralInhibitionModel):
    """Integers: logarithms in units of 2⁻¹² octaves."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    intensity_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    pool_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    h_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    h: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32, precision=24)
    trend: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32, precision=24)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        fixed = proc_params["fixed"]
        self._decay, self._gain, self._target = fixed.decay, fixed.pool_gain, fixed.target_log
        self._exp2_table = exp2_table(fixed.params.table_bits)
        self._log2_table = log2_table(fixed.params.table_bits)

    def oracle(self, log_intensities: NDArray[np.int32]) -> int:
        """Return log2 Σ_k 2^V_k."""
        mantissas, exponents = power_of_two(log_intensities, LOG_FRACTION_BITS, self._exp2_table)
        return log2_sum(mantissas, exponents, self._log2_table)

    def correction_from_spikes(self, total: Any) -> int:
        """Return κ (log2(2N + 1) − log2(2r + 1))."""
        error = log2_integer(2 * int(total) + 1, self._log2_table) - self._target
        return int(self._gain * error) >> GAIN_FRACTION_BITS

    def correction_from_messages(self, messages: NDArray[np.int32]) -> int:
        """Return the logarithm of the sum of the populations' intensities; κ is 1 here."""
        exponents, mantissas = messages
        return log2_sum(mantissas, exponents, self._log2_table)

    def correct(self, correction: int) -> None:
        """Change h and its trend: v ← d v + (1 − d) κ e, then h ← h + κ e + v."""
        kept = self._decay * int(self.trend[0])
        gained = ((1 << DECAY_BITS) - self._decay) * correction
        self.trend[0] = (kept + gained) >> DECAY_BITS
        self.h[0] = STATE.fit(int(self.h[0]) + correction + int(self.trend[0]))
