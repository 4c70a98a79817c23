"""Hashes of what each rung learns, on each supported Python: a seed should give the same bits.

python benchmarks/determinism.py                 installs on every Python found, prints hashes
python benchmarks/determinism.py hash event      prints those of one rung, of this interpreter

Standard library only outside of `hash`, since it runs before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from matrix import VERSIONS, find_interpreter, install

SPIKING: dict[str, Any] = {
    "n_units": 10,
    "n_steps": 20,
    "settle_steps": 10,
    "population_size": 8,
    "total_rate": 2.0,
    "prior_learning_rate": 0.02,
    "random_state": 0,
}
RUNGS: dict[str, dict[str, Any]] = {
    "rate": {},
    "rate-wide": {},
    "event-exact": {"inhibition": "exact"},
    "event-feedback": {"inhibition": "feedback"},
    "event-graded": {"inhibition": "graded"},
    "fixed": {"arithmetic": "fixed"},
    "fixed-shared": {"arithmetic": "fixed", "rounding": "shared"},
    "brian2": {"backend": "brian2"},
    "lava": {"backend": "lava"},
    "lava-fixed": {"backend": "lava", "arithmetic": "fixed"},
}
SLOW = ("brian2", "lava", "lava-fixed")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
SECONDS = 300


# --- one rung, in this process -------------------------------------------------------------------


def hash_of(*arrays: Any) -> str:
    """Return the SHA-256 of arrays: types, shapes and bytes."""
    import numpy as np

    found = hashlib.sha256()
    for array in arrays:
        values = np.ascontiguousarray(array)
        found.update(f"{values.dtype.str}{values.shape}".encode() + values.tobytes())
    return found.hexdigest()


def hash_rung(rung: str, n_threads: int) -> str:
    """Return the hash of weights, log prior, posterior and spikes of a rung that learns digits."""
    from softhebb_spiking import SpikingSoftHebb, load_dataset

    if rung.startswith("rate"):
        return hash_rate(wide=rung == "rate-wide")
    digits = load_dataset("digits")
    n_samples = 3 if rung in SLOW else 60
    options = {} if rung in SLOW else {"backend_options": {"n_threads": n_threads}}
    model = SpikingSoftHebb(**(SPIKING | RUNGS[rung] | options))
    model.fit(digits.X_train[:n_samples])
    if rung in SLOW:  # one more run, for the spikes
        recording = model.record(digits.X_test[:2], learn=True)
        posterior = recording.spike_counts
    else:
        recording = model.record(digits.X_test[:5], learn=True)
        posterior = model.predict_proba(digits.X_test[:20])
    spikes = recording.input_spikes, recording.output_spikes
    return hash_of(model.weights_, model.log_prior_, posterior, *spikes)


def hash_rate(*, wide: bool) -> str:
    """Return the hash of a rate network; a wide one is so large that BLAS gives it to threads."""
    import numpy as np

    from softhebb_spiking import SoftHebb, load_dataset

    if wide:
        X, n_units, batch_size = np.random.default_rng(0).random((300, 784)), 400, 100
    else:
        X, n_units, batch_size = load_dataset("digits").X_train[:300], 20, 10
    model = SoftHebb(n_units, batch_size=batch_size, prior_learning_rate=0.01, random_state=0)
    model.fit(X)
    return hash_of(model.weights_, model.log_prior_, model.predict_proba(X))


# --- other processes -----------------------------------------------------------------------------


def hash_elsewhere(python: str | Path, rung: str, n_threads: int = 1, **environment: str) -> str:
    """Return what `hash` prints in a process of its own; with libraries on `n_threads` threads."""
    count = str(n_threads)
    changed = os.environ | dict.fromkeys(THREADS, count) | environment
    command = [str(python), str(Path(__file__).resolve()), "hash", rung, count]
    done = subprocess.run(
        command, env=changed, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{rung} failed on {python}:\n{done.stderr}")
    return done.stdout.split()[-1]


def hashes_of_python(version: str) -> dict[str, str]:
    """Install on one version of Python; return the hashes of all rungs, empty if not found."""
    found = find_interpreter(version)
    if found is None:
        print(f"Python {version}: not found", flush=True)
        return {}
    path, full = found
    print(f"Python {full} ({path})", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="softhebb-determinism-"))
    try:
        python = install(path, version, folder)
        return {rung: _hash_or_error(python, rung) for rung in RUNGS}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _hash_or_error(python: Path, rung: str) -> str:
    """Return the hash with one thread and with two; they should be one."""
    try:
        hashes = [hash_elsewhere(python, rung, n)[:12] for n in (1, 2)]
    except (RuntimeError, subprocess.SubprocessError) as error:
        print(error, flush=True)
        return "FAILED"
    return hashes[0] if hashes[0] == hashes[1] else "/".join(hashes)


def print_table(found: dict[str, dict[str, str]]) -> bool:
    """Print a line for each rung; return whether each has one hash only."""
    versions = [version for version in found if found[version]]
    print("rung".ljust(16), *(version.ljust(27) for version in versions), "same")
    all_same = bool(versions)
    for rung in RUNGS:
        hashes = [found[version][rung] for version in versions]
        same = len(set(hashes)) == 1 and "/" not in hashes[0] and hashes[0] != "FAILED"
        all_same &= same
        print(rung.ljust(16), *(text.ljust(27) for text in hashes), "yes" if same else "NO")
    return all_same


def main(arguments: list[str]) -> int:
    """Return 1 if a rung has different bits somewhere."""
    if arguments[:1] == ["hash"]:
        rung, n_threads = (*arguments[1:], "1")[:2]
        print(hash_rung(rung, int(n_threads)))
        return 0
    if arguments:
        print(__doc__)
        return int(arguments != ["--help"])
    return 0 if print_table({version: hashes_of_python(version) for version in VERSIONS}) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
