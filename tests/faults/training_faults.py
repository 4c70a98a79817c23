"""Faults while a network is trained by the command line, and while files are written."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from faults.campaign import (
    CHILDREN,
    ROOT,
    Ended,
    Fault,
    LostError,
    Scene,
    cannot_mount,
    mounted,
    require,
    send,
)

from softhebb_spiking.checkpoint import read_checkpoint
from softhebb_spiking.serialization import load_model

USER_ERROR, INTERRUPTED, TERMINATED = 2, 130, 143
_EPOCHS = 20  # some seconds, forty chunks and checkpoints


def training(folder: Path, *more: str, seed: int = 0) -> tuple[str, ...]:
    options = f"--units 10 --epochs {_EPOCHS} --checkpoint-every 1 --resume --seed {seed}"
    paths = ("--checkpoint", str(folder / "ckpt"), "--output", str(folder / "model"))
    return (str(CHILDREN), "command", "train", *options.split(), *paths, *more)


class Undisturbed(NamedTuple):
    """What a training gives that nothing disturbs: the bits learned, seconds, peak memory."""

    bits: bytes
    seconds: float
    peak_bytes: int


@cache
def undisturbed(seed: int = 0) -> Undisturbed:
    """Train once; measure the duration a second time, when everything is compiled."""
    with tempfile.TemporaryDirectory(prefix="softhebb-fault-") as name:
        for _ in range(2):
            folder = Path(tempfile.mkdtemp(dir=name))
            scene = Scene(folder, np.random.default_rng(0))
            started = time.monotonic()
            process = scene.start(*training(folder, seed=seed))
            peak = _peak_bytes(process)
            ended = scene.wait(process)
            require(ended.status == 0, f"the undisturbed training failed: {ended.err}")
        return Undisturbed(bits(folder), time.monotonic() - started, peak)


def bits(folder: Path) -> bytes:
    """Return what was learned; files differ, for safetensors writes its header in any order."""
    model = load_model(folder / "model")
    return b"".join(getattr(model, name).tobytes() for name in ("weights_", "log_prior_"))


def _peak_bytes(process: subprocess.Popen[str]) -> int:
    peak = 0
    with suppress(psutil.Error):
        while process.poll() is None:
            peak = max(peak, psutil.Process(process.pid).memory_info().vms)
            time.sleep(0.02)
    return peak


def _checkpoint_is_whole(folder: Path) -> None:
    path = folder / "ckpt"
    if path.exists():
        try:
            read_checkpoint(path)
        except ValueError as error:
            raise LostError(f"the last checkpoint does not load: {error}") from error


def resume(scene: Scene, folder: Path | None = None) -> None:
    """Go on to the end; require the bits of an undisturbed training."""
    folder = folder or scene.folder
    _checkpoint_is_whole(folder)
    ended = scene.run(*training(folder))
    require(ended.status == 0, f"it does not go on: {ended.err}")
    require(bits(folder) == undisturbed().bits, "it ends with other bits")


# --- signals -------------------------------------------------------------------------------------


def _signalled(scene: Scene, number: signal.Signals) -> None:
    expected = undisturbed()
    process = scene.start(*training(scene.folder))
    time.sleep(scene.moment(expected.seconds))
    begun = (scene.folder / "begun").exists()
    working = begun and not (scene.folder / "model").exists()
    learning = working and (scene.folder / "ckpt").exists()
    sent_at, sent = time.monotonic(), send(process, number)
    ended = scene.wait(process)
    if sent and number != signal.SIGKILL:
        done, late_s = (scene.folder / "model").exists(), time.monotonic() - sent_at
        if ended.status == 0:
            message = f"went on for {late_s:.1f} s as if there had been no signal: {ended.err}"
            require(not working or late_s < 2.0, message)
        # Imports cannot be told apart from any other Python: its traceback, or a silent death. And
        # what was done when the signal came may be ended by it in silence.
        elif begun and number == signal.SIGINT and not (done and not ended.err):
            ended.require_one_line(INTERRUPTED)
        elif learning and number == signal.SIGTERM and not (done and not ended.err):
            ended.require_one_line(TERMINATED)
    resume(scene)


# --- full disks and folders that cannot be written -----------------------------------------------


def _fill(folder: Path) -> Path:
    """Write until there is no room; return the file that takes it."""
    path = folder / "filling"
    with path.open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)
    return path


def _full_while_training(scene: Scene) -> None:
    seconds = undisturbed().seconds
    with mounted(scene.folder / "disk", "-t", "tmpfs", "-o", "size=256k", "tmpfs") as disk:
        process = scene.start(*training(disk))
        time.sleep(scene.moment(seconds))
        while process.poll() is None:
            if (scene.folder / "begun").exists():
                _fill(disk)  # again and again: a checkpoint that is replaced gives room back
            time.sleep(0.02)
        ended = scene.wait(process)
        if ended.status != 0:
            ended.require_one_line(USER_ERROR)
        (disk / "filling").unlink(missing_ok=True)
        resume(scene, disk)
        _no_scratch(disk)


def _read_only_while_training(scene: Scene) -> None:
    seconds = undisturbed().seconds
    folder = scene.folder / "folder"
    folder.mkdir()
    with mounted(folder, "--bind", str(folder)):
        process = scene.start(*training(folder))
        time.sleep(scene.moment(seconds))
        while process.poll() is None and not remount(folder, "ro"):
            time.sleep(0.002)  # a file is just being written
        ended = scene.wait(process)
        if ended.status != 0:
            ended.require_one_line(USER_ERROR)
        remount(folder, "rw")
        resume(scene, folder)
        _no_scratch(folder)


def remount(folder: Path, mode: str) -> bool:
    command = ["mount", "-o", f"remount,{mode},bind", str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


def _no_scratch(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    require(names == ["ckpt", "model"], f"files: {names}")


def _writes(scene: Scene, kind: str, full: bool) -> None:
    """Let a disk be full, or a folder closed, while a file is written over an older one."""
    base = scene.folder / "disk"
    with mounted(base, "-t", "tmpfs", "-o", "size=512k", "tmpfs") as disk:
        names = [disk / "file"] if kind != "report" else [disk / "file", disk / "file.json"]
        command = (str(CHILDREN), "save", kind, str(names[0]))
        for path in names:
            path.write_bytes(b"old" * 100)
        if full:
            filling = _fill(disk)
            room = int(scene.rng.integers(0, 6))  # pages; less than any of the files needs
            os.truncate(filling, filling.stat().st_size - 4096 * room)
        else:
            _remount_all(disk, "ro")
        scene.run(*command).require_one_line(USER_ERROR)
        require(all(path.read_bytes() == b"old" * 100 for path in names), "the old file is gone")
        if full:
            filling.unlink()
        else:
            _remount_all(disk, "rw")
        left = sorted(path.name for path in disk.iterdir())
        require(left == [path.name for path in names], f"files: {left}")
        ended = scene.run(*command)
        require(ended.status == 0, f"with room it fails: {ended.err}")
        require(all(path.read_bytes() != b"old" * 100 for path in names), "nothing was written")


def _killed_while_written(scene: Scene, kind: str) -> None:
    """Kill a process that writes one file over and over; the file is whole, old or new."""
    folder = scene.folder / "files"
    folder.mkdir()
    names = [folder / "file"] if kind != "report" else [folder / "file", folder / "file.json"]
    expected = _written(kind)
    for path in names:
        path.write_bytes(_OLD)
    process = scene.start(str(CHILDREN), "save_for_ever", kind, str(names[0]))
    scene.wait_for_begin(process)
    time.sleep(scene.moment(0.2))
    send(process, signal.SIGKILL)
    scene.wait(process)
    for path, content in zip(names, expected, strict=True):
        whole = path.read_bytes() == _OLD or _content(kind, path) == content
        require(whole, f"{path.name} is neither the old one nor the new one")
    ended = scene.run(str(CHILDREN), "save", kind, str(names[0]))
    require(ended.status == 0, f"it cannot be written again: {ended.err}")
    require([_content(kind, path) for path in names] == expected, "other bits")
    left = sorted(path.name for path in folder.iterdir())
    require(left == [path.name for path in names], f"files: {left}")


_OLD = b"old" * 100


@cache
def _written(kind: str) -> list[bytes]:
    """Return the contents of the files of an undisturbed writer."""
    with tempfile.TemporaryDirectory(prefix="softhebb-fault-") as name:
        scene = Scene(Path(name), np.random.default_rng(0))
        folder = scene.folder / "files"
        folder.mkdir()
        ended = scene.run(str(CHILDREN), "save", kind, str(folder / "file"))
        require(ended.status == 0, f"the undisturbed writer failed: {ended.err}")
        return [_content(kind, path) for path in sorted(folder.iterdir())]


def _content(kind: str, path: Path) -> bytes:
    if kind == "model":  # safetensors writes its header in any order
        model = load_model(path)
        return bytes(model.weights_.tobytes() + model.log_prior_.tobytes())
    if kind == "recording":  # zip files hold the date
        with np.load(path) as arrays:
            return b"".join(arrays[name].tobytes() for name in sorted(arrays))
    return path.read_bytes()


def _remount_all(disk: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(disk)], check=True)


# --- clocks and memory ---------------------------------------------------------------------------

CLOCKS = """
import random, time
_draw = random.Random({seed})
def _jumping(clock):
    offset = 0.0
    def now():
        nonlocal offset
        if _draw.random() < 0.05:
            offset = _draw.choice([0.0, -1e6, 1e6, -3.0, 3.0])
        return clock() + offset
    return now
