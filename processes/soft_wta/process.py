"""Populations of spiking neurons in soft competition."""

from typing import Any

import numpy as np
from lava.magma.core.process.neuron import LearningNeuronProcess
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.variable import Var

from softhebb_spiking.fixed_network import FixedNetwork
from softhebb_spiking.params import NetworkParams
from softhebb_spiking.processes.base import CheckedProcess
from softhebb_spiking.processes.lateral_inhibition.process import intensity_shape
from softhebb_spiking.validation import FloatArray, IntArray, check_integer


class SoftWTA(LearningNeuronProcess, CheckedProcess):
    """K populations of M spiking neurons; everything a neuron uses is local to its population.

    In each step a population k integrates its input current, u_k ← d u_k + a_k, and each of its
    neurons fires with probability min(1, (r/M) e^(u_k/τ + b_k − h)), with the inhibition h that
    the pool sends. The log prior b_k follows the population's own spikes and the pool's count,
    b_k ← min(0, b_k + η_b,s (n_k e^(−b_k) − N)), as soon as the pool has sent N, one step later.

    For the learning rule dw = u0*x1*y1 − u0*y1*y2*w of a `LearningDense` that integrates the same
    graded spikes, the neurons send y1 = η_s n_k and y2 = u_k, each corrected for what Lava does to
    traces before it uses them. In integers y1 asks for whole updates at random, η_s n_k in the
    mean, and y2 is the drive in 7 bits.

    Parameters
    ----------
    params : NetworkParams
        The network.
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
        The integers of the network, for models tagged "fixed_pt".
    learning_rule : LoihiLearningRule, optional
        The rule of the synapses; without one, nothing is sent to synapses.
    record_to : str, optional
        Directory in which the log prior, and what `probes` names, is recorded.
    probes : tuple of str
        Of "drive", "inhibition".
    name : str, optional
        Name of the Process.
    log_config : LogConfig, optional
        Lava's logging options.

    Attributes
    ----------
    a_in : InPort of shape (n_units,)
        Input current, Σ_i g w_ki over the inputs that fired.
    pool_in : InPort of shape (2,)
        h in nats and N in spikes, of the previous step.
    h_in : InPort of shape (1,)
        With "exact" inhibition: h of this step.
    s_out : OutPort of shape (n_units,)
        Spikes of each population.
    intensity_out : OutPort of shape (2, n_units) or (n_units,)
        What the pool hears besides spikes, see `LateralInhibition`.
    s_out_bap, s_out_y1, s_out_y2, s_out_y3 : OutPort of shape (n_units,)
        To the synapses.
    u, log_prior : Var of shape (n_units,)
        Drive without the bias, and log prior in nats; in integers those of `fixed`.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit the network.
    """

    def __init__(
        self,
        *,
        params: NetworkParams,
        log_prior: FloatArray | None = None,
        learning_rates: FloatArray | float = 0.0,
        prior_learning_rates: FloatArray | float = 0.0,
        seed: int = 0,
        first_sample: int = 0,
        output_spikes: IntArray | None = None,
        fixed: FixedNetwork | None = None,
        learning_rule: Any = None,
        record_to: str | None = None,
        probes: tuple[str, ...] = (),
        name: str | None = None,
        log_config: Any = None,
    ) -> None:
        check_integer("seed", seed, 0, 2**64 - 1)
        check_integer("first_sample", first_sample, 0)
        prior = initial_log_prior(log_prior, params)
        super().__init__(
            shape=prior.shape,
            learning_rule=learning_rule,
            params=params,
            learning_rates=checked_rates("learning_rates", learning_rates),
            prior_learning_rates=checked_rates("prior_learning_rates", prior_learning_rates),
            seed=seed,
            first_sample=first_sample,
            output_spikes=output_spikes,
            fixed=fixed,
            record_to=record_to,
            probes=probes,
            name=name,
            log_config=log_config,
        )
        self.a_in = InPort(shape=prior.shape)
        self.pool_in = InPort(shape=(2,))
        self.h_in = InPort(shape=(1,))
        self.s_out = OutPort(shape=prior.shape)
        self.intensity_out = OutPort(shape=intensity_shape(params))
        self.u = Var(shape=prior.shape, init=0)
        held = prior if fixed is None else fixed.log_prior(prior)
        self.log_prior = Var(shape=prior.shape, init=held)


def initial_log_prior(log_prior: FloatArray | None, params: NetworkParams) -> FloatArray:
    """Return the initial log prior, uniform if none is given.

    Raises
    ------
    ValueError
        If it has another shape than (n_units,), or a positive or infinite entry.
    """
    if log_prior is None:
        return np.full(params.n_units, -np.log(params.n_units))
    log_prior = np.asarray(log_prior, np.float64)
    if log_prior.shape != (params.n_units,):
        raise ValueError(f"log_prior must have shape ({params.n_units},), got {log_prior.shape}.")
    if not np.isfinite(log_prior).all():
        raise ValueError("log_prior must be finite.")
    return log_prior


def checked_rates(name: str, rates: FloatArray | float) -> FloatArray:
    """Return a learning rate, or one for each sample, as an array.

    Raises
    ------
    ValueError
        If it is neither a number nor one-dimensional, or negative or infinite.
    """
    array = np.asarray(rates, np.float64)
    if array.ndim > 1 or not (np.isfinite(array) & (array >= 0)).all():
        raise ValueError(
            f"{name} must be a finite non-negative number or an array (n_samples,) of them, "
            f"got shape {array.shape}."
        )
    return array
