"""Trained layers in formats that others read: NIR graphs, and numpy archives."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from softhebb_spiking._hdf5 import check_hdf5
from softhebb_spiking._untrusted import parse_json, read_npz
from softhebb_spiking.circuit_params import LifCircuitParams
from softhebb_spiking.deployment.nir_circuit import (
    EDGES,
    MAX_BYTES,
    NODES,
    check_size,
    circuit_graph,
    require_nir,
)
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.serialization import (
    CLASSES,
    check_writable_file,
    params_as_json,
    restored_model,
    write_whole,
)
from softhebb_spiking.spiking import SpikingSoftHebb
from softhebb_spiking.validation import FloatArray, check_choice

FORMATS = ("nir", "npz")
RULE = "dw_k = eta * y_k * (x - (w_k . x) * w_k),  y = softmax(w . x / temperature + log_prior)"
_FORMAT = "softhebb-spiking exchange 1"
_MEMBERS = ("weights", "class", "params", "log_prior", "n_samples_seen", "weight_scales")
# A byte of HDF5 holds at most so many: dense matrices of zeros and ones are packed as much.
_EXPANSION = 1100


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
        If the format is unknown, "nir" has no circuit, or its graph would be too large.
    ImportError
        If "nir" is asked for and not installed.
    OSError
        If the file cannot be written.
    """
    check_choice("format", form, FORMATS)
    if form == "nir":
        if circuit is None:
            raise ValueError("format 'nir' needs a circuit; circuit_for_samples makes one.")
        check_size(circuit)
        metadata = _metadata(model, circuit, seed)
        content = _nir_bytes(circuit_graph(model, circuit, seed=seed, metadata=metadata))
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


def _metadata(model: Any, circuit: LifCircuitParams | None, seed: int) -> dict[str, Any]:
    """Return what a graph of neurons does not say: rule, temperature, prior and parameters."""
    found = {
        "format": _FORMAT,
        "rule": RULE,
        "temperature": float(model.temperature),
        "class": type(model).__name__,
        "params": params_as_json(model),
        "n_samples_seen": int(model.n_samples_seen_),
        "log_prior": np.asarray(model.log_prior_),
    }
    if circuit is not None:
        found |= {"circuit": json.dumps(asdict(circuit)), "seed": seed}
    if hasattr(model, "weight_scales_"):
        found["weight_scales"] = np.asarray(model.weight_scales_)
    return found


def _nir_bytes(graph: Any) -> bytes:
    file = io.BytesIO()
    require_nir().write(file, graph)
    return file.getvalue()


def _npz_bytes(model: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, weights=model.weights_, **_metadata(model, None, 0))
    return file.getvalue()


def _read_graph(file: Path) -> Any:
    """Return the graph in a NIR file, after a look at how much memory it would take."""
    nir = require_nir()
    try:
        check_hdf5(file, min(_EXPANSION * file.stat().st_size, MAX_BYTES))
        return nir.read(file)
    except Exception as error:  # of HDF5, of numpy, or of whatever a damaged graph runs into
        raise ValueError(f"{file} is not a NIR graph that can be read: {error!r}") from error


def _from_graph(graph: Any, file: Path) -> tuple[Any, LifCircuitParams]:
    found = {name: type(node).__name__ for name, node in getattr(graph, "nodes", {}).items()}
    foreign = [f"{name} ({kind})" for name, kind in found.items() if NODES.get(name) != kind]
    missing = [f"{name} ({kind})" for name, kind in NODES.items() if name not in found]
    metadata = getattr(graph, "metadata", {})
    with _damage_told(file):
        form = _text(metadata.get("format"))
    if foreign or missing or form != _FORMAT:
        raise ValueError(
            f"{file} is not a circuit exported by this package. Unknown nodes: "
            f"{', '.join(foreign) or 'none'}; missing: {', '.join(missing) or 'none'}; format "
            f"{form!r}, expected {_FORMAT!r}. Only what softhebb-spiking export wrote can be "
            "imported."
        )
    with _damage_told(file):
        circuit = LifCircuitParams(**parse_json(_text(metadata["circuit"])))
        _check_matrices(graph, circuit)
        weights = np.asarray(graph.nodes["weights"].weight)[:, : circuit.n_features]
        model = _model(metadata, np.ascontiguousarray(weights))
        expected = circuit_graph(model, circuit, seed=int(metadata["seed"]))
        changed = [
            name for name in NODES if not _same_node(graph.nodes[name], expected.nodes[name])
        ]
        edges = sorted(map(tuple, graph.edges))
    if changed or edges != sorted(EDGES):
        raise ValueError(
            f"{file} was changed since it was exported, in {', '.join(changed) or 'its edges'}: a "
            "model has only the node weights, so these changes would be lost."
        )
    return model, circuit


def _check_matrices(graph: Any, circuit: LifCircuitParams) -> None:
    """Raise unless the file has the matrices of its circuit: only then they are made to compare."""
    n_inputs = circuit.n_features + circuit.n_background
    expected = {
        "weights": (circuit.n_units, n_inputs),
        "fan_out": (circuit.n_neurons, circuit.n_units),
        "background": (circuit.n_neurons, n_inputs),
    }
    for name, shape in expected.items():
        found = np.shape(graph.nodes[name].weight)
        if found != shape:
            raise ValueError(f"{name} has shape {found}, its circuit {shape}")
    check_size(circuit)


def _same_node(one: Any, other: Any) -> bool:
    """Tell whether two nodes have the same numbers."""
    arrays = {name: value for name, value in vars(one).items() if isinstance(value, np.ndarray)}
    return all(
        np.array_equal(value, getattr(other, name, np.empty(0))) for name, value in arrays.items()
    )


def _from_npz(file: Path) -> Any:
    with _damage_told(file):
        form = None
        if found := read_npz(file, ("format",)):
            form = _text(found["format"])
        if form != _FORMAT:
            raise ValueError(f"its format is {form!r}, expected {_FORMAT!r}")
        found = read_npz(file, _MEMBERS)
        return _model(found, found["weights"])


@contextmanager
def _damage_told(file: Path) -> Iterator[None]:
    """Turn whatever a damaged file runs into into one error that names it."""
    try:
        yield
    except (
        *(ArithmeticError, AttributeError, LookupError, OSError, RuntimeError),
        *(TypeError, ValueError),
    ) as error:
        raise ValueError(f"{file} cannot be read as an exported model: {error}") from error


def _model(metadata: dict[str, Any], weights: FloatArray) -> Any:
    names = ("log_prior", "weight_scales")
    arrays = {name: np.asarray(metadata[name]) for name in names if name in metadata}
    kind = check_choice("class", _text(metadata["class"]), CLASSES)
    return restored_model(
        kind,
        _text(metadata["params"]),
        int(metadata["n_samples_seen"]),
        {"weights": weights, **arrays},
    )


def _text(value: Any) -> str:
    """Return text that a format may hand back as bytes, or as an array of one element."""
    if isinstance(value, np.ndarray):
        value = value.item()
    return value.decode() if isinstance(value, bytes) else str(value)
