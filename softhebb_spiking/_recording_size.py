"""How large a recording will be, told before it is run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from softhebb_spiking.params import Run, RunResult
from softhebb_spiking.validation import check_real

_PILOT_SAMPLES = 8
_BYTES = 8  # of an integer or a float
_ROW = 3 * _BYTES  # of a spike


def expected_bytes(run: Run, spikes_per_step: float) -> float:
    """Return how large the recording of a run will be.

    Parameters
    ----------
    run : Run
        What would be run. Inputs fire with probability p_i in every step.
    spikes_per_step : float
        Output spikes of the whole layer.

    Returns
    -------
    float
        Bytes of spikes, probes, counts and weights.
    """
    net, n_samples = run.network, len(run.samples)
    rows = 0.0
    for given, drawn in (
        (run.input_spikes, _input_rate(run) * net.presentation_steps),
        (run.output_spikes, spikes_per_step * n_samples * net.presentation_steps),
    ):
        rows += drawn if given is None else len(given)
    numbers = sum(math.prod(shape) for shape in run.probe_shapes().values())
    numbers += n_samples * net.n_units + run.weights.size + run.log_prior.size
    return rows * _ROW + numbers * _BYTES


def check_size(run: Run, max_gb: float, simulate: Callable[[Run], RunResult]) -> None:
    """Raise unless the recording of a run is expected to stay within a limit.

    Inhibition meets `total_rate` only after the burst at onset, which on digits makes 11 times as
    many spikes in all (MNIST: 3 times; 100 units, default parameters). If it is neither certain
    that even that is too much, nor that all neurons firing in every step would not be, a few
    samples are run to see.

    Parameters
    ----------
    run : Run
        What would be run.
    max_gb : float
        Gigabytes (10⁹ bytes) that are accepted.
    simulate : callable
        Runs a run.

    Raises
    ------
    MemoryError
        If it would take more; the message has the way out.
    """
    check_real("max_gb", max_gb, 0.0, low_open=True)
    net = run.network
    if expected_bytes(run, net.n_units * net.population_size) <= 1e9 * max_gb:
        return
    expected = expected_bytes(run, net.total_rate)
    if expected <= 1e9 * max_gb and net.inhibition != "exact" and run.output_spikes is None:
        expected = expected_bytes(run, _measured_rate(run, simulate))
    if expected > 1e9 * max_gb:
        raise MemoryError(
            f"the recording of {len(run.samples)} samples would take about {expected / 1e9:.3g} "
            f"GB, more than max_gb={max_gb:g}. Write it to disk part by part with "
            "softhebb_spiking.recording_parts.record_in_parts(model, X, folder), ask for fewer "
            "samples or probes, or raise max_gb."
        )


def _input_rate(run: Run) -> float:
    """Return Σ p_i over the inputs of all samples, spikes per step."""
    peak = run.samples.max(axis=1)
    return float(run.network.max_probability * (run.samples.sum(axis=1) / peak).sum())


def _measured_rate(run: Run, simulate: Callable[[Run], RunResult]) -> float:
    """Return the output spikes per step of the first samples."""
    n_samples = min(len(run.samples), _PILOT_SAMPLES)
    given = run.input_spikes
    pilot = replace(
        run,
        samples=run.samples[:n_samples],
        learning_rates=np.zeros(n_samples),
        prior_learning_rates=np.zeros(n_samples),
        input_spikes=None if given is None else given[given[:, 0] < n_samples],
        probes=(),
    )
    n_spikes = len(simulate(pilot).output_spikes)
    return n_spikes / (n_samples * run.network.presentation_steps)
