"""What the models of drives share: how they integrate, and what they tell plastic synapses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking.encoding import psp_decay
from softhebb_spiking.fixed_network import FixedNetwork
from softhebb_spiking.fixed_point import DECAY_BITS, DOSE_BITS, STATE, TRACE, shift_right_rounded
from softhebb_spiking.params import NetworkParams
from softhebb_spiking.processes.populations import rate_of
from softhebb_spiking.validation import FloatArray

# Lava multiplies every y trace by this before the rule sees it, although the neuron has just sent
# it: the time constant of a three-factor rule's y traces is fixed at the largest 16-bit number.
LAVA_Y_TRACE_DECAY = math.exp(-1.0 / np.iinfo(np.uint16).max)


class FloatDrive:
    """Drives in floating point.

    Parameters
    ----------
    params : NetworkParams
        Gives d, and the output spikes that share a learning rate.
    learning_rates : ndarray of shape () or (n_samples,)
        η.
    """

    def __init__(self, params: NetworkParams, learning_rates: FloatArray) -> None:
        self._decay = psp_decay(params)
        self._rates = learning_rates / (params.total_rate * params.n_steps)

    def integrate(self, u: FloatArray, current: FloatArray) -> FloatArray:
        """Return d u_k + a_k."""
        return np.asarray(self._decay * u + current)

    def traces(
        self, u: FloatArray, counts: NDArray[Any], sample: int, is_read: bool
    ) -> tuple[FloatArray, FloatArray]:
        """Return y1 = η_s n_k and y2 = u_k, in the synapses' units.

        A graded spike of payload g adds g/2 to Lava's x1, which decays once more before it is used:
        x1 = (d/2) s. So y1 carries 2/d and y2 its inverse, and y1 x1 and y1 y2 are as they should.
        """
        rate = rate_of(self._rates, sample) if is_read else 0.0
        scale = 2.0 / self._decay
        return rate * counts * scale / LAVA_Y_TRACE_DECAY, u / scale / LAVA_Y_TRACE_DECAY


class FixedDrive:
    """Drives in integers.

    Parameters
    ----------
    fixed : FixedNetwork
        The integers of the network.
    learning_rates : ndarray of shape () or (n_samples,)
        η.

    Attributes
    ----------
    overflows : int
        How often a drive did not fit 24 bits.
    """

    def __init__(self, fixed: FixedNetwork, learning_rates: FloatArray) -> None:
        self._fixed, self._learning = fixed, fixed.learning
        self._doses = fixed.doses(learning_rates)
        self._pending_dose = np.zeros(fixed.network.n_units, np.int64)
        self.overflows = 0

    def integrate(self, u: NDArray[np.int32], current: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return d u_k + a_k, with a decay of 12 bits, held to 24 bits."""
        drive = ((u.astype(np.int64) * self._fixed.decay) >> DECAY_BITS) + current
        held = STATE.fit(drive).astype(np.int32)
        self.overflows += np.count_nonzero(held != drive)
        return np.asarray(held)

    def traces(
        self,
        u: NDArray[np.int32],
        counts: NDArray[Any],
        sample: int,
        step: int,
        is_read: bool,
        words: NDArray[np.uint32],
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return y1, the updates due at the end of an epoch, and y2, the drive in 7 bits.

        A population is owed η_s n_k updates in the mean; a random word for each decides about the
        fraction.
        """
        learning = self._learning
        if is_read:
            self._pending_dose += counts.astype(np.int64) * rate_of(self._doses, sample)
        y1 = np.zeros(counts.shape, np.int32)
        if (step + 1) % learning.epoch == 0:
            quanta = (self._pending_dose + (words >> np.uint32(32 - DOSE_BITS))) >> DOSE_BITS
            quanta = np.where(self._pending_dose > 0, quanta, 0)
            y1 = (np.minimum(quanta, learning.max_quanta) * learning.y1_quantum).astype(np.int32)
            self._pending_dose[:] = 0
        multiplier = learning.y2_multiplier
        y2 = shift_right_rounded(u.astype(np.int64) * multiplier.mantissa, multiplier.shift)
        return y1, TRACE.fit(y2).astype(np.int32)
