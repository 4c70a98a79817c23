"""The LIF circuit of stock Lava Processes, run on the CPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from softhebb_spiking._lava_compat import require_lava
from softhebb_spiking.backends import _lava_worker
from softhebb_spiking.backends.lava import present
from softhebb_spiking.circuit_constants import circuit_constants
from softhebb_spiking.circuit_params import CircuitResult, CircuitRun
from softhebb_spiking.validation import check_real

# Lava holds all input and background spikes of a run at 8 bytes each.
_NUMBERS_AT_ONCE = 12_000_000


def simulate(run: CircuitRun, *, timeout_s: float | None = None) -> CircuitResult:
    """Run the circuit in Lava, in parts that fit into memory.

    Parameters
    ----------
    run : CircuitRun
        The circuit, its state at the start, and what it is shown.
    timeout_s : float, optional
        Seconds after which a part is given up; by default many times what it should take.

    Returns
    -------
    CircuitResult
        Spikes and weights.

    Raises
    ------
    ImportError
        If Lava is not installed.
    TimeoutError
        If a part did not end in time.
    RuntimeError
        If a model failed; the message shows its traceback.
    ValueError
        If there is nothing to show, or the circuit does not fit the integers of a chip.
    """
    require_lava()
    from softhebb_spiking.networks.lif_circuit import default_timeout_s, describe

    if timeout_s is not None:
        check_real("timeout_s", timeout_s, 0.0, low_open=True)
    if run.n_samples == 0:
        raise ValueError("There are no samples, or drives, to show to the circuit.")
    circuit_constants(run)  # refuses here, instead of in the worker
    counts, weights = [], run.weights
    for part in parts(run):
        result: CircuitResult = _lava_worker.call_in_session(
            f"{__name__}:run_circuit",
            replace(part, weights=weights),
            default_timeout_s(part) if timeout_s is None else timeout_s,
            describe(part),
        )
        counts.append(result.step_counts)
        weights = result.weights
    return replace(result, step_counts=np.concatenate(counts))


def parts(run: CircuitRun) -> list[CircuitRun]:
    """Return runs that show the samples one after the other, none of them too large."""
    circuit = run.circuit
    width = circuit.n_features + circuit.n_background + circuit.n_units
    size = max(1, _NUMBERS_AT_ONCE // (width * circuit.presentation_steps))
    return [_part(run, slice(start, start + size)) for start in range(0, run.n_samples, size)]


def _part(run: CircuitRun, part: slice) -> CircuitRun:
    def of(rows: Any) -> Any:
        return None if rows is None else rows[part]

    return replace(
        run,
        samples=of(run.samples),
        drives=of(run.drives),
        learning_rates=of(run.learning_rates),
        first_sample=run.first_sample + part.start,
    )


def run_circuit(run: CircuitRun, directory: str) -> CircuitResult:
    """Build, run and stop the circuit here; for the worker process.

    Parameters
    ----------
    run : CircuitRun
        What to run.
    directory : str
        Where the circuit records.
    """
    from softhebb_spiking.networks import LifCircuit

    circuit = LifCircuit(run, record_to=directory)
    present(circuit.present_unwatched, circuit.excitatory, directory)
    result = circuit.result()
    circuit.stop()
    return result
