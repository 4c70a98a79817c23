"""Injecting faults at random moments: what a try gets, what is looked at after it, and the verdict.

A try fails in one of three ways. Something is *lost*: a result or a checkpoint, or the user is not
told. Something is *left*: a process, shared memory, or a file that nobody asked for. Or it *hangs*:
it takes longer than the limit. Anything else that a try raises counts as lost.

A process that was killed with SIGKILL cannot tidy up. Its scratch files may stay until the same
file is written again, so files are looked at after the successful run that ends every try.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[2]
CHILDREN = Path(__file__).with_name("children.py")
LIMIT_S = 180.0
GRACE_S = 20.0
_MARK = "SOFTHEBB_FAULT_MARK"
_SHARED_MEMORY = Path("/dev/shm")


class LostError(Exception):
    """A result is gone or wrong, or nobody was told."""


class LeftError(Exception):
    """Something stayed behind."""


class HangError(Exception):
    """The time limit passed."""


def require(holds: object, message: str) -> None:
    """Raise `LostError` with the message unless something holds."""
    if not holds:
        raise LostError(message)


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    status: int
    out: str
    err: str

    def require_one_line(self, *statuses: int) -> None:
        """Raise unless it ended with one of the statuses and one line of this package's."""
        lines = self.err.strip().splitlines()
        told = len(lines) == 1 and lines[0].startswith("softhebb-spiking: ")
        require(
            self.status in statuses and told,
            f"exit status {self.status}, expected one of {statuses}, and one line, got: {lines}",
        )


@dataclass
class Scene:
    """What a try works with.

    Parameters
    ----------
    folder : Path
        An empty folder of its own.
    rng : Generator
        Moments and victims are drawn from it.
    limit_s : float
        After which anything waited for counts as a hang.
    """

    folder: Path
    rng: np.random.Generator
    limit_s: float = LIMIT_S
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self.temporary = self.folder / "temporary"
        self.temporary.mkdir()
        self._segments = set(_SHARED_MEMORY.iterdir())

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start Python with some arguments; it and its descendants carry the mark."""
        common = {
            _MARK: self.mark,
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": str(ROOT),
            "FAULT_BEGUN": str(self.folder / "begun"),
        }
        return subprocess.Popen(
            [sys.executable, *command],
            env=os.environ | common | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_begin(self, process: subprocess.Popen[str]) -> None:
        """Wait until a child has left the file that says that its imports are done."""
        deadline = time.monotonic() + self.limit_s
        while not (self.folder / "begun").exists():
            require(process.poll() is None, "it ended before it began")
            if time.monotonic() > deadline:
                raise HangError(f"it did not begin in {self.limit_s:g} s")
            time.sleep(0.001)

    def wait(self, process: subprocess.Popen[str]) -> Ended:
        """Wait for the end of a process."""
        try:
            out, err = process.communicate(timeout=self.limit_s)
        except subprocess.TimeoutExpired:
            raise HangError(f"still running after {self.limit_s:g} s") from None
        return Ended(process.returncode, out, err)

    def run(self, *command: str, **environment: str) -> Ended:
        """Start and wait."""
        return self.wait(self.start(*command, **environment))

    def moment(self, seconds: float) -> float:
        """Draw a moment, uniform over the duration of an undisturbed run."""
        return float(self.rng.uniform(0.0, seconds))

    def pick(self, things: Sequence[Any]) -> Any:
        """Draw one of some things."""
        return things[int(self.rng.integers(len(things)))]

    def marked(self) -> list[psutil.Process]:
        """Return the living processes that were started here, and their descendants."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.status() != psutil.STATUS_ZOMBIE:
                    environment = Path(f"/proc/{process.pid}/environ").read_bytes()
                    if self.mark.encode() in environment:
                        found.append(process)
        return found

    def require_nothing_left(self, grace_s: float) -> None:
        """Raise `LeftError` if a process, shared memory or a file has stayed."""
        deadline = time.monotonic() + grace_s
        while left := self._left():
            if time.monotonic() > deadline:
                raise LeftError(f"{grace_s:g} s later there is still {left}")
            time.sleep(0.2)
        files = [path for path in self.folder.rglob("*") if _is_scratch(path)]
        files += list(self.temporary.iterdir())
        if files:
            raise LeftError(f"files: {[str(path.relative_to(self.folder)) for path in files]}")

    def _left(self) -> list[str]:
        processes = [f"process {process.pid}" for process in self.marked()]
        new = set(_SHARED_MEMORY.iterdir()) - self._segments
        # Other programs of this machine use shared memory, too: what one of them maps is theirs.
        new -= _mapped() if new else set()
        return processes + [f"segment {path}" for path in new if not _of_other_programs(path)]

    def end_everything(self) -> None:
        """Kill what a failed try left running."""
        for process in self.marked():
            with suppress(psutil.Error):
                process.kill()


