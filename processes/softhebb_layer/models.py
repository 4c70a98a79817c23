"""Model of the SoftHebbLayer: what it is made of."""

from typing import Any

from lava.magma.core.decorator import implements
from lava.magma.core.learning.constants import GradedSpikeCfg
from lava.magma.core.learning.learning_rule import Loihi3FLearningRule
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.proc.dense.process import Dense, LearningDense
from lava.utils.weightutils import SignMode

from softhebb_spiking.fixed_network import FixedNetwork, lava_seed, trace_tau
from softhebb_spiking.params import NetworkParams
from softhebb_spiking.processes.lateral_inhibition.process import LateralInhibition
from softhebb_spiking.processes.plastic_dense.process import PlasticDense
from softhebb_spiking.processes.soft_wta.process import SoftWTA
from softhebb_spiking.processes.softhebb_layer.process import SoftHebbLayer
from softhebb_spiking.processes.synapse_manager.process import SynapseManager

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


@implements(proc=SoftHebbLayer)
class SoftHebbLayerModel(AbstractSubProcessModel):
    """Synapses, populations and pool; which arithmetic they use is for the run configuration."""

    def __init__(self, proc: Any) -> None:
        given = proc.proc_params
        params, fixed = given["params"], given["fixed"]
        learns = given["learning_rates"].any() or "psp" in given["probes"]
        seed = lava_seed(given["seed"], given["first_sample"])
        rule = learning_rule(params, fixed, seed) if learns else None
        options = {"log_config": given["log_config"]}
        self.neurons = SoftWTA(
            params=params,
            log_prior=proc.log_prior.init,
            learning_rule=rule,
            **{name: given[name] for name in _PASSED_ON},
            **options,
        )
        self.pool = LateralInhibition(params=params, fixed=fixed, **options)
        if learns:
            self.synapses = _plastic_synapses(proc, rule, self.neurons, options)
            self.manager = SynapseManager(
                params=params,
                n_samples=given["n_samples"],
                record_to=given["record_to"],
                record_psp="psp" in given["probes"],
                **options,
            )
            self.manager.x1.connect_var(self.synapses.x1)
            self.manager.weights.connect_var(self.synapses.weights)
        else:
            self.synapses = Dense(
                weights=proc.weights.init,
                num_message_bits=GRADED_SPIKE_BITS,
                sign_mode=_sign_mode(fixed),
                **options,
            )
        proc.s_in.connect(self.synapses.s_in)
        self.synapses.a_out.connect(self.neurons.a_in)
        _connect_pool(self.neurons, self.pool, params.inhibition)
        self.neurons.s_out.connect(proc.s_out)
        proc.vars.weights.alias(self.synapses.vars.weights)
        proc.vars.log_prior.alias(self.neurons.vars.log_prior)
        proc.vars.u.alias(self.neurons.vars.u)


_PASSED_ON = (
    "learning_rates",
    "prior_learning_rates",
    "seed",
    "first_sample",
    "output_spikes",
    "fixed",
    "record_to",
    "probes",
)


def _sign_mode(fixed: FixedNetwork | None) -> Any:
    """Return which signs weights may have: in integers, all eight bits are magnitude."""
    return SignMode.MIXED if fixed is None else SignMode.EXCITATORY


def _plastic_synapses(proc: Any, rule: Any, neurons: Any, options: dict[str, Any]) -> Any:
    """Return plastic synapses that hear from the neurons; y3 is not in the rule."""
    given = proc.proc_params
    fixed = given["fixed"]
    if fixed is not None and fixed.params.rounding == "per_synapse":
        synapses = PlasticDense(
            weights=proc.weights.init,
            fixed=fixed,
            seed=given["seed"],
            first_sample=given["first_sample"],
            **options,
        )
    else:
        synapses = LearningDense(
            weights=proc.weights.init,
            learning_rule=rule,
            num_message_bits=GRADED_SPIKE_BITS,
            graded_spike_cfg=GradedSpikeCfg.ADD_WITH_SATURATION,
            sign_mode=_sign_mode(fixed),
            **options,
        )
        neurons.s_out_bap.connect(synapses.s_in_bap)
    neurons.s_out_y1.connect(synapses.s_in_y1)
    neurons.s_out_y2.connect(synapses.s_in_y2)
    return synapses


def _connect_pool(neurons: Any, pool: Any, inhibition: str) -> None:
    """Connect populations and pool by what the mode of inhibition needs, and no more."""
    neurons.s_out.connect(pool.s_in)
    pool.pool_out.connect(neurons.pool_in)
    if inhibition != "feedback":
        neurons.intensity_out.connect(pool.intensity_in)
    if inhibition == "exact":
        pool.h_out.connect(neurons.h_in)
