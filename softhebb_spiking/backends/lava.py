"""The spiking network as Lava Processes, run on the CPU.

The equations live in `softhebb_spiking.processes`; this module runs them in a process session of
its own and collects what the models recorded.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from softhebb_spiking._lava_compat import require_lava as require_installed
from softhebb_spiking.backends import _lava_worker
from softhebb_spiking.fixed_network import fixed_network_of, warn_of_overflows
from softhebb_spiking.fixed_point import FixedPointOverflow
from softhebb_spiking.networks.supervision import default_timeout_s, describe, model_failure
from softhebb_spiking.params import Run, RunResult
from softhebb_spiking.validation import check_real

__all__ = ["default_timeout_s", "require_installed", "simulate"]

# Lava says this of every LearningDense that adds graded spikes to x1. It is what we want, and the
# layer's rule has no product conditioned on x0.
_EXPECTED_WARNINGS = (
    "The floating-pt PyProcessModel has been selected for the LearningDense Process",
    "The fixed-pt PyProcessModel has been selected for the LearningDense Process",
    "Incoming graded spike payloads (divided by 2) will be added to the pre-trace x1",
    "All incoming spikes will be considered by learning rule Products conditioned on x0.",
)


def simulate(run: Run, *, timeout_s: float | None = None) -> RunResult:
    """Run the network in Lava.

    Parameters
    ----------
    run : Run
        The network, its state at the start, and what it is shown.
    timeout_s : float, optional
        Seconds after which a run is given up; by default many times what it should take.

    Returns
    -------
    RunResult
        Spikes, state at the end, and probes.

    Raises
    ------
    ImportError
        If Lava is not installed.
    TimeoutError
        If the run did not end in time.
    RuntimeError
        If a model failed; the message shows its traceback.
    ValueError
        If the run asks for what only the event rung can, or for integers that do not fit.
    """
    require_installed()
    if run.fixed is not None:
        _convert(run)
    if run.restart:
        raise ValueError("restart runs on the event rung only; Lava cannot take updates back.")
    timeout_s = default_timeout_s(run) if timeout_s is None else timeout_s
    check_real("timeout_s", timeout_s, 0.0, low_open=True)
    result: RunResult
    result, n_overflows = _lava_worker.call_in_session(
        f"{__name__}:run_network", run, timeout_s, describe(run)
    )
    warn_of_overflows(n_overflows)
    return result


def _convert(run: Run) -> None:
    """Refuse what does not fit, and warn of what is clipped, here instead of in the worker."""
    fixed = fixed_network_of(run)
    fixed.weights(run.weights)
    fixed.log_prior(run.log_prior)
    fixed.half_payloads(run.samples)
    fixed.prior_rates(run.prior_learning_rates)


def run_network(run: Run, directory: str) -> tuple[RunResult, int]:
    """Build, run and stop the network here; for the worker process.

    Parameters
    ----------
    run : Run
        What to run.
    directory : str
        Where the models record.

    Returns
    -------
    RunResult, int
        What the models recorded, and how often a drive did not fit.
    """
    from softhebb_spiking.networks import SoftHebbNetwork

    logging.getLogger().addFilter(_is_unexpected)
    warnings.simplefilter("ignore", FixedPointOverflow)  # the caller has been told
    network = SoftHebbNetwork(run, record_to=directory)
    present(network.present_unwatched, network.encoder, directory)
    network.stop()
    overflows = _recorded(Path(directory), "overflows", (-1,), np.int64)
    return _collect(run, Path(directory)), 0 if overflows is None else int(overflows.sum())


def present(run_network: Callable[[], None], process: Any, directory: str) -> None:
    """Run a Lava network in the worker process; a model that fails ends it with its traceback.

    Parameters
    ----------
    run_network : callable
        Runs the network.
    process : AbstractProcess
        Any Process of the network.
    directory : str
        The temporary directory of the session.
    """
    with _lava_worker.watch(directory, lambda: model_failure(process)):
        try:
            run_network()
        except RuntimeError:
            failure = model_failure(process)
            if failure is not None:
                _lava_worker.report_failure(directory, failure)
            raise


def _is_unexpected(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_EXPECTED_WARNINGS)


def _collect(run: Run, directory: Path) -> RunResult:
    """Return what the models wrote into `directory`; integers become what they stand for."""
    net = run.network
    shape = (len(run.samples), net.n_steps)
    shapes = {
        "weights": (net.n_units, net.n_features),
        "log_prior": (-1, net.n_units),
        "drive": (*shape, net.n_units),
        "inhibition": shape,
        "psp": (*shape, net.n_features),
    }
    fixed = None if run.fixed is None else fixed_network_of(run)

    def state(name: str) -> Any:
        if fixed is None:
            return _recorded(directory, name, shapes[name], np.float64)
        recorded = _recorded(directory, name, shapes[name], np.int64)
        return None if recorded is None else getattr(fixed, f"{name}_as_float")(recorded)

    weights = state("weights")
    if weights is None:  # nothing was to be learned
        weights = (
            run.weights if fixed is None else fixed.weights_as_float(fixed.weights(run.weights))
        )
    spikes = {}
    if run.keep_spikes:
        for name in ("input_spikes", "output_spikes"):
            spikes[name] = _recorded(directory, name, (-1, 3), np.int64)
    return RunResult(
        spike_counts=_recorded(directory, "spike_counts", (-1, net.n_units), np.int64),
        weights=weights.copy(),
        log_prior=state("log_prior")[-1].copy(),
        probes={name: state(name) for name in run.probes},
        **spikes,
    )


def _recorded(directory: Path, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """Return a record as an array of the given shape, None if there is none."""
    path = directory / f"{name}.bin"
    return np.fromfile(path, dtype).reshape(shape) if path.exists() else None
