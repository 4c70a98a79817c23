"""A graded relay between plastic synapses and the spiking neurons of a unit."""

from typing import Any

import numpy as np
from lava.magma.core.process.neuron import LearningNeuronProcess
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.variable import Var

from softhebb_spiking.fixed_network import FixedNetwork
from softhebb_spiking.params import NetworkParams
from softhebb_spiking.processes.base import CheckedProcess
from softhebb_spiking.processes.soft_wta.process import checked_rates
from softhebb_spiking.validation import FloatArray, check_integer


class Dendrite(LearningNeuronProcess, CheckedProcess):
    """One dendrite for each unit: passes its current on, and tells its synapses what to learn.

    The neurons of a unit share their plastic synapses, which end here. A dendrite sends its input
    current to them as a graded spike, integrates it to the drive u_k ← d u_k + a_k, and hears how
    many of them fired. For the rule dw = u0*x1*y1 − u0*y1*y2*w it reports y1 = η_s n_k, in integers
    the updates due, and y2 = u_k.

    Parameters
    ----------
    params : NetworkParams
        Gives decay, steps, and the spikes that share a learning rate.
    learning_rates : float or ndarray of shape (n_samples,)
        η, for all samples or for each.
    first_step : int
        Lava steps before the counts of the first sample arrive.
    learning_rule : LoihiLearningRule
        The rule of the synapses.
    current_factor : float
        Payload sent per unit of input current.
    fixed : FixedNetwork, optional
        The integers of the network, for models tagged "fixed_pt".
    seed, first_sample : int
        Key of the random numbers, and number of the first sample in their stream.
    name : str, optional
        Name of the Process.
    log_config : LogConfig, optional
        Lava's logging options.

    Attributes
    ----------
    a_in : InPort of shape (n_units,)
        Input current.
    count_in : InPort of shape (n_units,)
        Spikes of the unit's neurons.
    s_out : OutPort of shape (n_units,)
        The current, scaled.
    s_out_y1, s_out_y2 : OutPort of shape (n_units,)
        To the synapses.
    u : Var of shape (n_units,)
        Drive.
    """

    def __init__(
        self,
        *,
        params: NetworkParams,
        learning_rates: FloatArray | float,
        first_step: int,
        learning_rule: Any,
        current_factor: float = 1.0,
        fixed: FixedNetwork | None = None,
        seed: int = 0,
        first_sample: int = 0,
        name: str | None = None,
        log_config: Any = None,
    ) -> None:
        check_integer("first_step", first_step, 0)
        shape = (params.n_units,)
        super().__init__(
            shape=shape,
            learning_rule=learning_rule,
            params=params,
            learning_rates=checked_rates("learning_rates", learning_rates),
            first_step=first_step,
            current_factor=current_factor,
            fixed=fixed,
            seed=seed,
            first_sample=first_sample,
            name=name,
            log_config=log_config,
        )
        self.a_in = InPort(shape=shape)
        self.count_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.u = Var(shape=shape, init=np.zeros(shape, int))