def _coarse(clock):
    return lambda: float(int(clock()))
_change = {change}
for _name in ("time", "monotonic", "perf_counter"):
    setattr(time, _name, _change(getattr(time, _name)))
"""


def _clock(scene: Scene) -> None:
    """Replace the clocks by some that jump both ways, or stand still for a second at a time."""
    change = scene.pick(["_jumping", "_coarse"])
    seed = int(scene.rng.integers(2**31))
    (scene.folder / "sitecustomize.py").write_text(CLOCKS.format(seed=seed, change=change))
    path = f"{scene.folder}{os.pathsep}{ROOT}"
    seconds = ("--checkpoint-seconds", "0.2")
    ended = scene.run(*training(scene.folder, *seconds), PYTHONPATH=path)
    require(ended.status == 0, f"clocks are {change}: {ended.err}")
    resume(scene)  # again from its last checkpoint: takes no time at all
    again = scene.run(*training(scene.folder, *seconds), PYTHONPATH=path)
    require(again.status == 0, f"clocks are {change}: {again.err}")


def _too_little_memory(scene: Scene) -> None:
    """Limit the address space to part of what training takes, from the start or in the middle."""
    expected = undisturbed()
    process = scene.start(*training(scene.folder))
    time.sleep(scene.moment(expected.seconds))
    limit = int(scene.rng.uniform(0.3, 1.0) * expected.peak_bytes)
    with suppress(psutil.Error):
        psutil.Process(process.pid).rlimit(resource.RLIMIT_AS, (limit, limit))
    scene.wait(process)
    resume(scene)


# --- two trainers --------------------------------------------------------------------------------


def _two_trainers(scene: Scene) -> None:
    """Let two trainings write one checkpoint, of the same network or of two that differ."""
    seeds = (0, scene.pick([0, 1]))
    first = scene.start(*training(scene.folder, seed=seeds[0]))
    time.sleep(scene.moment(undisturbed().seconds))
    second = scene.start(*training(scene.folder, seed=seeds[1]))
    while first.poll() is None or second.poll() is None:
        _checkpoint_is_whole(scene.folder)
        time.sleep(0.005)
    for process in (first, second):
        ended = scene.wait(process)
        if ended.status != 0:
            ended.require_one_line(USER_ERROR)
    models = {undisturbed(seed).bits for seed in seeds}
    require(bits(scene.folder) in models, "the model is of neither")


# --- forks and callbacks -------------------------------------------------------------------------


def _child(scene: Scene, name: str, *arguments: str) -> None:
    """Run a child that ends with "same" if the bits are."""
    seed = str(int(scene.rng.integers(2**31)))
    ended: Ended = scene.run(str(CHILDREN), name, seed, *arguments)
    require(ended.out.split()[-1:] == ["same"], f"{ended.out} {ended.err}")


def _fork(scene: Scene) -> None:
    _child(scene, "fork")


def _failing_callback(scene: Scene) -> None:
    _child(scene, "callback", str(scene.folder))


def _of_files(kind: str) -> list[Fault]:
    return [
        *(
            Fault(f"{what} while a {kind} is written", _writing(kind, full), cannot_mount)
            for what, full in (("disk full", True), ("folder read-only", False))
        ),
        Fault(f"SIGKILL while a {kind} is written", partial(_killed_while_written, kind=kind)),
    ]


def _writing(kind: str, full: bool) -> Callable[[Scene], None]:
    return partial(_writes, kind=kind, full=full)


FAULTS = [
    *(
        Fault(f"{number.name} while training", partial(_signalled, number=number), cheap=cheap)
        for number, cheap in (
            (signal.SIGKILL, True),
            (signal.SIGINT, False),
            (signal.SIGTERM, False),
        )
    ),
    Fault("disk full while training", _full_while_training, cannot_mount),
    Fault("folder read-only while training", _read_only_while_training, cannot_mount),
    *_of_files("model"),
    *_of_files("recording"),
    *_of_files("report"),
    Fault("clocks that jump or stand still", _clock),
    Fault("too little memory while training", _too_little_memory),
    Fault("two trainings with one checkpoint", _two_trainers),
    Fault("fork after threads", _fork, cheap=True),
    Fault("a callback that raises", _failing_callback, cheap=True),
]
