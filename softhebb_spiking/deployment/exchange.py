"""Trained layers in formats that others read: NIR graphs, and numpy archives."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from softhebb_spiking.circuit import psp_height
from softhebb_spiking.circuit_constants import circuit_constants
from softhebb_spiking.circuit_params import CircuitRun, LifCircuitParams
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.serialization import check_writable_file, params_as_json, write_whole
from softhebb_spiking.spiking import SpikingSoftHebb
from softhebb_spiking.validation import FloatArray, check_choice

FORMATS = ("nir", "npz")
RULE = "dw_k = eta * y_k * (x - (w_k . x) * w_k),  y = softmax(w . x / temperature + log_prior)"
_FORMAT = "softhebb-spiking exchange 1"
_MS = 1e-3
_NODES = {
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
_EDGES = [
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


def export_model(
    model: SoftHebb | SpikingSoftHebb,
    path: str | Path,
    form: str,
    circuit: LifCircuitParams | None = None,
    *,
    seed: int = 0,
) -> None:
    """Write a trained layer for other programs; the file appears whole or not at all.

    Parameters
    ----------
    model : SoftHebb or SpikingSoftHebb
        A fitted estimator.
    path : str or Path
        File to write.
    form : {"nir", "npz"}
        "nir": the layer as a LIF circuit, a recurrent graph of the Neuromorphic Intermediate
        Representation; "npz": weights, log prior and parameters.
    circuit : LifCircuitParams, optional
        For "nir": the circuit.
    seed : int
        For "nir": key of the background synapses.

    Raises
    ------
    ValueError
        If the format is unknown, or "nir" has no circuit.
    ImportError
        If "nir" is asked for and not installed.
    OSError
        If the file cannot be written.
    """
    check_choice("format", form, FORMATS)
    if form == "nir":
        if circuit is None:
            raise ValueError("format 'nir' needs a circuit; circuit_for_samples makes one.")
        content = _nir_bytes(circuit_graph(model, circuit, seed=seed))
    else:
        content = _npz_bytes(model)
    check_writable_file(path)
    write_whole(path, content)


def import_model(path: str | Path) -> tuple[Any, LifCircuitParams | None]:
    """Read what `export_model` wrote.

    Parameters
    ----------
    path : str or Path
        A NIR or npz file.

    Returns
    -------
    model : SoftHebb or SpikingSoftHebb
        With the same weights, log prior and parameters.
    circuit : LifCircuitParams or None
        Of a NIR file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is of neither format, or has other nodes than an exported circuit.
    ImportError
        If it is a NIR file, and nir is not installed.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no file at {path}; write one with softhebb-spiking export.")
    with file.open("rb") as opened:
        magic = opened.read(8)
    if magic.startswith(b"\x89HDF"):
        return _from_graph(_read_graph(file), file)
    if magic.startswith(b"PK"):
        return _from_npz(file), None
    raise ValueError(f"{path} is neither a NIR file (HDF5) nor an npz archive.")


def circuit_graph(
    model: SoftHebb | SpikingSoftHebb, circuit: LifCircuitParams, *, seed: int = 0
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

    Returns
    -------
    nir.NIRGraph
    """
    nir = _require_nir()
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
    return nir.NIRGraph(nodes, list(_EDGES), metadata=_metadata(model, circuit))


def _metadata(model: Any, circuit: LifCircuitParams | None) -> dict[str, Any]:
    """Return what a graph of neurons does not say: rule, temperature, prior and parameters."""
    return {
        "format": _FORMAT,
        "rule": RULE,
        "temperature": float(model.temperature),
        "class": type(model).__name__,
        "params": params_as_json(model),
        "n_samples_seen": int(model.n_samples_seen_),
        "log_prior": np.asarray(model.log_prior_),
        "circuit": json.dumps(None if circuit is None else asdict(circuit)),
    }


def _require_nir() -> ModuleType:
    try:
        import nir  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(
            "NIR files need the package nir, which is not installed. Install it with\n"
            '    pip install "softhebb-spiking[exchange]"'
        ) from error
    found: ModuleType = nir
    return found


def _nir_bytes(graph: Any) -> bytes:
    file = io.BytesIO()
    _require_nir().write(file, graph)
    return file.getvalue()


def _npz_bytes(model: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, weights=model.weights_, **_metadata(model, None))
    return file.getvalue()


def _read_graph(file: Path) -> Any:
    try:
        return _require_nir().read(file)
    except (OSError, KeyError, ValueError, TypeError, AssertionError) as error:
        raise ValueError(f"{file} is not a NIR graph that can be read: {error!r}") from error


def _from_graph(graph: Any, file: Path) -> tuple[Any, LifCircuitParams]:
    found = {name: type(node).__name__ for name, node in getattr(graph, "nodes", {}).items()}
    foreign = [f"{name} ({kind})" for name, kind in found.items() if _NODES.get(name) != kind]
    missing = [f"{name} ({kind})" for name, kind in _NODES.items() if name not in found]
    metadata = getattr(graph, "metadata", {})
    if foreign or missing or _text(metadata.get("format")) != _FORMAT:
        raise ValueError(
            f"{file} is not a circuit exported by this package. Unknown nodes: "
            f"{', '.join(foreign) or 'none'}; missing: {', '.join(missing) or 'none'}; format "
            f"{_text(metadata.get('format'))!r}, expected {_FORMAT!r}. Only what "
            "softhebb-spiking export wrote can be imported."
        )
    circuit = LifCircuitParams(**json.loads(_text(metadata["circuit"])))
    weights = np.asarray(graph.nodes["weights"].weight)[:, : circuit.n_features]
    return _model(metadata, np.ascontiguousarray(weights)), circuit


def _from_npz(file: Path) -> Any:
    try:
        with np.load(file, allow_pickle=False) as archive:
            metadata = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} is not an npz archive that can be read: {error}") from error
    if _text(metadata.get("format")) != _FORMAT:
        raise ValueError(
            f"{file} was not exported by this package: its format is "
            f"{_text(metadata.get('format'))!r}, expected {_FORMAT!r}."
        )
    return _model(metadata, metadata["weights"])


def _model(metadata: dict[str, Any], weights: FloatArray) -> Any:
    classes: dict[str, Any] = {"SoftHebb": SoftHebb, "SpikingSoftHebb": SpikingSoftHebb}
    kind = _text(metadata["class"])
    check_choice("class", kind, tuple(classes))
    params = json.loads(_text(metadata["params"]))
    model: Any = classes[kind].from_weights(weights, np.asarray(metadata["log_prior"]), **params)
    model.n_samples_seen_ = int(metadata["n_samples_seen"])
    return model


def _text(value: Any) -> str:
    """Return text that a format may hand back as bytes, or as an array of one element."""
    if isinstance(value, np.ndarray):
        value = value.item()
    return value.decode() if isinstance(value, bytes) else str(value)
