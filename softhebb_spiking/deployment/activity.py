"""What a layer does while it is shown samples: spikes and synaptic operations, measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softhebb_spiking.circuit import counting_thresholds, current_decay
from softhebb_spiking.circuit_params import LifCircuitParams
from softhebb_spiking.deployment.layout import Layout
from softhebb_spiking.recording import Recording


@dataclass(frozen=True)
class Activity:
    """What happens in a presentation, in the mean over samples of a recording.

    Attributes
    ----------
    n_samples : int
        Samples that were measured.
    spikes, synaptic_operations : dict of str to float
        By population, and by projection ("pre → post").
    weight_updates : float
        Weights that a learning rule changes.
    """

    n_samples: int
    spikes: dict[str, float]
    synaptic_operations: dict[str, float]
    weight_updates: float


def measured_activity(
    layout: Layout, recording: Recording, circuit: LifCircuitParams | None = None
) -> Activity:
    """Return spikes and synaptic operations per sample, from what a layer did.

    Parameters
    ----------
    layout : Layout
        The network.
    recording : Recording
        Of inputs and units, all steps.
    circuit : LifCircuitParams, optional
        In a LIF circuit, how the inhibitory pool answers to the units' spikes, and how often
        background spikes arrive.

    Returns
    -------
    Activity
    """
    n_samples = len(recording.spike_counts)
    per_sample = 1.0 / n_samples
    outputs = recording.output_spikes
    spikes = {
        "inputs": len(recording.input_spikes) * per_sample,
        "units": len(outputs) * per_sample,
        "pool": float(layout.steps),
    }
    if layout.form == "circuit":
        if circuit is None:
            raise ValueError("the activity of a LIF circuit needs its parameters, circuit=...")
        moments = np.unique(outputs[:, :2], axis=0, return_counts=True)[1]
        counting = np.searchsorted(counting_thresholds(circuit), moments, side="right").sum()
        feed_forward = (
            layout.populations["inhibitory"].n_neurons - counting_thresholds(circuit).size
        )
        spikes = {
            "inputs": spikes["inputs"],
            "excitatory": spikes["units"],
            "dendrites": float(layout.steps * circuit.n_units),
            "inhibitory": counting * per_sample + feed_forward * layout.steps,
            "background": layout.steps
            * circuit.n_background
            * (1.0 - current_decay(circuit))
            / circuit.background_fan_in,
        }
    operations = {
        f"{item.pre} → {item.post}": spikes[item.pre] * layout.fan_out(item)
        for item in layout.projections
    }
    plastic = sum(item.fan_in for item in layout.projections if item.plastic)
    used = {name: count for name, count in spikes.items() if name in layout.populations}
    return Activity(n_samples, used, operations, len(outputs) * per_sample * plastic)
