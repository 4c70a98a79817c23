"""Plastic synapses with one random number for each rounding."""

from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.variable import Var

from softhebb_spiking.fixed_network import FixedNetwork
from softhebb_spiking.processes.base import CheckedProcess
from softhebb_spiking.validation import IntArray, check_integer


class PlasticDense(CheckedProcess):
    """What a fixed-point `LearningDense` does with the SoftHebb rule, but for its random numbers.

    Lava's `LearningDense` rounds the weights of all synapses with one random number in each step,
    and the traces of all inputs with another. Errors of synapses then go the same way, and add up
    along the weight vector. Here every synapse and every trace has its own; formats, shifts,
    saturation and the order of things are the same.

    At the end of an epoch, which is when `learning_epoch` divides the step:

        x1 ← (x1 · d + noise) >> 12,  as often as the epoch has steps
        A  = (w << 7) + ((x1 · y1) >> 3) 2^a+7 − ((m · y1 · y2 · w) >> 12) 2^b+7
        w  ← (A + noise) >> 7

    Parameters
    ----------
    weights : ndarray of shape (n_units, n_features)
        Initial weights, integers in [0, 255].
    fixed : FixedNetwork
        The integers of the network.
    seed : int
        Key of the random numbers.
    first_sample : int
        Number of the first sample in the random number stream.
    name : str, optional
        Name of the Process.
    log_config : LogConfig, optional
        Lava's logging options.

    Attributes
    ----------
    s_in : InPort of shape (n_features,)
        Graded spikes with even payloads; half of it is added to the trace.
    a_out : OutPort of shape (n_units,)
        Currents, one step late.
    s_in_y1, s_in_y2 : InPort of shape (n_units,)
        Updates to make, and drives, from the neurons.
    weights : Var of shape (n_units, n_features)
        Weights.
    x1 : Var of shape (n_features,)
        Traces.
    a_buff : Var of shape (n_units,)
        Currents to be sent next.

    Raises
    ------
    ValueError
        If the weights are not integers in range, or have another shape.
    """

    def __init__(
        self,
        *,
        weights: IntArray,
        fixed: FixedNetwork,
        seed: int = 0,
        first_sample: int = 0,
        name: str | None = None,
        log_config: Any = None,
    ) -> None:
        check_integer("seed", seed, 0, 2**64 - 1)
        check_integer("first_sample", first_sample, 0)
        weights = np.asarray(weights)
        shape = (fixed.network.n_units, fixed.network.n_features)
        fits = weights.shape == shape and weights.dtype.kind in "iu"
        if not fits or (weights != fixed.weight.fit(weights)).any():
            raise ValueError(
                f"weights must be integers of shape {shape} in [0, {fixed.weight.max_integer}], "
                f"got shape {weights.shape} and dtype {weights.dtype}; FixedNetwork.weights makes "
                "them from floats."
            )
        super().__init__(
            fixed=fixed, seed=seed, first_sample=first_sample, name=name, log_config=log_config
        )
        self.s_in = InPort(shape=(shape[1],))
        self.a_out = OutPort(shape=(shape[0],))
        self.s_in_y1 = InPort(shape=(shape[0],))
        self.s_in_y2 = InPort(shape=(shape[0],))
        self.weights = Var(shape=shape, init=weights)
        self.x1 = Var(shape=(shape[1],), init=0)
        self.a_buff = Var(shape=(shape[0],), init=0)
