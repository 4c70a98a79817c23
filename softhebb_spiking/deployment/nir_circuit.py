"""The LIF circuit of a layer as a graph of the Neuromorphic Intermediate Representation."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from softhebb_spiking.circuit import psp_height
from softhebb_spiking.circuit_constants import circuit_constants
from softhebb_spiking.circuit_params import CircuitRun, LifCircuitParams
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.spiking import SpikingSoftHebb
from softhebb_spiking.validation import FloatArray

_MS = 1e-3
MAX_BYTES = 2_000_000_000  # of a graph's matrices
NODES = {
    "input": "Input",
    "weights": "Linear",
    "fan_out": "Linear",
    "background": "Linear",
    "excitatory": "CubaLIF",
    "inputs_to_pool": "Linear",
    "to_pool": "Linear",
    "inhibitory": "CubaLIF",
    "inhibition": "Linear",
    "populations": "Linear",
    "output": "Output",
}
EDGES = [
    ("input", "weights"),
    ("weights", "fan_out"),
    ("fan_out", "excitatory"),
    ("input", "background"),
    ("background", "excitatory"),
    ("input", "inputs_to_pool"),
    ("inputs_to_pool", "inhibitory"),
    ("excitatory", "to_pool"),
    ("to_pool", "inhibitory"),
    ("inhibitory", "inhibition"),
    ("inhibition", "excitatory"),
    ("excitatory", "populations"),
    ("populations", "output"),
]


def require_nir() -> ModuleType:
    """Return the package nir, or raise ImportError with the line that installs it."""
    try:
        import nir  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(
            "NIR files need the package nir, which is not installed. Install it with\n"
            '    pip install "softhebb-spiking[exchange]"'
        ) from error
    found: ModuleType = nir
    return found


def check_size(circuit: LifCircuitParams) -> None:
    """Raise ValueError if the matrices of a graph, which NIR holds densely, would be too large."""
    n_inputs = circuit.n_features + circuit.n_background
    of_neurons = n_inputs + 2 * circuit.n_units + 64
    n_bytes = 8 * (circuit.n_neurons * of_neurons + circuit.n_units * n_inputs)
    if n_bytes > MAX_BYTES:
        fits = (MAX_BYTES // 8 - circuit.n_units * n_inputs) // (circuit.n_units * of_neurons)
        mend = f"population_size={fits} fits" if fits > 0 else "no population_size fits"
        raise ValueError(
            f"NIR holds every matrix densely: {n_bytes / 1e9:.1f} GB for {circuit.n_units} units "
            f"of {circuit.population_size} neurons, more than {MAX_BYTES / 1e9:g} GB; {mend}."
        )


def circuit_graph(
    model: SoftHebb | SpikingSoftHebb,
    circuit: LifCircuitParams,
    *,
    seed: int = 0,
    metadata: dict[str, Any] | None = None,
) -> Any:
    """Return the LIF circuit of a layer as a NIR graph.

    Its input has a channel for each feature and then one for each source of background spikes; its
    output counts the spikes of each population. NIR has no time step: simulators that take Euler
    steps of `dt_ms` run exactly this circuit. Time is in seconds, voltage in nats.

    Parameters
    ----------
    model : SoftHebb or SpikingSoftHebb
        A fitted estimator.
    circuit : LifCircuitParams
        The circuit.
    seed : int
        Key of the background synapses.
    metadata : dict, optional
        Of the graph.

    Returns
    -------
    nir.NIRGraph
    """
    nir = require_nir()
    run = CircuitRun(
        circuit=circuit,
        weights=model.weights_,
        samples=np.zeros((0, circuit.n_features)),
        log_prior=model.log_prior_,
        seed=seed,
    )
    constants = circuit_constants(run)
    n_features, n_background = circuit.n_features, circuit.n_background
    excitatory, inhibitory = constants.excitatory, constants.inhibitory

    def of_features(weights: FloatArray) -> FloatArray:
        return np.hstack([weights, np.zeros((len(weights), n_background))])

    def neurons(given: Any, thresholds: FloatArray) -> Any:
        shape = np.ones_like(thresholds)
        tau_syn = circuit.dt_ms * _MS / given.du
        return nir.CubaLIF(
            tau_syn=tau_syn * shape,
            tau_mem=circuit.dt_ms * _MS * shape,
            r=shape,
            v_leak=0.0 * shape,
            v_threshold=thresholds,
            v_reset=0.0 * shape,
            w_in=shape / given.du,
        )

    of_units = np.repeat(np.eye(circuit.n_units), circuit.population_size, axis=0)
    of_background = constants.background.weights.toarray()
    n_neurons = circuit.n_neurons
    per_weight = constants.dendrite_factor * psp_height(circuit)
    nodes = {
        "input": nir.Input(input_type={"input": np.array([n_features + n_background])}),
        "weights": nir.Linear(of_features(model.weights_)),
        "fan_out": nir.Linear(of_units * per_weight),
        "background": nir.Linear(np.hstack([np.zeros((n_neurons, n_features)), of_background])),
        "excitatory": neurons(excitatory, excitatory.vth - np.asarray(excitatory.bias)),
        "inputs_to_pool": nir.Linear(of_features(constants.inputs_to_pool.weights)),
        "to_pool": nir.Linear(constants.to_pool.weights),
        "inhibitory": neurons(inhibitory, inhibitory.vth - np.asarray(inhibitory.bias)),
        "inhibition": nir.Linear(constants.inhibition.weights),
        "populations": nir.Linear(of_units.T.copy()),
        "output": nir.Output(output_type={"output": np.array([circuit.n_units])}),
    }
    return nir.NIRGraph(nodes, list(EDGES), metadata={} if metadata is None else metadata)
