"""Watch over a Lava run in this process, and end it as a whole when it fails.

Lava waits for ever where one model waits for a message of another that failed, and its own stop()
waits for models that are gone. Importing this module does not import Lava.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.process
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

from softhebb_spiking.params import Run

_POLL_S = 0.25
_GRACE_S = 5.0
_WATCH_INTERVAL_S = 0.5
_SOCKET_NAME = "/pymp-xxxxxxxx/listener-xxxxxxxx"  # as multiprocessing makes them
_MAX_SOCKET_PATH = 107 if sys.platform == "linux" else 103  # of AF_UNIX, without its end


def check_temporary_folder() -> None:
    """Raise `OSError` if Lava could not open a socket in the folder for temporary files."""
    folder = tempfile.gettempdir()
    n_bytes = len(os.fsencode(folder + _SOCKET_NAME))
    if n_bytes > _MAX_SOCKET_PATH:
        raise OSError(
            f"Lava cannot open a socket in {folder}: its path would have {n_bytes} bytes, at most "
            f"{_MAX_SOCKET_PATH} are allowed. Set TMPDIR to a shorter path."
        )


def describe(run: Run) -> str:
    """Return what runs, as the subject of a sentence."""
    net = run.network
    return (
        f"The Lava network of {net.n_features} inputs and {net.n_units} units, "
        f"{len(run.samples)} samples of {net.presentation_steps} steps,"
    )


def default_timeout_s(run: Run) -> float:
    """Return seconds in which even a busy machine should have run the network.

    Lava takes 1 to 3 ms for a step of a small network. A learning step also handles one array of
    n_features² and several of n_units × n_features numbers, about 1 ns each.
    """
    net = run.network
    sizes = net.n_features * (net.n_features + 10 * net.n_units)
    step_s = 0.03 + (2e-8 * sizes if run.learn or "psp" in run.probes else 0.0)
    return 120.0 + step_s * len(run.samples) * (net.presentation_steps + 1)


def model_failure(process: Any) -> str | None:
    """Return the traceback of a ProcessModel that failed, or None.

    Lava itself logs it below the level that is shown, and waits for ever if another model waits
    for a message of the one that failed.

    Parameters
    ----------
    process : AbstractProcess
        Any Process of the network.

    Returns
    -------
    str or None
        The traceback, or by which signal the model's process was ended.
    """
    infrastructure = getattr(process.runtime, "_messaging_infrastructure", None)
    for actor in getattr(infrastructure, "actors", ()):
        failure = actor.exception
        if failure is not None:
            return str(failure[1])
        with contextlib.suppress(ValueError):  # closed, so it ended in order
            if actor.exitcode:
                return f"A process of the network ended with exit code {actor.exitcode}."
    return None


def run_watched(
    process: Any, n_steps: int, config: Any, timeout_s: float, description: str
) -> None:
    """Run the network of a Process; return after its last step.

    The run itself does not block, so this thread is free to watch it, and can be interrupted.
    After an exception the network still has to be ended, with `end`.

    Parameters
    ----------
    process : AbstractProcess
        Any Process of the network.
    n_steps : int
        Lava steps.
    config : RunConfig
        Selects the models.
    timeout_s : float
        Seconds after which the run is given up.
    description : str
        What runs, for the messages.

    Raises
    ------
    RuntimeError
        If a model failed, with its traceback.
    TimeoutError
        If the run did not end in time.
    """
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.runtime.mgmt_token_enums import MGMT_RESPONSE, enum_equal

    started = time.monotonic()
    try:
        with forked_processes_end_with_us():
            process.run(condition=RunSteps(num_steps=n_steps, blocking=False), run_cfg=config)
    except Exception as error:
        failure = getattr(error, "trace", None)  # Lava's mark on what a model's __init__ raised
        if failure is None:
            raise
        raise RuntimeError(f"{description} failed:\n{failure}") from None

    answers = process.runtime.service_to_runtime
    answered = threading.Event()
    for port in answers:
        port.observer = answered.set
    while not all(port.probe() for port in answers):
        failure = model_failure(process)
        if failure is not None:
            raise RuntimeError(f"{description} failed:\n{failure}")
        waited = time.monotonic() - started
        if waited >= timeout_s:
            raise TimeoutError(
                f"{description} did not end within {timeout_s:g} s and was stopped after "
                f"{waited:.1f} s. Pass a longer timeout_s if it was merely slow."
            )
        answered.wait(min(_POLL_S, timeout_s - waited))
        answered.clear()
    for port in answers:
        port.observer = None

    if any(enum_equal(port.peek(), MGMT_RESPONSE.ERROR) for port in answers):
        # The service says so before the model has sent its traceback.
        deadline = time.monotonic() + _GRACE_S
        failure = model_failure(process)
        while failure is None and time.monotonic() < deadline:
            time.sleep(0.05)
            failure = model_failure(process)
        raise RuntimeError(f"{description} failed:\n{failure or 'No model sent a traceback.'}")
    process.wait()


@contextlib.contextmanager
def forked_processes_end_with_us() -> Iterator[None]:
    """Let processes that this thread forks meanwhile end soon after this process, however it ends.

    Without this, Lava's would outlive a process that is killed, and wait for it for ever.
    """
    _of_this_thread.forking = (os.getpid(), _own_temporary_folder())
    try:
        yield
    finally:
        _of_this_thread.forking = None


_of_this_thread = threading.local()  # others may fork at the same time


def _own_temporary_folder() -> str | None:
    """Return the folder of multiprocessing's sockets, if this process may have made it."""
    if multiprocessing.parent_process() is not None:
        return None
    return _temporary_folder()


