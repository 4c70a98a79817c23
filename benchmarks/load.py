"""What long use leaves behind: memory, drift, processes, files; and what a large layer takes.

python benchmarks/load.py presentations --n 10000000
python benchmarks/load.py lava --n 200
python benchmarks/load.py large --units 10000 --features 10000
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing import shared_memory
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray
from scipy.stats import linregress, t

from softhebb_spiking import Progress, SpikingSoftHebb
from softhebb_spiking._memory import bytes_of_learning
from softhebb_spiking.params import NetworkParams, Run

app = typer.Typer(add_completion=False, help=__doc__)
Floats = NDArray[np.float64]

SMALL: dict[str, Any] = {
    "n_units": 8,
    "inhibition": "exact",
    "temperature": 0.05,
    "learning_rate": 0.05,
    "total_rate": 4.0,
    "n_steps": 20,
    "settle_steps": 5,
    "random_state": 0,
}
N_FEATURES, BATCH = 16, 1000
N_LOOKS, N_BLOCKS = 400, 20
WARM_UP = 0.5  # of all looks: allocators and caches fill
FALSE_ALARM = 0.001
CRASH_EVERY = 10
KILL_AFTER_S = 0.3
PROCESSES_OF_A_NETWORK = 7  # a manager, a service, five models


# --- trends --------------------------------------------------------------------------------------


class Trend(NamedTuple):
    """A straight line through what was measured, per unit of what it was measured against."""

    slope: float
    standard_error: float
    is_zero: bool

    def __str__(self) -> str:
        verdict = "0 within measurement" if self.is_zero else "NOT 0"
        return f"{self.slope:.4g} ± {self.standard_error:.2g} ({verdict})"


def trend(at: Floats, values: Floats, *, only_growth: bool = False, grain: float = 0.0) -> Trend:
    """Return the slope of values, and whether it is 0 within measurement.

    Means of `N_BLOCKS` blocks are fitted, since neighbours are not independent. It is 0 unless its
    t-statistic exceeds the quantile that chance exceeds once in a thousand times, and it adds up
    to more than a grain.

    Parameters
    ----------
    at, values : ndarray of shape (n,)
        Abscissae and what was measured there; the first half is left out.
    only_growth : bool
        Whether a fall counts as 0.
    grain : float
        The smallest change that can be measured.
    """
    first = int(WARM_UP * len(at))
    n_blocks = min(N_BLOCKS, len(at) - first)
    blocks = [part.mean() for part in np.array_split(at[first:], n_blocks)]
    means = np.array([part.mean() for part in np.array_split(values[first:], n_blocks)])
    if np.ptp(means) == 0.0:
        return Trend(0.0, 0.0, True)
    line = linregress(blocks, means)
    tail = FALSE_ALARM if only_growth else FALSE_ALARM / 2.0
    limit = max(t.isf(tail, n_blocks - 2) * line.stderr, grain / (blocks[-1] - blocks[0]))
    size = line.slope if only_growth else abs(line.slope)
    return Trend(float(line.slope), float(line.stderr), bool(size <= limit))


def resident_bytes() -> int:
    """Return the memory of this process that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int:
    """Return the most of it so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


# --- presentations -------------------------------------------------------------------------------


class Looks(NamedTuple):
    """What was seen now and then in a long training."""

    done: Floats
    resident: Floats
    norms: Floats  # of each unit
    seconds: float


def stream(n: int, seed: int = 0) -> Iterator[Floats]:
    """Yield `n` samples around eight directions, batch after batch."""
    rng = np.random.default_rng(seed)
    centres = rng.random((8, N_FEATURES)) ** 3
    for start in range(0, n, BATCH):
        size = min(BATCH, n - start)
        yield centres[rng.integers(8, size=size)] + 0.1 * rng.random((size, N_FEATURES))


def train_long(n: int, **changes: Any) -> Looks:
    """Show `n` samples in one call of `partial_fit` and look at memory and norms meanwhile."""
    model = SpikingSoftHebb(**(SMALL | changes)).partial_fit(next(stream(BATCH, seed=1)))
    every = max(1, n // (N_LOOKS * BATCH))
    looks = np.full((-(-n // (every * BATCH)), 2 + model.n_units), np.nan)  # pages are touched now
    filled = 0

    def look(progress: Progress) -> None:
        nonlocal filled
        if progress.samples_done % (every * BATCH) == 0:
            norms = np.linalg.norm(model.weights_, axis=1)
            looks[filled] = progress.samples_done, resident_bytes(), *norms
            filled += 1

    started = time.monotonic()
    model.partial_fit(stream(n), callback=look)
    found = looks[:filled]
    return Looks(found[:, 0], found[:, 1], found[:, 2:], time.monotonic() - started)


@app.command()
def presentations(
    n: Annotated[int, typer.Option(help="samples")] = 10_000_000,
    arithmetic: Annotated[str, typer.Option(help="float or fixed")] = "float",
) -> None:
    """Present many samples in one training, and look at memory and norms."""
    size = f"{SMALL['n_units']} units, {N_FEATURES} features, 25 steps, exact, {arithmetic}"
    typer.echo(f"{n} presentations in one partial_fit: {size}")
    found = train_long(n, arithmetic=arithmetic)
    for i in np.linspace(0, len(found.done) - 1, 11).astype(int):
        norms = found.norms[i]
        typer.echo(
            f"{found.done[i]:12.0f}  {found.resident[i] / 1e6:8.2f} MB  norms {norms.mean():.5f} "
            f"({norms.min():.5f} to {norms.max():.5f})"
        )
    page = os.sysconf("SC_PAGE_SIZE")
    memory = trend(found.done / 1e6, found.resident, only_growth=True, grain=page)
    drift = trend(found.done / 1e6, found.norms.mean(axis=1))
    pace = found.seconds / n * 1e6
    typer.echo(f"seconds: {found.seconds:.1f}, {pace:.2f} µs a presentation")
    typer.echo("of the second half:")
    typer.echo(f"memory, bytes per million presentations: {memory}")
    typer.echo(f"mean norm, per million presentations: {drift}")
    sys.exit(0 if memory.is_zero and drift.is_zero else 1)


# --- lava ----------------------------------------------------------------------------------------


class Left(NamedTuple):
    """What this process has beside itself."""

    children: int
    segments: int
    files: int
    threads: int


def child_ids() -> list[int]:
    """Return the children of this process, but for Python's tracker of shared memory."""
    from multiprocessing import resource_tracker

    tracker: Any = resource_tracker
    kept = tracker._resource_tracker._pid
    tasks = Path("/proc/self/task").glob("*/children")
    found = (int(word) for path in tasks for word in path.read_text().split())
    return [pid for pid in found if pid != kept]


