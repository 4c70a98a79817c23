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
    INPUT_STREAM,
    input_probabilities,
    psp_gain,
    spike_thresholds,
    uniform_words,
)
from softhebb_spiking.processes.presentation import (
    SpikeTable,
    StepRecorder,
    presentation_position,
)
from softhebb_spiking.processes.rate_encoder.process import RateEncoder
from softhebb_spiking.validation import FloatArray


class AbstractRateEncoderModel(PyLoihiProcessModel):
    """Draw or replay the spikes; subclasses say what payload a spike carries."""

    x_in: Any = None
    s_out: Any = None

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._params = proc_params["params"]
        self._samples: FloatArray | None = proc_params["samples"]
        # numba compiles another version for numbers that do not fit 63 bits.
        self._seed: Any = np.uint64(proc_params["seed"])
        self._first_sample: int = proc_params["first_sample"]
        given = proc_params["input_spikes"]
        self._given: SpikeTable | None = None
        if given is not None:
            self._given = SpikeTable(
                given, self._params.n_features, self._params.presentation_steps
            )
        self._record = StepRecorder(proc_params["record_to"], "input_spikes", np.int64)
        self._silence()

    def payload(self, gain: float) -> Any:
        """Return the payload of a spike for the PSP height `gain`."""
        raise NotImplementedError

    def run_spk(self) -> None:
        """Send this step's spikes."""
        sample, step = presentation_position(self.time_step, self._params)
        streamed = self.x_in.recv() if self._samples is None else None
        if step == 0:
            self._begin(sample, streamed)
        elif step == self._params.presentation_steps:
            self._silence()
            self._record.flush()
        fired = self._fired(sample, step)
        self.s_out.send(fired * self._payload)
        rows = np.flatnonzero(fired)
        if rows.size:
            where = np.full((rows.size, 3), (sample, step, 0))
            where[:, 2] = rows
            self._record.append(where)

    def _silence(self) -> None:
        self._thresholds = np.zeros(self._params.n_features, np.uint64)
        self._payload = self.payload(0.0)

    def _begin(self, sample: int, streamed: Any) -> None:
        """Set rates and payload for a sample; an all-zero sample and no sample are silence."""
        if self._samples is None:
            x = np.asarray(streamed, np.float64)
        elif sample < len(self._samples):
            x = self._samples[sample]
        else:
            return
        if x.any():
            rates = input_probabilities(x, self._params.max_probability)
            self._thresholds = spike_thresholds(rates)
            self._payload = self.payload(float(psp_gain(x, self._params)))

    def _fired(self, sample: int, step: int) -> NDArray[np.bool_]:
        if step == self._params.presentation_steps:
            return np.zeros(self._params.n_features, bool)
        if self._given is not None:
            return self._given.counts(sample, step) > 0
        number = self._first_sample + sample
        words = uniform_words(self._seed, INPUT_STREAM, number, step, self._params.n_features)
        return np.asarray(words < self._thresholds)


@implements(proc=RateEncoder, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyRateEncoderModelFloat(AbstractRateEncoderModel):
    """Floating point: the payload is the PSP height itself."""

    x_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)

    def payload(self, gain: float) -> float:
        """Return the payload of a spike for the PSP height `gain`."""
        return gain
