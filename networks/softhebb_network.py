"""The whole network: input spikes, a SoftHebb layer, and a count of its spikes."""

from types import TracebackType
from typing import Any

from lava.magma.core.run_conditions import RunSteps

from softhebb_spiking.fixed_network import fixed_network_of
from softhebb_spiking.networks import supervision
from softhebb_spiking.networks.targets import run_configuration
from softhebb_spiking.params import Run
from softhebb_spiking.processes import RateEncoder, SoftHebbLayer, SpikeCounter
from softhebb_spiking.processes.presentation import lava_steps
from softhebb_spiking.validation import check_real


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
        self._ended = False
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

    def present(self, *, timeout_s: float | None = None) -> None:
        """Show all samples; blocks until the last one has been shown.

        Whatever it raises, also KeyboardInterrupt, it has ended the network before.

        Parameters
        ----------
        timeout_s : float, optional
            Seconds after which the run is given up; by default many times what it should take.

        Raises
        ------
        RuntimeError
            If a model fails, with its traceback; or if the network has ended.
        TimeoutError
            If the run does not end in time.
        """
        if timeout_s is None:
            timeout_s = supervision.default_timeout_s(self.run)
        check_real("timeout_s", timeout_s, 0.0, low_open=True)
        if self._ended:
            raise RuntimeError("This network has ended; build another one.")
        steps, config = self._steps_and_config()
        try:
            supervision.run_watched(
                self.encoder, steps, config, timeout_s, supervision.describe(self.run)
            )
        except BaseException:
            self._end()
            raise

    def present_unwatched(self) -> None:
        """Show all samples; if a model fails, this may wait for ever.

        For callers that watch the run themselves.
        """
        steps, config = self._steps_and_config()
        self.encoder.run(condition=RunSteps(num_steps=steps), run_cfg=config)

    def _steps_and_config(self) -> tuple[int, Any]:
        steps = lava_steps(self.run.network, len(self.run.samples))
        target = "simulation-float" if self.fixed is None else "simulation-fixed"
        return steps, run_configuration(target)

    def stop(self) -> None:
        """End the run and all its operating system processes."""
        if self._ended or supervision.model_failure(self.encoder) is not None:
            self._end()
            return
        try:
            self.encoder.stop()
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        """End the run without waiting for its models."""
        self._ended = True
        supervision.end(self.encoder)

    def __enter__(self) -> "SoftHebbNetwork":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.stop()
        else:
            self._end()
