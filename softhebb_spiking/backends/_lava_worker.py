"""Run a function in a fresh interpreter, and leave nothing behind, whatever happens.

Lava forks one operating system process for each Process, holds shared memory, and can block for
ever or at exit. So all of it runs in a session of its own, which ends as a whole:

- The caller ends it with SIGTERM. Only Python's resource tracker ignores that signal; it outlives
  the others and then releases the shared memory that they can no longer release.
- If the caller itself is killed, a pipe that only it holds open closes. A janitor, forked from the
  worker into a session of its own, waits for that and then ends the session and removes its files.
- All of them hold the pipe on which the caller reads their output, so its end means that the last
  of them has gone.
- Their temporary files, such as Lava's socket, lie in the directory that the caller removes.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_TASK, _ERROR, _RESULT = "task.pickle", "error.txt", "result.pickle"
_GRACE_S = 5.0
_DONE = b"."
_POLL_S = 0.5
_BOOTSTRAP = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from softhebb_spiking.backends._lava_worker import main; main(sys.argv[2], int(sys.argv[3]))"
)
_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


def call_in_session(function: str, argument: Any, timeout_s: float, description: str) -> Any:
    """Return `function(argument, directory)`, run in a process session of its own.

    Parameters
    ----------
    function : str
        "module:name" of the function. Its second argument is a temporary directory.
    argument : object
        Anything that can be pickled.
    timeout_s : float
        Seconds after which the session is ended.
    description : str
        What runs, for the messages.

    Returns
    -------
    object
        What the function returned; it can hold no reference to the directory, which is removed.

    Raises
    ------
    TimeoutError
        If it did not end in time.
    RuntimeError
        If it failed, with the traceback of the failure.
    """
    directory = Path(tempfile.mkdtemp(prefix="softhebb-"))
    try:
        (directory / _TASK).write_bytes(pickle.dumps((function, argument)))
        output = _run_session(directory, timeout_s, description)
        if (directory / _ERROR).exists():
            failure = (directory / _ERROR).read_text()
            raise RuntimeError(f"{description} failed:\n{failure}")
        if not (directory / _RESULT).exists():
            raise RuntimeError(f"{description} died without a traceback. Its output was:\n{output}")
        sys.stderr.write(output)
        return pickle.loads((directory / _RESULT).read_bytes())
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run_session(directory: Path, timeout_s: float, description: str) -> str:
    """Run a worker on the task in `directory` and return what it printed."""
    lifeline, held_open = os.pipe()
    started = time.monotonic()
    try:
        # Isolated: else Python would look for modules in the folder where one works.
        command = [sys.executable, "-I", "-c", _BOOTSTRAP, json.dumps(sys.path)]
        worker = subprocess.Popen(
            [*command, str(directory), str(lifeline)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[lifeline],
            start_new_session=True,
            env=os.environ | _ONE_THREAD,
            text=True,
            errors="replace",
        )
        try:
            output = _await_output(worker, started + timeout_s)
            os.write(held_open, _DONE)
            return output
        except subprocess.TimeoutExpired:
            waited = time.monotonic() - started
            _end_session(worker)
            raise TimeoutError(
                f"{description} did not end within {timeout_s:g} s and was stopped after "
                f"{waited:.0f} s. Pass a longer timeout_s if it was merely slow; two Processes "
                "that wait for each other never end."
            ) from None
        except BaseException:
            _end_session(worker)
            raise
    finally:
        os.close(held_open)
        os.close(lifeline)


def _await_output(worker: subprocess.Popen[str], deadline: float) -> str:
    """Return the session's output when all of it has gone; end it if only its leader has.

    Raises
    ------
    subprocess.TimeoutExpired
        If it still runs at the deadline, in the time of `time.monotonic`.
    """
    while True:
        remaining = deadline - time.monotonic()
        try:
            return worker.communicate(timeout=max(0.0, min(_POLL_S, remaining)))[0]
        except subprocess.TimeoutExpired:
            if remaining <= 0.0:
                raise
            if worker.poll() is not None:
                return _end_session(worker)


def _end_session(worker: subprocess.Popen[str]) -> str:
    """End all processes of the worker's session, wait until they have gone, return their output."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        # Its leader may have gone; what is left of the group is still addressed by its number.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return worker.communicate(timeout=_GRACE_S)[0]
    return ""


def main(directory: str, lifeline: int) -> None:
    """Run the task in `directory`; end with the caller, at the other end of `lifeline`."""
    tempfile.tempdir = directory
    _start_janitor(directory, lifeline)
    function, argument = pickle.loads(Path(directory, _TASK).read_bytes())
    module, _, name = function.partition(":")
    try:
        result = getattr(importlib.import_module(module), name)(argument, directory)
    except BaseException as error:
        report_failure(directory, getattr(error, "trace", None) or traceback.format_exc())
    Path(directory, _RESULT).write_bytes(pickle.dumps(result))


def report_failure(directory: str, trace: str) -> None:
    """Leave a traceback for the caller and end the session."""
    unfinished = Path(directory, _ERROR + ".part")
    unfinished.write_text(trace)
    unfinished.replace(Path(directory, _ERROR))
    os.killpg(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)


@contextlib.contextmanager
def watch(directory: str, find_failure: Callable[[], str | None]) -> Iterator[None]:
    """Ask for a failure now and then, from another thread, and report the first one found.

    Parameters
    ----------
    directory : str
        The temporary directory of the session.
    find_failure : callable
        Returns the traceback of something that failed out of sight, or None.
    """
    finished = threading.Event()

    def ask() -> None:
        while not finished.wait(_POLL_S):
            # While a failed run winds down, what is asked about may close under the question.
            with contextlib.suppress(OSError, ValueError):
                failure = find_failure()
                if failure is not None:
                    report_failure(directory, failure)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    yield
    finished.set()
    thread.join()


def _start_janitor(directory: str, lifeline: int) -> None:
    """Fork a process that waits for the caller to go, and outlives whatever happens here."""
    group = os.getpid()
    if os.fork() > 0:
        os.close(lifeline)
        return
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):  # the end of the session's output must not wait for this process
            os.dup2(nowhere, number)
        if os.read(lifeline, 1) != _DONE:
            _end_group(group)
            shutil.rmtree(directory, ignore_errors=True)
    finally:
        os._exit(0)


def _end_group(group: int) -> None:
    """End all processes of a group, and wait until they have gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + _GRACE_S
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
            while time.monotonic() < deadline:
                time.sleep(0.02)
                os.killpg(group, 0)
            continue
        return
