"""Model of the PlasticDense."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

from softhebb_spiking.fixed_learning import (
    ACCUMULATOR_FRACTION_BITS,
    X1_Y1_SHIFT,
    Y1_Y2_W_SHIFT,
)
from softhebb_spiking.fixed_point import (
    ACCUMULATOR,
    DECAY_BITS,
    MIN_EXPONENT,
    TRACE,
    random_bytes,
)
from softhebb_spiking.philox import (
    SYNAPSE_STREAM,
    TRACE_STREAM,
    uniform_words,
)
from softhebb_spiking.processes.plastic_dense.process import PlasticDense
from softhebb_spiking.processes.presentation import presentation_position
from softhebb_spiking.validation import IntArray

_BYTES_PER_BLOCK = 16


@implements(proc=PlasticDense, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyPlasticDenseModelFixed(PyLoihiProcessModel):
    """Integers; there is no model in floating point, which rounds nothing."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    s_in_y1: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=7)
    s_in_y2: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=7)
    weights: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32, precision=8)
    x1: NDArray[np.int64] = LavaPyType(np.ndarray, np.int64, precision=7)
    a_buff: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32, precision=24)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._fixed = proc_params["fixed"]
        self._learning = self._fixed.learning
        # numba compiles another version for numbers that do not fit 63 bits.
        self._seed: Any = np.uint64(proc_params["seed"])
        self._first_sample: int = proc_params["first_sample"]
        self._y1 = self._y2 = np.zeros(self._fixed.network.n_units, np.int32)

    def run_spk(self) -> None:
        """Send the currents of the last step, sum those of this step, and hear the neurons."""
        self.a_out.send(self.a_buff)
        payloads = self.s_in.recv()
        self.a_buff = self.weights @ payloads
        self.x1 = TRACE.fit(self.x1 + (payloads >> 1))
        self._y1 = self.s_in_y1.recv()
        self._y2 = self.s_in_y2.recv()

    def lrn_guard(self) -> bool:
        """Return whether an epoch ends."""
        return bool(self.time_step % self._learning.epoch == 0)

    def run_lrn(self) -> None:
        """Let the traces decay, and change the weights of populations that ask for it."""
        sample, step = presentation_position(self.time_step, self._fixed.network)
        number = self._first_sample + sample
        noise = self._bytes(TRACE_STREAM, number, step, 0) << (DECAY_BITS - 8)
        for _ in range(self._learning.epoch):
            self.x1 = (self.x1 * self._fixed.decay + noise) >> DECAY_BITS
        blocks_per_unit = -(-self.x1.size // _BYTES_PER_BLOCK)
        for k in np.flatnonzero(self._y1).tolist():
            noise = self._bytes(SYNAPSE_STREAM, number, step, k * blocks_per_unit)
            self._learn_unit(k, noise & ((1 << ACCUMULATOR_FRACTION_BITS) - 1))

    def _learn_unit(self, k: int, noise: IntArray) -> None:
        """Change the weights of unit k; the noise has as many bits as are dropped."""
        learning, y1, y2 = self._learning, int(self._y1[k]), int(self._y2[k])
        w = self.weights[k].astype(np.int64)
        growth = (self.x1 * y1) >> X1_Y1_SHIFT
        decay = (-learning.decay_mantissa * y1 * y2 * w) >> Y1_Y2_W_SHIFT
        total = w << ACCUMULATOR_FRACTION_BITS
        for change, exponent in (
            (growth, learning.hebb_exponent),
            (decay, learning.decay_exponent),
        ):
            total = ACCUMULATOR.fit(total + ACCUMULATOR.fit(change << (exponent - MIN_EXPONENT)))
        rounded = (np.maximum(total, 0) + noise) >> ACCUMULATOR_FRACTION_BITS
        self.weights[k] = self._fixed.weight.fit(rounded)

    def _bytes(self, stream: int, number: int, step: int, first_block: int) -> IntArray:
        """Return a random byte for each input."""
        n_words = -(-self.x1.size // 4)
        words = uniform_words(self._seed, stream, number, step, n_words, first_block)
        return random_bytes(words)[: self.x1.size].astype(np.int64)
