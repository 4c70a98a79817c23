"""Model of the SoftHebbLayer: what it is made of."""

from typing import Any

from lava.magma.core.decorator import implements
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.proc.dense.process import Dense

from softhebb_spiking.fixed_network import lava_seed
from softhebb_spiking.processes.lateral_inhibition.process import LateralInhibition
from softhebb_spiking.processes.plasticity import (
    GRADED_SPIKE_BITS,
    learning_rule,
    plastic_synapses,
    sign_mode,
)
from softhebb_spiking.processes.soft_wta.process import SoftWTA
from softhebb_spiking.processes.softhebb_layer.process import SoftHebbLayer
from softhebb_spiking.processes.synapse_manager.process import SynapseManager


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
            self.synapses = plastic_synapses(
                proc.weights.init,
                rule,
                self.neurons,
                fixed,
                seed=given["seed"],
                first_sample=given["first_sample"],
                **options,
            )
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
                sign_mode=sign_mode(fixed),
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


def _connect_pool(neurons: Any, pool: Any, inhibition: str) -> None:
    """Connect populations and pool by what the mode of inhibition needs, and no more."""
    neurons.s_out.connect(pool.s_in)
    pool.pool_out.connect(neurons.pool_in)
    if inhibition != "feedback":
        neurons.intensity_out.connect(pool.intensity_in)
    if inhibition == "exact":
        pool.h_out.connect(neurons.h_in)