def name_segments() -> None:
    """Give shared memory of this process and its children names of their own."""
    module: Any = shared_memory
    module._SHM_NAME_PREFIX = f"/{_prefix()}"


def _prefix() -> str:
    return f"l{os.getpid() % 10**5}_"  # names have 14 characters, which must leave some at random


def segments() -> list[str]:
    """Return the names of this process's shared memory: other programs use it, too."""
    return [name for name in os.listdir("/dev/shm") if name.startswith(_prefix())]


def left() -> Left:
    """Count what is left."""
    return Left(
        children=len(child_ids()),
        segments=len(segments()),
        files=len(os.listdir("/proc/self/fd")),
        threads=threading.active_count(),
    )


def tiny_run(n_samples: int, seed: int) -> Run:
    """Return a run of two units for Lava."""
    return Run(
        network=NetworkParams(n_features=2, n_units=2, n_steps=4, settle_steps=2),
        samples=np.eye(2)[np.arange(n_samples) % 2],
        weights=np.eye(2),
        log_prior=np.full(2, -np.log(2.0)),
        learning_rates=np.full(n_samples, 0.1),
        prior_learning_rates=np.zeros(n_samples),
        seed=seed,
    )


def kill_a_child(ended: threading.Event) -> None:
    """Wait until a network stands, and kill one of its models."""
    while not ended.wait(KILL_AFTER_S):
        children = child_ids()
        if len(children) >= PROCESSES_OF_A_NETWORK:
            time.sleep(KILL_AFTER_S)
            os.kill(children[-1], signal.SIGKILL)
            return


