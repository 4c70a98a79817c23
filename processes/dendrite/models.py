"""Models of the Dendrite."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.neuron import LearningNeuronModelFixed, LearningNeuronModelFloat
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

from softhebb_spiking.fixed_point import Multiplier, shift_right_rounded
from softhebb_spiking.philox import DOSE_STREAM, uniform_words
from softhebb_spiking.processes.dendrite.process import Dendrite
from softhebb_spiking.processes.drives import FixedDrive, FloatDrive
from softhebb_spiking.validation import FloatArray


class AbstractDendriteModel:
    """The order of a step; subclasses say in which arithmetic it is computed."""

    time_step: int
    a_in: Any
    count_in: Any
    s_out: Any
    s_out_bap: Any
    s_out_y1: Any
    s_out_y2: Any
    s_out_y3: Any
    y1: Any
    y2: Any
    y3: Any
    u: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)  # type: ignore[call-arg]  # Lava's model comes next
        self._params = proc_params["params"]
        self._first_step = proc_params["first_step"]
        self.prepare(proc_params)

    def run_spk(self) -> None:
        """Pass the current on, integrate it, and tell the synapses what the neurons did."""
        params = self._params
        current, counts = self.a_in.recv(), self.count_in.recv()
        self.s_out.send(self.scaled(current))
        self.integrate(current)
        position = self.time_step - 1 - self._first_step
        sample, step = divmod(position, params.presentation_steps)
        is_read = position >= 0 and step >= params.settle_steps
        self.set_traces(counts, sample, step, is_read)
        self.s_out_bap.send(self.y1 > 0)
        self.s_out_y1.send(self.y1)
        self.s_out_y2.send(self.y2)
        self.s_out_y3.send(self.y3)

    def prepare(self, proc_params: Any) -> None:
        """Make the constants of the arithmetic."""
        raise NotImplementedError

    def scaled(self, current: Any) -> Any:
        """Return the current in the units of the neurons."""
        raise NotImplementedError

    def integrate(self, current: Any) -> None:
        """Let the drives decay, and add the currents."""
        raise NotImplementedError

    def set_traces(self, counts: Any, sample: int, step: int, is_read: bool) -> None:
        """Set y1 and y2 for the synapses."""
        raise NotImplementedError


@implements(proc=Dendrite, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyDendriteModelFloat(AbstractDendriteModel, LearningNeuronModelFloat):
    """Floating point."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    count_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    u: FloatArray = LavaPyType(np.ndarray, float)

    def prepare(self, proc_params: Any) -> None:
        """Scale the learning rates to output spikes."""
        self._drive = FloatDrive(proc_params["params"], proc_params["learning_rates"])
        self._factor = float(proc_params["current_factor"])

    def scaled(self, current: FloatArray) -> FloatArray:
        """Return the current times `current_factor`."""
        return np.asarray(self._factor * current)

    def integrate(self, current: FloatArray) -> None:
        """Set u_k ← d u_k + a_k."""
        self.u = self._drive.integrate(self.u, current)

    def set_traces(self, counts: FloatArray, sample: int, step: int, is_read: bool) -> None:
        """Set y1 = η_s n_k and y2 = u_k, in the synapses' units."""
        self.y1, self.y2 = self._drive.traces(self.u, counts, sample, is_read)


@implements(proc=Dendrite, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyDendriteModelFixed(AbstractDendriteModel, LearningNeuronModelFixed):
    """Integers; `docs/fixed_point.md` has the formats."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    count_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    u: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32, precision=24)

    def prepare(self, proc_params: Any) -> None:
        """Take the integers of the network."""
        self._drive = FixedDrive(proc_params["fixed"], proc_params["learning_rates"])
        self._multiplier = Multiplier.nearest(proc_params["current_factor"])
        # numba compiles another version for numbers that do not fit 63 bits.
        self._seed: Any = np.uint64(proc_params["seed"])
        self._first_sample: int = proc_params["first_sample"]

    def scaled(self, current: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the current times `current_factor`, to the nearest integer."""
        product = current.astype(np.int64) * self._multiplier.mantissa
        return np.asarray(shift_right_rounded(product, self._multiplier.shift), np.int32)

    def integrate(self, current: NDArray[np.int32]) -> None:
        """Set u_k ← d u_k + a_k, with a decay of 12 bits, held to 24 bits."""
        self.u = self._drive.integrate(self.u, current)

    def set_traces(self, counts: NDArray[np.int32], sample: int, step: int, is_read: bool) -> None:
        """Ask in y1 for the updates due; y2 is the drive in 7 bits."""
        words: NDArray[np.uint32] = uniform_words(
            self._seed, DOSE_STREAM, self._first_sample + max(sample, 0), step, counts.size
        )
        self.y1, self.y2 = self._drive.traces(self.u, counts, sample, step, is_read, words)
