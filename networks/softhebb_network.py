"""The whole network: input spikes, a SoftHebb layer, and a count of its spikes."""

from typing import Any

from softhebb_spiking.fixed_network import fixed_network_of
from softhebb_spiking.networks import supervision
from softhebb_spiking.networks.watched_network import WatchedNetwork
from softhebb_spiking.params import Run
from softhebb_spiking.processes import RateEncoder, SoftHebbLayer, SpikeCounter
from softhebb_spiking.processes.presentation import lava_steps


class SoftHebbNetwork(WatchedNetwork):
    """Encoder, layer and counter, connected, with the samples of one run.

    Parameters
    ----------
    run : Run
        The network, its state at the start, and what it is shown.
    record_to : str, optional
        Directory in which the models record spikes, counts, probes, log prior and weights.
    log_config : LogConfig, optional
        Lava's logging options.

    Attributes
    ----------
    fixed : FixedNetwork or None
        The integers of the network, if the run is in fixed point: then the Vars hold integers.
    encoder : RateEncoder
    layer : SoftHebbLayer
    counter : SpikeCounter

    Examples
    --------
    with SoftHebbNetwork(run) as network:
        network.present()
        counts = network.counter.counts.get()
        weights = network.layer.weights.get()
    """

    def __init__(self, run: Run, *, record_to: str | None = None, log_config: Any = None) -> None:
        params, n_samples = run.network, len(run.samples)
        self.run = run
        self.fixed = None if run.fixed is None else fixed_network_of(run)
        self.encoder = RateEncoder(
            params=params,
            samples=run.samples,
            seed=run.seed,
            first_sample=run.first_sample,
            input_spikes=run.input_spikes,
            fixed=self.fixed,
            record_to=record_to if run.keep_spikes else None,
            log_config=log_config,
        )
        self.layer = SoftHebbLayer(
            params=params,
            weights=run.weights,
            log_prior=run.log_prior,
            learning_rates=run.learning_rates,
            prior_learning_rates=run.prior_learning_rates,
            seed=run.seed,
            first_sample=run.first_sample,
            output_spikes=run.output_spikes,
            fixed=self.fixed,
            n_samples=n_samples,
            record_to=record_to,
            probes=run.probes,
            log_config=log_config,
        )
        self.counter = SpikeCounter(
            params=params,
            n_samples=n_samples,
            record_to=record_to,
            record_spikes=run.keep_spikes,
            log_config=log_config,
        )
        self.encoder.s_out.connect(self.layer.s_in)
        self.layer.s_out.connect(self.counter.s_in)
        super().__init__(
            self.encoder,
            lava_steps(params, n_samples),
            fixed=self.fixed is not None,
            timeout_s=supervision.default_timeout_s(run),
            description=supervision.describe(run),
        )
