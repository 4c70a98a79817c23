"""Model of the CountRecorder."""

from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from softhebb_spiking.processes.count_recorder.process import CountRecorder


@implements(proc=CountRecorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt", "fixed_pt")
class PyCountRecorderModel(PyLoihiProcessModel):
    """Counts are integers in both arithmetics."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        # Unbuffered: the file is complete whenever the run ends.
        path = Path(proc_params["record_to"], "counts.bin")
        self._file = path.open("wb", buffering=0)

    def run_spk(self) -> None:
        """Receive and write."""
        self._file.write(self.a_in.recv().astype(np.int64).tobytes())
