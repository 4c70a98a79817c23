"""The whole network: input spikes, a SoftHebb layer, and a count of its spikes."""

from types import TracebackType
from typing import Any

from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg

from softhebb_spiking.params import Run
from softhebb_spiking.processes import RateEncoder, SoftHebbLayer, SpikeCounter
from softhebb_spiking.processes.presentation import lava_steps


class SoftHebbNetwork:
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
        self.encoder = RateEncoder(
            params=params,
            samples=run.samples,
            seed=run.seed,
            first_sample=run.first_sample,
            input_spikes=run.input_spikes,
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

    def present(self) -> None:
        """Show all samples; blocks until the last one has been shown.

        Raises
        ------
        RuntimeError
            If a model fails.
        """
        steps = lava_steps(self.run.network, len(self.run.samples))
        config = Loihi2SimCfg(select_tag="floating_pt")
        self.encoder.run(condition=RunSteps(num_steps=steps), run_cfg=config)

    def stop(self) -> None:
        """End the run and all its operating system processes."""
        self.encoder.stop()

    def __enter__(self) -> "SoftHebbNetwork":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