def _temporary_folder() -> str | None:
    config: dict[str, Any] = getattr(multiprocessing.current_process(), "_config", {})
    return config.get("tempdir")


def _after_fork() -> None:
    """Watch the parent, in a process that was forked meanwhile."""
    forking = getattr(_of_this_thread, "forking", None)
    if forking is None:
        return
    _of_this_thread.forking = None
    parent, of_parent = forking
    inherited = _temporary_folder()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_INTERVAL_S)
        # What a process removes at its end, had it been given the time.
        mine = _temporary_folder()
        for folder in (of_parent, mine if mine != inherited else None):
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)  # the last one to go lets the resource tracker release the shared memory

    threading.Thread(target=watch, daemon=True).start()


os.register_at_fork(after_in_child=_after_fork)


def end(process: Any) -> None:
    """End a network whatever its state: its operating system processes and its shared memory.

    Lava's stop(), which its Processes also call when they are deleted, does nothing afterwards.

    Parameters
    ----------
    process : AbstractProcess
        Any Process of the network.
    """
    runtime = process.runtime
    infrastructure = getattr(runtime, "_messaging_infrastructure", None)
    if infrastructure is None:
        return
    runtime._is_started = runtime._is_running = False
    _end_actors(infrastructure.actors)
    # Lava drops these pipes when all models could be built, and never forgets a Process.
    runtime.__dict__.pop("exception_q", None)
    for port in (*runtime.runtime_to_service, *runtime.service_to_runtime):
        port.join()
    runtime.join()
    if infrastructure.smm is not None:
        with contextlib.suppress(AttributeError):  # it did not start
            infrastructure.smm.shutdown()


def _end_actors(actors: list[Any]) -> None:
    """End Lava's processes and forget them; their own join() has no time limit."""
    join = multiprocessing.process.BaseProcess.join
    for method in ("terminate", "kill"):
        for actor in actors:
            with contextlib.suppress(ValueError):  # closed, so it has been joined
                getattr(actor, method)()
        deadline = time.monotonic() + _GRACE_S
        for actor in actors:
            with contextlib.suppress(ValueError):
                join(actor, max(0.0, deadline - time.monotonic()))
    actors.clear()
