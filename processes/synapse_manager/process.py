"""Access to plastic synapses between learning epochs."""

from typing import Any

from lava.magma.core.process.ports.ports import RefPort

from softhebb_spiking.params import NetworkParams
from softhebb_spiking.processes.base import CheckedProcess
from softhebb_spiking.validation import check_integer


class SynapseManager(CheckedProcess):
    """Reset the presynaptic traces between samples, and read traces and weights as whole arrays.

    It acts in the management phase of a step, after learning, where a chip leaves its synapses to
    an embedded processor; it takes no part in the spiking phase and sends no messages.

    Parameters
    ----------
    params : NetworkParams
        The network.
    n_samples : int, optional
        If given, weights are recorded after this many presentations.
    record_to : str, optional
        Directory in which to record.
    record_psp : bool
        Whether the traces are recorded in every step that is read.
    name : str, optional
        Name of the Process.
    log_config : LogConfig, optional
        Lava's logging options.

    Attributes
    ----------
    x1 : RefPort of shape (n_features,)
        To be connected to the Var `x1` of a `LearningDense`.
    weights : RefPort of shape (n_units, n_features)
        To be connected to its Var `weights`.
    """

    def __init__(
        self,
        *,
        params: NetworkParams,
        n_samples: int | None = None,
        record_to: str | None = None,
        record_psp: bool = False,
        name: str | None = None,
        log_config: Any = None,
    ) -> None:
        if n_samples is not None:
            check_integer("n_samples", n_samples, 1)
        super().__init__(
            params=params,
            n_samples=n_samples,
            record_to=record_to,
            record_psp=record_psp,
            name=name,
            log_config=log_config,
        )
        self.x1 = RefPort(shape=(params.n_features,))
        self.weights = RefPort(shape=(params.n_units, params.n_features))
