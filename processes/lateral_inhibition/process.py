"""The pool of inhibition that all populations of a layer share."""

from typing import Any

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.variable import Var

from softhebb_spiking.fixed_network import FixedNetwork
from softhebb_spiking.params import NetworkParams
from softhebb_spiking.processes.base import CheckedProcess


class LateralInhibition(CheckedProcess):
    """Find the inhibition h that keeps the layer at its total rate.

    In each step the pool first sends what it knows from the step before, then listens. From what it
    hears it finds the error e, in nats, by which the layer missed its total rate, corrects h, and
    goes on by the trend v of its recent corrections, which fades with the PSP's decay d:

        v ← d v + (1 − d) κ e,    h ← h + κ e + v

    `params.inhibition` says what it hears:

    - "feedback": spikes only. e = log((N + ½) / (r + ½)) with their number N.
    - "graded": also each population's intensity e^(u_k/τ + b_k − h) as one graded message, a
      mantissa and an exponent of base 2. They are added up, e is the logarithm of the sum, κ = 1.
    - "exact": an oracle, not local. It sees the drives and answers h = log Σ_k e^(u_k/τ + b_k)
      within the step.

    In the reset step h and v return to 0.

    Parameters
    ----------
    params : NetworkParams
        The network; its `inhibition` chooses the mode.
    fixed : FixedNetwork, optional
        The integers of the network, for models tagged "fixed_pt".
    name : str, optional
        Name of the Process.
    log_config : LogConfig, optional
        Lava's logging options.

    Attributes
    ----------
    s_in : InPort of shape (n_units,)
        Output spikes of each population.
    intensity_in : InPort of shape (2, n_units) or (n_units,)
        With "graded" exponents and mantissas, with "exact" the log intensities, nats; with
        "feedback" to be left unconnected.
    pool_out : OutPort of shape (2,)
        h in nats and N in spikes, of the previous step.
    h_out : OutPort of shape (1,)
        With "exact": h of this step.
    h, trend : Var of shape (1,)
        The inhibition, and the trend v of its corrections, nats. In integers all logarithms are in
        units of 2⁻¹² octaves.
    """

    def __init__(
        self,
        *,
        params: NetworkParams,
        fixed: FixedNetwork | None = None,
        name: str | None = None,
        log_config: Any = None,
    ) -> None:
        super().__init__(params=params, fixed=fixed, name=name, log_config=log_config)
        self.s_in = InPort(shape=(params.n_units,))
        self.intensity_in = InPort(shape=intensity_shape(params))
        self.pool_out = OutPort(shape=(2,))
        self.h_out = OutPort(shape=(1,))
        self.h = Var(shape=(1,), init=0)
        self.trend = Var(shape=(1,), init=0)


def intensity_shape(params: NetworkParams) -> tuple[int, ...]:
    """Return the shape of the messages by which populations tell the pool their intensity."""
    return (2, params.n_units) if params.inhibition == "graded" else (params.n_units,)
