"""Reads a layer by counting its spikes."""

from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import InPort
from lava.magma.core.process.variable import Var

from softhebb_spiking.params import NetworkParams
from softhebb_spiking.processes.base import CheckedProcess
from softhebb_spiking.validation import check_integer


class SpikeCounter(CheckedProcess):
    """Count the output spikes of each population while a sample is read.

    Parameters
    ----------
    params : NetworkParams
        The network.
    n_samples : int
        Presentations to count; later ones are ignored.
    record_to : str, optional
        Directory in which the counts are recorded.
    record_spikes : bool
        Whether all spikes are recorded too, those while settling included.
    name : str, optional
        Name of the Process.
    log_config : LogConfig, optional
        Lava's logging options.

    Attributes
    ----------
    s_in : InPort of shape (n_units,)
        Output spikes of each population.
    counts : Var of shape (n_samples, n_units)
        Spikes in the steps that are read.
    """

    def __init__(
        self,
        *,
        params: NetworkParams,
        n_samples: int,
        record_to: str | None = None,
        record_spikes: bool = False,
        name: str | None = None,
        log_config: Any = None,
    ) -> None:
        check_integer("n_samples", n_samples, 1)
        super().__init__(
            params=params,
            n_samples=n_samples,
            record_to=record_to,
            record_spikes=record_spikes,
            name=name,
            log_config=log_config,
        )
        self.s_in = InPort(shape=(params.n_units,))
        self.counts = Var(
            shape=(n_samples, params.n_units), init=np.zeros((n_samples, params.n_units))
        )
