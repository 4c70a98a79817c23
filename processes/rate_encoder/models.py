"""Models of the RateEncoder."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

from softhebb_spiking.encoding import (
    input_probabilities,
    input_thresholds,
    psp_gain,
    spike_thresholds,
)
from softhebb_spiking.philox import (
    PAYLOAD_STREAM,
    input_words,
    step_bytes,
)
from softhebb_spiking.processes.presentation import (
    SpikeTable,
    StepRecorder,
    presentation_position,
)
from softhebb_spiking.processes.rate_encoder.process import RateEncoder
from softhebb_spiking.validation import FloatArray


class AbstractRateEncoderModel(PyLoihiProcessModel):
    """Draw or replay the spikes; subclasses say which rates a sample has, and what a spike carries.

    A model knows the `thresholds` below which a random word means a spike; none while silent.
    """

    x_in: Any = None
    s_out: Any = None

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        params = self._params = proc_params["params"]
        # numba compiles another version for numbers that do not fit 63 bits.
        self._seed: Any = np.uint64(proc_params["seed"])
        self._first_sample: int = proc_params["first_sample"]
        given = proc_params["input_spikes"]
        self._given: SpikeTable | None = None
        if given is not None:
            self._given = SpikeTable(given, params.n_features, params.presentation_steps)
        self._record = StepRecorder(proc_params["record_to"], "input_spikes", np.int64)
        self._thresholds: NDArray[np.uint64] | None = None
        self.prepare(proc_params)

    def prepare(self, proc_params: Any) -> None:
        """Take the samples."""
        raise NotImplementedError

    def begin(self, sample: int) -> NDArray[np.uint64] | None:
        """Return the thresholds of a sample, None where there is no sample or it is all zero."""
        raise NotImplementedError

    def payloads(self, sample: int, step: int) -> Any:
        """Return the payload of each input's spike in a step."""
        raise NotImplementedError

    def run_spk(self) -> None:
        """Send this step's spikes."""
        sample, step = presentation_position(self.time_step, self._params)
        self.receive()
        if step == 0:
            self._thresholds = self.begin(sample)
        elif step == self._params.presentation_steps:
            self._thresholds = None
            self._record.flush()
        if self._thresholds is None:
            self.s_out.send(np.zeros(self._params.n_features, self.silence_type()))
            return
        number, n = self._first_sample + sample, self._params.n_features
        fired = input_words(self._seed, number, step, n) < self._thresholds
        if self._given is not None:
            fired = self._given.counts(sample, step) > 0
        self.s_out.send(fired * self.payloads(number, step))
        rows = np.flatnonzero(fired)
        if rows.size:
            where = np.full((rows.size, 3), (sample, step, 0))
            where[:, 2] = rows
            self._record.append(where)

    def receive(self) -> None:
        """Take what is streamed to the encoder."""

    def silence_type(self) -> Any:
        """Return the numpy type of payloads."""
        raise NotImplementedError


@implements(proc=RateEncoder, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyRateEncoderModelFloat(AbstractRateEncoderModel):
    """Floating point: the payload is the PSP height itself."""

    x_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)

    def prepare(self, proc_params: Any) -> None:
        """Take the samples, if there are any."""
        self._samples: FloatArray | None = proc_params["samples"]
        self._streamed: Any = None
        self._gain = 0.0

    def receive(self) -> None:
        """Take a streamed sample."""
        if self._samples is None:
            self._streamed = np.asarray(self.x_in.recv(), np.float64)

    def begin(self, sample: int) -> NDArray[np.uint64] | None:
        """Return the thresholds of a sample, given or streamed, and set the payload."""
        if self._samples is None:
            x = self._streamed
        elif sample < len(self._samples):
            x = self._samples[sample]
        else:
            return None
        if not x.any():
            return None
        self._gain = float(psp_gain(x, self._params))
        return spike_thresholds(input_probabilities(x, self._params.max_probability))

    def payloads(self, sample: int, step: int) -> float:
        """Return the height of a PSP, the same for all."""
        return self._gain

    def silence_type(self) -> Any:
        """Return the numpy type of payloads."""
        return np.float64


@implements(proc=RateEncoder, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyRateEncoderModelFixed(AbstractRateEncoderModel):
    """Integers: payloads are even, and the height of a PSP in the mean."""

    x_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)

    def prepare(self, proc_params: Any) -> None:
        """Make thresholds and payloads of all samples."""
        samples, params = proc_params["samples"], self._params
        shown = samples.any(axis=1)
        self._shown = shown
        self._all_thresholds = np.zeros(samples.shape, np.uint64)
        self._all_thresholds[shown] = input_thresholds(samples[shown], params.max_probability)
        self._half_payloads = proc_params["fixed"].half_payloads(samples)
        self._half_payload = 0

    def begin(self, sample: int) -> NDArray[np.uint64] | None:
        """Return the thresholds of a sample, and set its payload."""
        if sample >= len(self._shown) or not self._shown[sample]:
            return None
        self._half_payload = int(self._half_payloads[sample])
        return np.asarray(self._all_thresholds[sample])

    def payloads(self, sample: int, step: int) -> NDArray[np.int32]:
        """Return even payloads, each rounded by a random byte of its own."""
        n = self._params.n_features
        noise = step_bytes(self._seed, PAYLOAD_STREAM, sample, step, n).astype(np.int32)
        return np.asarray(((self._half_payload + noise) >> 8) << 1)

    def silence_type(self) -> Any:
        """Return the numpy type of payloads."""
        return np.int32
