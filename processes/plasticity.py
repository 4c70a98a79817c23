"""Plastic synapses of units that report their drives: the rule, and the Process that applies it."""

from __future__ import annotations

from typing import Any

from lava.magma.core.learning.constants import GradedSpikeCfg
from lava.magma.core.learning.learning_rule import Loihi3FLearningRule
from lava.proc.dense.process import LearningDense
from lava.utils.weightutils import SignMode

from softhebb_spiking.fixed_network import FixedNetwork, trace_tau
from softhebb_spiking.params import NetworkParams
from softhebb_spiking.processes.plastic_dense.process import PlasticDense

# Δw = η_s n_k s − η_s n_k u_k w, with η_s n_k in y1, s in x1 and u_k in y2.
LEARNING_RULE = "u0*x1*y1 - u0*y1*y2*w"

# Any number but 0 makes Lava take a spike's payload as its size.
GRADED_SPIKE_BITS = 24


def learning_rule(
    params: NetworkParams, fixed: FixedNetwork | None = None, seed: int | None = None
) -> Any:
    """Return the learning rule of the synapses.

    Parameters
    ----------
    params : NetworkParams
        Gives the time constant of the presynaptic trace.
    fixed : FixedNetwork, optional
        In integers: gives constants and epoch of the rule.
    seed : int, optional
        In integers: seed of the random numbers that round the traces.

    Returns
    -------
    Loihi3FLearningRule
        The SoftHebb rule, applied in every step or at the end of every epoch.
    """
    return Loihi3FLearningRule(
        dw=LEARNING_RULE if fixed is None else fixed.learning.rule,
        x1_impulse=0,
        x1_tau=trace_tau(params),
        t_epoch=1 if fixed is None else fixed.learning.epoch,
        rng_seed=seed,
    )


def sign_mode(fixed: FixedNetwork | None) -> Any:
    """Return which signs weights may have: in integers, all eight bits are magnitude."""
    return SignMode.MIXED if fixed is None else SignMode.EXCITATORY


def plastic_synapses(
    weights: Any,
    rule: Any,
    neurons: Any,
    fixed: FixedNetwork | None,
    *,
    seed: int = 0,
    first_sample: int = 0,
    **options: Any,
) -> Any:
    """Return plastic synapses that hear from their neurons; y3 is not in the rule.

    Parameters
    ----------
    weights : ndarray of shape (n_units, n_features)
        Initial weights, integers if `fixed` is given.
    rule : Loihi3FLearningRule
        From `learning_rule`.
    neurons : LearningNeuronProcess
        Sends y1 and y2.
    fixed : FixedNetwork or None
        In integers: those of the network.
    seed, first_sample : int
        Key of the random numbers of a `PlasticDense`, and number of the first sample.
    **options
        Of the Process.

    Returns
    -------
    LearningDense or PlasticDense
        Not yet connected to its inputs, nor its currents to the neurons.
    """
    if fixed is not None and fixed.params.rounding == "per_synapse":
        synapses = PlasticDense(
            weights=weights, fixed=fixed, seed=seed, first_sample=first_sample, **options
        )
    else:
        synapses = LearningDense(
            weights=weights,
            learning_rule=rule,
            num_message_bits=GRADED_SPIKE_BITS,
            graded_spike_cfg=GradedSpikeCfg.ADD_WITH_SATURATION,
            sign_mode=sign_mode(fixed),
            **options,
        )
        neurons.s_out_bap.connect(synapses.s_in_bap)
    neurons.s_out_y1.connect(synapses.s_in_y1)
    neurons.s_out_y2.connect(synapses.s_in_y2)
    return synapses