def _is_scratch(path: Path) -> bool:
    return path.name.startswith((".", "tmp")) or "partial" in path.name


def _of_other_programs(path: Path) -> bool:
    """Whether something of joblib is of a process that lives; its name has the number in it."""
    found = re.match(r"(?:joblib_memmapping_folder_|sem\.loky-)(\d+)", path.name)
    return found is not None and psutil.pid_exists(int(found[1]))


def _mapped() -> set[Path]:
    found = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            lines = maps.read_text().splitlines()
            found |= {Path(line.split()[5]) for line in lines if str(_SHARED_MEMORY) in line}
    return found


@contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[Path]:
    """Mount something over a folder for a while; only root can.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    *arguments : str
        Of mount, before the folder.
    """
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", *arguments, str(folder)], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def cannot_mount() -> str:
    """Return why nothing can be mounted here, or an empty string."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with mounted(Path(folder), "-t", "tmpfs", "tmpfs"):
                return ""
        except (OSError, subprocess.CalledProcessError) as error:
            return f"nothing can be mounted here: {error}"


@dataclass(frozen=True)
class Fault:
    """A fault and how to inject it.

    Attributes
    ----------
    name : str
        What happens.
    inject : callable
        Does one try in a `Scene`; raises `LostError`, `LeftError` or `HangError`.
    why_not : callable
        Returns why it cannot be tried here, or an empty string.
    cheap : bool
        Whether it is tried twice with every run of the tests.
    """

    name: str
    inject: Callable[[Scene], None]
    why_not: Callable[[], str] = lambda: ""
    cheap: bool = False


def new_row(fault: Fault) -> dict[str, Any]:
    """Return a row of the table before the first try."""
    row: dict[str, Any] = {"fault": fault.name, "tries": 0, "lost": 0, "left": 0, "hangs": 0}
    row |= {"seconds": [], "failures": []}
    if reason := fault.why_not():
        row["skipped"] = reason
    return row


def try_once(fault: Fault, row: dict[str, Any], seed: int, grace_s: float = GRACE_S) -> str:
    """Do the next try of a fault, count it in its row, and say what went wrong, if anything.

    What it depends on is the seed and its number, not the tries before it. What was started has
    `grace_s` seconds to go.
    """
    number, started = row["tries"], time.monotonic()
    key = [seed, number, *fault.name.encode()]
    kind, message = _try(fault, np.random.default_rng(key), grace_s)
    row["seconds"].append(round(time.monotonic() - started, 2))
    row["median_s"] = round(median(row["seconds"]), 1)
    row["tries"] += 1
    if not kind:
        return ""
    row[kind] += 1
    row["failures"].append({"try": number, "kind": kind, "message": message})
    return f"{fault.name}, try {number}, {kind}: {message}"


def run_fault(fault: Fault, tries: int, seed: int, grace_s: float = GRACE_S) -> dict[str, Any]:
    """Try a fault some times; return its row of the table."""
    row = new_row(fault)
    while "skipped" not in row and row["tries"] < tries:
        try_once(fault, row, seed, grace_s)
    return row


def _try(fault: Fault, rng: np.random.Generator, grace_s: float) -> tuple[str, str]:
    """Return in which column a try counts, and why; empty if it passed."""
    with tempfile.TemporaryDirectory(prefix="softhebb-fault-") as folder:
        scene = Scene(Path(folder), rng)
        try:
            fault.inject(scene)
            scene.require_nothing_left(grace_s)
        except HangError as error:
            return "hangs", str(error)
        except LeftError as error:
            return "left", str(error)
        except LostError as error:
            return "lost", str(error)
        except Exception:
            return "lost", traceback.format_exc()
        finally:
            scene.end_everything()
    return "", ""


def send(process: subprocess.Popen[str], number: signal.Signals) -> bool:
    """Send a signal; return whether the process was still running."""
    running = process.poll() is None
    if running:
        process.send_signal(number)
    return running
