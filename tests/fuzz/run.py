"""Fuzzes the readers of untrusted files with atheris; `docs/trust.md` has what it found.

    python tests/fuzz/run.py --reader all --executions 200000 --seed 0

Each reader runs in a process of its own. Files are changed in their parts (values of JSON, bytes of
arrays, objects of HDF5) and wrapped again, so that checksums and compression hide nothing. The
modules of the readers are instrumented: parts that reach new code are kept and changed further.
HDF5 readers run each execution in a fork, because the library itself may crash; coverage does not
guide them. An input that fails is kept in `--keep`.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MODULES = [
    f"softhebb_spiking.{name}"
    for name in (
        *("_hdf5", "_untrusted", "serialization", "checkpoint", "recording", "recording_parts"),
        *("neuro", "_nwb", "_neo_block", "data", "deployment.exchange", "deployment.nir_circuit"),
        *("sweep.spec", "experiments.run", "experiments.insertion", "experiments.report"),
        *("show.stage", "validation", "params", "circuit_params"),
    )
]
NAMES = (
    *("model", "checkpoint", "recording", "parts", "idx", "idx.gz", "npz", "sweep", "result"),
    *("claims", "drawing", "nir", "nix", "nwb"),
)
_MOST_BYTES = 3 << 30
_FORK_S = 20


def main() -> int:
    """Run the readers one after the other, print a table, and return whether any failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--reader", choices=(*NAMES, "all"), default="all")
    parser.add_argument("--executions", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=600, help="at most, for each reader")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work(options)
    names = NAMES if options.reader == "all" else (options.reader,)
    say("| reader | executions | refused | valid objects | failures | seconds |")
    say("|---|---|---|---|---|---|")
    failed = False
    for name in names:
        found = _in_process(name, options)
        failed |= bool(found["failures"]) or found["crash"] is not None
        crash = f" and {found['crash']}" if found["crash"] else ""
        say(
            f"| {name} | {found['executions']} | {found['refused']} | {found['valid']} | "
            f"{sum(found['failures'].values())}{crash} | {found['seconds']:.0f} |"
        )
        for text, count in found["failures"].items():
            say(f"    {count} x {text}")
    return int(failed)


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _in_process(name: str, options: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        tally = Path(folder) / "tally.json"
        # Here, because numba cannot compile what is instrumented.
        tally.with_suffix(".seed").write_bytes(_seed(name))
        command = [
            *(sys.executable, __file__, "--reader", name, "--worker", str(tally)),
            *("--executions", str(options.executions), "--seed", str(options.seed)),
            *("--seconds", str(options.seconds), "--keep", str(options.keep.absolute())),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        empty = {"executions": 0, "refused": 0, "valid": 0, "failures": {}, "seconds": 0.0}
        found = json.loads(tally.read_text()) if tally.exists() else empty
    ended = found.get("ended", False)
    found["crash"] = None if ended else f"a crash: {done.stderr[-1500:]}"
    return found


def _seed(name: str) -> bytes:
    sys.path.insert(0, str(ROOT))
    from fuzz.parts import pack
    from fuzz.readers import READERS

    return pack(READERS[name].seed())


class Worker:
    """Counts what a reader does with inputs."""

    def __init__(self, reader: Any, options: Any, folder: Path) -> None:
        self.reader, self.options, self.folder = reader, options, folder
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.started = time.monotonic()
        self.written = 0.0

    def see(self, parts: dict[str, bytes]) -> None:
        """Give parts to the reader, and count what it says."""
        from fuzz.readers import HDF5

        try:
            run = _forked if self.reader.name in HDF5 else _here
            result = run(self.reader, parts, self.folder)
        except AssertionError as failure:
            self._keep(parts, failure)
            result = "failed"
        self.counts[result] += 1

    def _keep(self, parts: dict[str, bytes], failure: BaseException) -> None:
        from fuzz.parts import pack

        cause = failure.__cause__
        where = ""
        if cause is not None and cause.__traceback__ is not None:
            last = traceback.extract_tb(cause.__traceback__)[-1]
            where = f" at {Path(last.filename).name}:{last.lineno}"
        text = f"{failure}{where}"
        kind = text.replace(str(self.folder), "")[:120]
        if kind not in self.failures:
            self.options.keep.mkdir(parents=True, exist_ok=True)
            name = f"{self.reader.name}-{hashlib.sha256(kind.encode()).hexdigest()[:8]}"
            (self.options.keep / name).write_bytes(pack(parts))
        self.failures[kind] += 1

    def write(self, *, ended: bool) -> None:
        """Write the counts."""
        now = time.monotonic()
        if not ended and now - self.written < 1.0:
            return
        self.written = now
        found = {
            "executions": sum(self.counts.values()),
            "refused": self.counts["refused"],
            "valid": self.counts["valid"],
            "failures": dict(self.failures),
            "seconds": now - self.started,
            "ended": ended,
        }
        self.options.worker.write_text(json.dumps(found))

    @property
    def over(self) -> bool:
        """Whether enough was done."""
        late = time.monotonic() - self.started > self.options.seconds
        return late or sum(self.counts.values()) >= self.options.executions


def work(options: Any) -> int:
    """Fuzz one reader in this process."""
    sys.path.insert(0, str(ROOT))
    try:
        import atheris
    except ImportError:
        raise SystemExit("this needs atheris: make fuzz, or pip install atheris==3.0.0") from None
    guided = options.reader not in ("nir", "nix", "nwb")
    with atheris.instrument_imports(include=MODULES if guided else ["no.module"]):
        for name in MODULES if guided else ("neo.io", "nixio", "pynwb", "nir"):
            importlib.import_module(name)
        from fuzz import parts as p
        from fuzz.readers import READERS
    reader = READERS[options.reader]
    seed = p.unpack(options.worker.with_suffix(".seed").read_bytes())
    with tempfile.TemporaryDirectory() as scratch:
        folder, corpus = Path(scratch) / "files", Path(scratch) / "corpus"
        folder.mkdir()
        corpus.mkdir()
        (corpus / "valid").write_bytes(p.pack(seed))
        worker = Worker(reader, options, folder)
        if guided and reader.outcome(seed, folder) != "valid":
            raise SystemExit("the seed is not valid")
        reader.build(seed)  # makes the valid file once, before forks need it
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))

        def one(data: bytes) -> None:
            try:
                parts = p.unpack(data)
            except ValueError:
                parts = {"file": data}
            worker.see(parts)
            worker.write(ended=worker.over)
            if worker.over:
                os._exit(0)  # libFuzzer has no way to end by time and keep the counts

        def mutate(data: bytes, max_size: int, number: int) -> bytes:
            rng = Random(number)
            try:
                parts = p.unpack(data)
            except ValueError:
                parts = seed
            for _ in range(rng.choice((1, 1, 1, 2, 4))):
                parts = p.change_parts(parts or seed, rng, _byte_mutator(atheris))
            changed = p.pack(parts)
            return changed if len(changed) <= max_size else p.pack(seed)

        arguments = [
            *(sys.argv[0], f"-runs={options.executions + 1000}", f"-seed={options.seed + 1}"),
            *("-max_len=300000", "-timeout=60", "-rss_limit_mb=0", "-verbosity=0", str(corpus)),
        ]
        atheris.Setup(arguments, one, custom_mutator=mutate)
        atheris.Fuzz()
    return 0


