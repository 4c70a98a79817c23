"""A source of input spikes whose rates are the features of a sample."""

from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort

from softhebb_spiking.fixed_network import FixedNetwork
from softhebb_spiking.params import NetworkParams
from softhebb_spiking.processes.base import CheckedProcess
from softhebb_spiking.validation import FloatArray, IntArray, check_integer


class RateEncoder(CheckedProcess):
    """Show samples one after the other as Bernoulli spikes.

    In step j of a presentation input i sends a graded spike with probability
    p_i = p_max x_i / max(x). Its payload is the height g of one postsynaptic potential, such that
    the trace of the spikes is x_i in the mean over the steps that are read; see
    `softhebb_spiking.encoding.psp_gain`. In the reset step, and after the last sample, the encoder
    is silent.

    The random numbers are those of `softhebb_spiking.encoding`, keyed by seed, sample and step.

    Parameters
    ----------
    params : NetworkParams
        The network.
    samples : ndarray of shape (n_samples, n_features), optional
        Non-negative samples. Without them, the encoder takes a sample from `x_in` at each onset.
    seed : int
        Key of the random numbers.
    first_sample : int
        Number of the first sample in the random number stream.
    input_spikes : ndarray of shape (n_spikes, 3), optional
        Rows (sample, step, index) to be sent instead of drawn spikes.
    fixed : FixedNetwork, optional
        The integers of the network, for models tagged "fixed_pt". Payloads are even integers
        whose mean is the height of a PSP; samples have to be given, since thresholds and payloads
        are made before the first step.
    record_to : str, optional
        Directory in which the spikes are recorded.
    name : str, optional
        Name of the Process.
    log_config : LogConfig, optional
        Lava's logging options.

    Attributes
    ----------
    x_in : InPort of shape (n_features,)
        Samples, if none were given; read in each step, used at onsets.
    s_out : OutPort of shape (n_features,)
        Graded spikes.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit the network.
    """

    def __init__(
        self,
        *,
        params: NetworkParams,
        samples: FloatArray | None = None,
        seed: int = 0,
        first_sample: int = 0,
        input_spikes: IntArray | None = None,
        fixed: FixedNetwork | None = None,
        record_to: str | None = None,
        name: str | None = None,
        log_config: Any = None,
    ) -> None:
        check_integer("seed", seed, 0, 2**64 - 1)
        check_integer("first_sample", first_sample, 0)
        if samples is None and fixed is not None:
            raise ValueError(
                "a RateEncoder in integers needs samples: their rates become integers before the "
                "first step. In floating point they can be streamed to x_in."
            )
        if samples is not None:
            samples = np.asarray(samples, dtype=np.float64)
            if samples.ndim != 2 or samples.shape[1] != params.n_features:
                raise ValueError(
                    f"samples must have shape (n_samples, {params.n_features}), "
                    f"got {samples.shape}."
                )
            if (samples < 0).any() or not np.isfinite(samples).all():
                raise ValueError("samples must be finite and non-negative: they become rates.")
        super().__init__(
            params=params,
            samples=samples,
            seed=seed,
            first_sample=first_sample,
            input_spikes=input_spikes,
            fixed=fixed,
            record_to=record_to,
            name=name,
            log_config=log_config,
        )
        self.x_in = InPort(shape=(params.n_features,))
        self.s_out = OutPort(shape=(params.n_features,))
