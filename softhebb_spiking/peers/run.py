"""All measurements of one run, one after the other, each in a process with a time limit."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import softhebb_spiking
from softhebb_spiking.peers import brian2_softhebb, ours
from softhebb_spiking.peers.workload import Workload

PEERS = (
    "event",
    "limits",
    "brian2-cpp",
    "brian2-cython",
    "lava",
    "bindsnet",
    "rate",
    "threads",
    "growth",
    "compile",
)
_PACKAGES = ("numpy", "numba", "brian2", "lava-nc", "bindsnet", "torch")
_SHORT = {"cpp_standalone": "cpp", "cython": "cython"}
_LARGEST_FOR_LAVA = 400  # beyond, one image takes tens of seconds
_THREADS_LEARNING, _THREADS_FROZEN = 6400, 1600


def measure(
    units: list[int],
    *,
    peers: tuple[str, ...] = PEERS,
    quick: bool = False,
    time_limit_s: float = 300.0,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Measure peers on the same work.

    Parameters
    ----------
    units : list of int
        Sizes K of the layer.
    peers : tuple of str
        Which, of `PEERS`.
    quick : bool
        Few images; the numbers mean little.
    time_limit_s : float
        Of each measurement; what takes longer is absent.
    seed : int
        Key of everything random.
    progress : callable, optional
        Told what is measured next.

    Returns
    -------
    dict
        "conditions", "rows" of speeds, one entry for each of "limits", "threads", "growth" and
        "compile", and "absent": what could not be measured, and why.
    """
    found: dict[str, Any] = {"conditions": conditions(), "rows": [], "absent": {}}
    for name, label, options in _jobs(units, peers, quick=quick, seed=seed):
        if progress is not None:
            progress(label)
        load = os.getloadavg()[0]
        result, reason = _in_process(name, options, time_limit_s)
        if reason:
            found["absent"][label] = reason
        elif name in ("limits", "threads", "growth", "compile"):
            found[name] = result
        else:
            found["rows"].append(result | {"load": load})
    return found


def conditions() -> dict[str, Any]:
    """Return what the numbers depend on."""
    versions: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "package": softhebb_spiking.__version__,
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _jobs(
    units: list[int], peers: tuple[str, ...], *, quick: bool, seed: int
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield name, label and options of each measurement."""
    if "limits" in peers:
        yield "limits", "limits", {"units": units}
    for n_units in units:
        for learn in (True, False):
            for job in _jobs_of_size(n_units, learn, quick=quick, seed=seed):
                if job[0] in peers or f"{job[0]}-{_SHORT.get(str(job[2].get('target')))}" in peers:
                    yield job
    if "threads" in peers:
        sizes = (400, 100) if quick else (_THREADS_LEARNING, _THREADS_FROZEN)
        options = {"n_units_learning": sizes[0], "n_units_frozen": sizes[1], "quick": quick}
        yield "threads", "threads", options
    if "growth" in peers:
        yield "growth", "growth", {"quick": quick}
    if "compile" in peers:
        yield "compile", "compile", {}


def _jobs_of_size(
    n_units: int, learn: bool, *, quick: bool, seed: int
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    n_ours = ours.n_images(n_units, quick=quick)

    def job(
        name: str, label: str, n_images: int, inhibition: str = "exact", **more: Any
    ) -> tuple[str, str, dict[str, Any]]:
        work = Workload(
            n_units=n_units, inhibition=inhibition, learn=learn, n_images=n_images, seed=seed
        )
        what = f"K={n_units}, {inhibition}, {'learning' if learn else 'frozen'}"
        return name, f"{label}, {what}", {"work": asdict(work), **more}

    for kind in ("exact", "feedback"):
        for arithmetic in ("float", "fixed"):
            yield job("event", f"event, {arithmetic}", n_ours, kind, arithmetic=arithmetic)
        for target in brian2_softhebb.TARGETS:
            n = brian2_softhebb.n_images(target, n_units, quick=quick)
            yield job("brian2", f"Brian2, {target}", n, kind, target=target)
    if n_units <= _LARGEST_FOR_LAVA:
        yield job("lava", "Lava", 50)
    yield job("bindsnet", "BindsNET", 5)
    for batch_size in (1, 64):
        yield job("rate", f"rate, batch {batch_size}", n_ours, batch_size=batch_size)


def _in_process(name: str, options: dict[str, Any], time_limit_s: float) -> tuple[Any, str]:
    """Return what a measurement found, and an empty reason; or nothing, and why."""
    job = json.dumps({"name": name, "options": options})
    process = subprocess.Popen(
        [sys.executable, "-m", "softhebb_spiking.peers.worker", job],
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=time_limit_s)
    except subprocess.TimeoutExpired:
        return None, f"it took longer than {time_limit_s:g} s"
    finally:
        _end(process)
    if process.returncode != 0:
        lines = [line for line in stderr.strip().splitlines() if line.strip()]
        return None, lines[-1] if lines else f"exit status {process.returncode}"
    return json.loads(stdout.strip().splitlines()[-1]), ""


def _end(process: subprocess.Popen[str]) -> None:
    """End a process with all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
