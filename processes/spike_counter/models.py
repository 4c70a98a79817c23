"""Models of the SpikeCounter."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

from softhebb_spiking.processes.presentation import StepRecorder, presentation_position
from softhebb_spiking.processes.spike_counter.process import SpikeCounter


@implements(proc=SpikeCounter, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt", "fixed_pt")
class PySpikeCounterModel(PyLoihiProcessModel):
    """Counting needs no arithmetic of its own: one model for both."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    counts: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._params = proc_params["params"]
        self._n_samples: int = proc_params["n_samples"]
        directory = proc_params["record_to"]
        self._record_counts = StepRecorder(directory, "spike_counts", np.int64)
        self._record_spikes = StepRecorder(
            directory if proc_params["record_spikes"] else None, "output_spikes", np.int64
        )

    def run_spk(self) -> None:
        """Receive and count."""
        sample, step = presentation_position(self.time_step, self._params)
        spikes = self.s_in.recv()
        if sample >= self._n_samples:
            return
        if step == self._params.presentation_steps:
            self._record_counts.append(self.counts[sample])
            self._record_counts.flush()
            self._record_spikes.flush()
            return
        if step >= self._params.settle_steps:
            self.counts[sample] += spikes
        units = np.repeat(np.arange(spikes.size), spikes)
        if units.size:
            where = np.full((units.size, 3), (sample, step, 0))
            where[:, 2] = units
            self._record_spikes.append(where)
