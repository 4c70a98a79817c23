"""Models of the SynapseManager."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyRefPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from softhebb_spiking.encoding import psp_decay
from softhebb_spiking.processes.presentation import StepRecorder, presentation_position
from softhebb_spiking.processes.synapse_manager.process import SynapseManager


class AbstractSynapseManagerModel(PyLoihiProcessModel):
    """Ask for the management phase where there is something to do, and do it there."""

    record_type: Any = None
    x1: Any = None
    weights: Any = None

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._params = proc_params["params"]
        self._n_samples: int | None = proc_params["n_samples"]
        directory = proc_params["record_to"]
        self._record_weights = StepRecorder(directory, "weights", self.record_type)
        self._reads_psp: bool = proc_params["record_psp"]
        self._record_psp = StepRecorder(
            directory if self._reads_psp else None, "psp", self.record_type
        )
        self._managed_step = 0

    def post_guard(self) -> bool:
        """Return whether this step needs the management phase."""
        if self._managed_step == self.time_step:
            return False
        _, step = presentation_position(self.time_step, self._params)
        is_read = self._params.settle_steps <= step < self._params.presentation_steps
        return step == self._params.presentation_steps or (self._reads_psp and is_read)

    def run_post_mgmt(self) -> None:
        """Record in a step that is read, reset in the reset step."""
        # Lava may enter this phase twice in a step in which other Processes learn.
        self._managed_step = self.time_step
        sample, step = presentation_position(self.time_step, self._params)
        if step < self._params.presentation_steps:
            self._record_psp.append(self.psp())
            return
        self._record_psp.flush()
        if sample + 1 == self._n_samples:
            self._record_weights.append(self.weights.read())
            self._record_weights.flush()
        self.x1.write(np.zeros(self._params.n_features, self.record_type))
        # Without waiting, the next step could begin with the old traces.
        self.x1.wait()

    def psp(self) -> Any:
        """Return the traces for the records."""
        return self.x1.read()


@implements(proc=SynapseManager, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PySynapseManagerModelFloat(AbstractSynapseManagerModel):
    """Floating point."""

    record_type = np.float64
    x1: PyRefPort = LavaPyType(PyRefPort.VEC_DENSE, float)
    weights: PyRefPort = LavaPyType(PyRefPort.VEC_DENSE, float)

    def psp(self) -> Any:
        """Return the traces as PSPs: x1 = (d/2) s, see the SoftWTA."""
        return self.x1.read() * (2.0 / psp_decay(self._params))


@implements(proc=SynapseManager, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySynapseManagerModelFixed(AbstractSynapseManagerModel):
    """Integers."""

    record_type = np.int64
    x1: PyRefPort = LavaPyType(PyRefPort.VEC_DENSE, np.int64, precision=7)
    weights: PyRefPort = LavaPyType(PyRefPort.VEC_DENSE, np.int32, precision=8)