def _byte_mutator(atheris: Any) -> Any:
    from fuzz.parts import change_bytes

    def change(data: bytes, rng: Random) -> bytes:
        if rng.random() < 0.5:
            return bytes(atheris.Mutate(data, len(data) + 64))
        return change_bytes(data, rng)

    return change


def _here(reader: Any, parts: dict[str, bytes], folder: Path) -> str:
    for path in folder.iterdir():
        path.unlink()
    return str(reader.outcome(parts, folder))


def _forked(reader: Any, parts: dict[str, bytes], folder: Path) -> str:
    """Run a reader in a fork, and the process that looks at its file as a fork of that one."""
    from fuzz.readers import Failure

    inlet, outlet = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(inlet)
        text = "failed: no word"
        try:
            signal.alarm(_FORK_S)
            _look_in_a_fork()
            text = _here(reader, parts, folder)
        except BaseException as error:
            last = traceback.extract_tb((error.__cause__ or error).__traceback__)[-1]
            text = f"failed: {error} at {Path(last.filename).name}:{last.lineno}"
        finally:
            os.write(outlet, text.encode()[:4000])
            os._exit(0)
    os.close(outlet)
    with os.fdopen(inlet, "rb") as file:
        said = file.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        raise Failure(f"the reader died of signal {os.WTERMSIG(status)}")
    if said.startswith("failed"):
        raise Failure(said)
    return said


def _look_in_a_fork() -> None:
    """Replace the interpreter that `check_hdf5` starts, which takes half a second, by a fork."""
    from softhebb_spiking import _hdf5, neuro
    from softhebb_spiking._untrusted import most_bytes
    from softhebb_spiking.deployment import exchange

    def check(path: Any, limit: int | None = None) -> None:
        inlet, outlet = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                resource.setrlimit(resource.RLIMIT_CPU, (3, resource.RLIM_INFINITY))
                _hdf5.look_through(path, most_bytes(path) if limit is None else limit)
            except BaseException as error:
                os.write(outlet, f"{type(error).__name__}: {error}".encode()[:4000] or b"?")
            os._exit(0)
        os.close(outlet)
        with os.fdopen(inlet, "rb") as file:
            said = file.read().decode(errors="replace")
        _, status = os.waitpid(child, 0)
        if said or os.WIFSIGNALED(status):
            raise ValueError(said or f"died of signal {os.WTERMSIG(status)}")

    neuro.check_hdf5 = exchange.check_hdf5 = check


if __name__ == "__main__":
    sys.exit(main())