def build_and_stop(number: int) -> str:
    """Run a network in this process; every tenth crashes. Return how it ended."""
    from softhebb_spiking.networks import SoftHebbNetwork

    n_crash, is_crash = divmod(number + 1, CRASH_EVERY)[0], (number + 1) % CRASH_EVERY == 0
    raises, killed = is_crash and n_crash % 2 == 1, is_crash and n_crash % 2 == 0
    ended = threading.Event()
    killer = threading.Thread(target=kill_a_child, args=(ended,))
    if killed:
        killer.start()
    try:
        record_to = "/nonexistent" if raises else None  # a model cannot write there
        run = tiny_run(5000 if killed else 2, number)
        with SoftHebbNetwork(run, record_to=record_to) as network:
            network.present()
            if not segments():
                return "UNEXPECTED a network without shared memory"
    except RuntimeError as error:
        text = str(error)
        expected = "FileNotFoundError" if raises else "exit code -9" if killed else "nothing"
        return "crashed" if expected in text else f"UNEXPECTED {text}"
    finally:
        ended.set()
        with contextlib.suppress(RuntimeError):  # it was never started
            killer.join()
    return "UNEXPECTED end without a crash" if is_crash else "ran"


def count_leftovers(n: int) -> tuple[list[str], list[Left]]:
    """Build and stop `n` networks; return how each ended, and what was left after it."""
    name_segments()
    build_and_stop(0)  # imports, the tracker and its pipe
    endings, found = [], []
    for number in range(n):
        endings.append(build_and_stop(number))
        found.append(left())
    return endings, found


@app.command()
def lava(n: Annotated[int, typer.Option(help="networks")] = 200) -> None:
    """Build and stop networks one after the other in this process; every tenth crashes."""
    started = time.monotonic()
    endings, found = count_leftovers(n)
    ends = {ending: endings.count(ending) for ending in sorted(set(endings))}
    typer.echo(f"{n} networks in {time.monotonic() - started:.0f} s: {ends}")
    typer.echo(f"after the first: {found[0]}")
    typer.echo(f"after the last:  {found[-1]}")
    numbers = np.arange(n, dtype=np.float64)
    files = trend(numbers, np.array([item.files for item in found], float), only_growth=True)
    typer.echo(f"file descriptors, per network: {files}")
    clean = found[-1].children == found[-1].segments == 0 and files.is_zero
    sys.exit(0 if clean and set(ends) <= {"ran", "crashed"} else 1)


# --- large layers --------------------------------------------------------------------------------


@app.command()
def large(
    units: Annotated[int, typer.Option(help="units")] = 10_000,
    features: Annotated[int, typer.Option(help="features")] = 10_000,
    samples: Annotated[int, typer.Option(help="samples to learn from")] = 20,
    threads: Annotated[int, typer.Option(help="threads")] = 1,
) -> None:
    """Train a large layer, or refuse it with the memory that it needs."""
    needed = bytes_of_learning(units, features, samples)
    typer.echo(f"{units} units, {features} features: needs {needed / 1e9:.2f} GB")
    X = np.random.default_rng(0).integers(0, 256, (samples, features)).astype(np.uint8)
    at_start = resident_bytes()
    model = SpikingSoftHebb(
        units,
        inhibition="exact",
        n_steps=15,
        settle_steps=10,
        total_rate=2.0,
        random_state=0,
        backend_options={"n_threads": threads},
    )
    started = time.monotonic()
    try:
        model.fit(X)
    except MemoryError as error:
        typer.echo(f"refused: {error}")
        sys.exit(2)
    seconds = time.monotonic() - started
    typer.echo(f"learned from {samples} samples in {seconds:.1f} s with {threads} threads")
    typer.echo(f"peak {peak_bytes() / 1e9:.2f} GB, of it {at_start / 1e9:.2f} GB before")
    if not np.isfinite(model.weights_).all():
        sys.exit("weights are not finite")


if __name__ == "__main__":
    app()
