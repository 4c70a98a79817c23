"""A spiking SoftHebb layer as one Process."""

from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.variable import Var

from softhebb_spiking.fixed_network import FixedNetwork
from softhebb_spiking.params import NetworkParams
from softhebb_spiking.processes.base import CheckedProcess
from softhebb_spiking.processes.soft_wta.process import checked_rates, initial_log_prior
from softhebb_spiking.validation import FloatArray, IntArray


class SoftHebbLayer(CheckedProcess):
    """Plastic synapses, competing populations and their pool of inhibition, ready to connect.

    Feed it graded spikes whose payload is the height of one postsynaptic potential, such as those
    of a `RateEncoder`; a presentation takes `params.presentation_steps` steps and one reset step
    without input. If learning is on, or the traces are to be recorded, the synapses are a stock
    `LearningDense` with the rule dw = u0*x1*y1 − u0*y1*y2*w, else a stock `Dense`. In integers the
    plastic synapses are a `PlasticDense`, unless rounding is "shared".

    Parameters
    ----------
    params : NetworkParams
        The network.
    weights : ndarray of shape (n_units, n_features)
        Initial weights.
    log_prior : ndarray of shape (n_units,), optional
        Initial log prior, nats; −log K for each unit by default.
    learning_rates, prior_learning_rates : float or ndarray of shape (n_samples,)
        η and η_b, for all samples or for each; samples beyond the last find learning off.
    seed : int
        Key of the random numbers.
    first_sample : int
        Number of the first sample in the random number stream.
    output_spikes : ndarray of shape (n_spikes, 3), optional
        Rows (sample, step, index) to be used instead of drawn spikes.
    fixed : FixedNetwork, optional
        The integers of the network, made for the largest of the learning rates; for run
        configurations that select "fixed_pt".
    n_samples : int, optional
        Presentations after which the weights are recorded.
    record_to : str, optional
        Directory in which the log prior, the weights and what `probes` names are recorded.
    probes : tuple of str
        Of "drive", "inhibition", "psp".
    name : str, optional
        Name of the Process.
    log_config : LogConfig, optional
        Lava's logging options.

    Attributes
    ----------
    s_in : InPort of shape (n_features,)
        Graded input spikes.
    s_out : OutPort of shape (n_units,)
        Output spikes of each population.
    weights : Var of shape (n_units, n_features)
        Weights of the synapses.
    log_prior, u : Var of shape (n_units,)
        Log prior in nats, and drive without it. In integers, all three are those of `fixed`.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit the network.
    """

    def __init__(
        self,
        *,
        params: NetworkParams,
        weights: FloatArray,
        log_prior: FloatArray | None = None,
        learning_rates: FloatArray | float = 0.0,
        prior_learning_rates: FloatArray | float = 0.0,
        seed: int = 0,
        first_sample: int = 0,
        output_spikes: IntArray | None = None,
        fixed: FixedNetwork | None = None,
        n_samples: int | None = None,
        record_to: str | None = None,
        probes: tuple[str, ...] = (),
        name: str | None = None,
        log_config: Any = None,
    ) -> None:
        weights = _checked_weights(weights, params)
        log_prior = initial_log_prior(log_prior, params)
        held = weights if fixed is None else fixed.weights(weights)
        super().__init__(
            params=params,
            learning_rates=checked_rates("learning_rates", learning_rates),
            prior_learning_rates=checked_rates("prior_learning_rates", prior_learning_rates),
            seed=seed,
            first_sample=first_sample,
            output_spikes=output_spikes,
            fixed=fixed,
            n_samples=n_samples,
            record_to=record_to,
            probes=probes,
            name=name,
            log_config=log_config,
        )
        self.s_in = InPort(shape=(params.n_features,))
        self.s_out = OutPort(shape=(params.n_units,))
        self.weights = Var(shape=weights.shape, init=held)
        self.log_prior = Var(shape=(params.n_units,), init=log_prior)
        self.u = Var(shape=(params.n_units,), init=0)


def _checked_weights(weights: FloatArray, params: NetworkParams) -> FloatArray:
    """Return the weights as floats of the network's shape, or raise ValueError."""
    weights = np.asarray(weights, np.float64)
    expected = (params.n_units, params.n_features)
    if weights.shape != expected:
        raise ValueError(f"weights must have shape {expected}, got {weights.shape}.")
    return weights
