"""From a drawing to what the page draws: one presentation, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.special import logsumexp

from softhebb_spiking import theory
from softhebb_spiking.backends.event import simulate
from softhebb_spiking.params import NetworkParams
from softhebb_spiking.spiking import SpikingSoftHebb
from softhebb_spiking.validation import FloatArray, IntArray

MAX_ROWS = 12  # populations with a row of their own; the others share the last
MAX_LINES = 4  # of them, those whose rate is drawn
SMOOTHING_MS = 2.0
_DECIMALS = 5


@dataclass(frozen=True, kw_only=True)
class Presentation:
    """What a network did while it saw one sample.

    Attributes
    ----------
    params : NetworkParams
        The network.
    output_spikes : ndarray of shape (n_spikes, 2)
        Rows (step, population), steps from the onset, settling included.
    spike_counts : ndarray of shape (n_units,)
        Output spikes in the steps that are read.
    inhibition, log_normalizer : ndarray of shape (n_steps,)
        h and log Σ_k exp(u_k/τ + b_k) in the steps that are read, nats.
    softmax : ndarray of shape (n_units,)
        The posterior of the rate equations for the same sample and weights.
    """

    params: NetworkParams
    output_spikes: IntArray
    spike_counts: IntArray
    inhibition: FloatArray
    log_normalizer: FloatArray
    softmax: FloatArray

    @property
    def spike_shares(self) -> FloatArray:
        """The posterior as read from spikes, shape (n_units,); uniform if there were none."""
        total = self.spike_counts.sum()
        if total == 0:
            return np.full(self.params.n_units, 1.0 / self.params.n_units)
        return np.asarray(self.spike_counts / total)

    @property
    def ranking(self) -> IntArray:
        """Populations by spike count, the most active first; ties by their softmax."""
        return np.asarray(np.lexsort((-self.softmax, -self.spike_counts)))


def present(network: SpikingSoftHebb, sample: FloatArray, *, draw: int = 0) -> Presentation:
    """Show one sample to a network that does not learn from it.

    Parameters
    ----------
    network : SpikingSoftHebb
        Fitted, with an integer `random_state`: the same call then draws the same spikes.
    sample : ndarray of shape (n_features,)
        Non-negative, not all zero.
    draw : int
        Number of the stream of random numbers; another one draws other spikes.

    Returns
    -------
    Presentation

    Raises
    ------
    TypeError, ValueError
        If the sample is not accepted.
    """
    run = network.make_run(sample[np.newaxis], probes=("drive", "inhibition"))
    run = replace(run, first_sample=draw)
    result = simulate(run)
    logits = result.probes["drive"][0] / run.network.temperature + run.log_prior
    u = theory.drive(run.samples[0], run.weights)
    return Presentation(
        params=run.network,
        output_spikes=result.output_spikes[:, 1:],
        spike_counts=result.spike_counts[0],
        inhibition=result.probes["inhibition"][0],
        log_normalizer=np.asarray(logsumexp(logits, axis=1)),
        softmax=theory.posterior(u, run.log_prior, run.network.temperature),
    )


def population_rates(
    output_spikes: IntArray, populations: IntArray, params: NetworkParams
) -> FloatArray:
    """Return the mean rate of a population's neurons over time, smoothed.

    Parameters
    ----------
    output_spikes : ndarray of shape (n_spikes, 2)
        Rows (step, population).
    populations : ndarray of shape (n_populations,)
        Which.
    params : NetworkParams
        The network.

    Returns
    -------
    ndarray of shape (n_populations, presentation_steps)
        n_k / (M dt), Hz, under a Gaussian of `SMOOTHING_MS` standard deviation. Mirrored at the
        ends, it keeps the number of spikes.
    """
    steps = np.arange(params.presentation_steps + 1)
    counts = np.array(
        [
            np.histogram(output_spikes[output_spikes[:, 1] == unit, 0], steps)[0]
            for unit in populations
        ],
        dtype=np.float64,
    )
    rates = counts / (params.population_size * params.dt_ms * 1e-3)
    return np.asarray(gaussian_filter1d(rates, SMOOTHING_MS / params.dt_ms, axis=1))


def grey_images(weights: FloatArray) -> bytes:
    """Return receptive fields as bytes, unit by unit: 255 is a unit's largest weight, 0 is none."""
    positive = np.clip(weights, 0.0, None)
    peak = positive.max(axis=1, keepdims=True)
    scaled = positive / np.where(peak > 0.0, peak, 1.0)
    return bytes(np.rint(255.0 * scaled).astype(np.uint8).tobytes())


def as_message(shown: Presentation, class_given_unit: FloatArray | None = None) -> dict[str, Any]:
    """Return a presentation as the page wants it, ready for JSON.

    Parameters
    ----------
    shown : Presentation
        What happened.
    class_given_unit : ndarray of shape (n_units, n_classes), optional
        P(c | k), to name classes.

    Returns
    -------
    dict
        The most active populations in order; what the others did has row ``len(populations)``.
    """
    rows = shown.ranking[:MAX_ROWS]
    shares, softmax = shown.spike_shares, shown.softmax
    rates = population_rates(shown.output_spikes, rows[:MAX_LINES], shown.params)
    message = {
        "n_spikes": int(shown.spike_counts.sum()),
        "populations": rows.tolist(),
        "spike_counts": shown.spike_counts[rows].tolist(),
        "spike_shares": _rounded([*shares[rows], _rest(shares, rows)]),
        "softmax": _rounded([*softmax[rows], _rest(softmax, rows)]),
        "total_variation": round(0.5 * float(np.abs(shares - softmax).sum()), _DECIMALS),
        "spikes": _raster(shown.output_spikes, rows, shown.params.n_units),
        "rates_hz": _rounded(rates),
        "inhibition": _rounded(shown.inhibition),
        "log_normalizer": _rounded(shown.log_normalizer),
    }
    if class_given_unit is not None:
        message["class_from_spikes"] = _rounded(shares @ class_given_unit)
        message["class_from_softmax"] = _rounded(softmax @ class_given_unit)
    return message


def _rest(posterior: FloatArray, rows: IntArray) -> float:
    return max(0.0, 1.0 - float(posterior[rows].sum()))


def _raster(output_spikes: IntArray, rows: IntArray, n_units: int) -> list[list[int]]:
    """Return (step, row, spikes) of every step and row in which there were any."""
    row_of = np.full(n_units, len(rows))
    row_of[rows] = np.arange(len(rows))
    placed = np.column_stack([output_spikes[:, 0], row_of[output_spikes[:, 1]]])
    found, counts = np.unique(placed, axis=0, return_counts=True)
    return np.column_stack([found, counts]).tolist()  # type: ignore[no-any-return]


def _rounded(values: Any) -> Any:
    return np.round(np.asarray(values, dtype=np.float64), _DECIMALS).tolist()
