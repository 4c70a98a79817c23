"""Faults of the folder in which numba keeps compiled code."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.campaign import ROOT, Fault, Scene, cannot_mount, mounted, require
from faults.training_faults import USER_ERROR, bits, remount, resume, training, undisturbed


@contextmanager
def _cache_of(scene: Scene) -> Iterator[Path]:
    """Give a folder with a copy of the package's compiled code, as numba looks for it."""
    from numba.core.caching import _CacheLocator

    undisturbed()  # compiles
    folder = scene.folder / "numba"
    for index in (ROOT / "softhebb_spiking").rglob("__pycache__/*.nb?"):
        source = index.parent.parent / f"{index.name.split('.')[0]}.py"
        copy = folder / _CacheLocator.get_suitable_cache_subpath(str(source)) / index.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(index, copy)
    yield folder


def _stale_cache(scene: Scene) -> None:
    """Let one index of compiled code be of another version of numba."""
    with _cache_of(scene) as folder:
        victim = scene.pick(sorted(folder.rglob("*.nbi")))
        with victim.open("rb") as file:
            pickle.load(file)
            rest = file.read()
        victim.write_bytes(pickle.dumps("0.1") + rest)
        ended = scene.run(*training(scene.folder), NUMBA_CACHE_DIR=str(folder))
        require(ended.status == 0, f"{victim.name} of another version: {ended.err[-300:]}")
        require(bits(scene.folder) == undisturbed().bits, "other bits")


def _torn_cache(scene: Scene) -> None:
    """Cut an index or a code file at a random place, as a loss of power may."""
    with _cache_of(scene) as folder:
        victim = scene.pick(sorted(folder.rglob("*.nb?")))
        os.truncate(victim, int(scene.rng.integers(victim.stat().st_size)))
        ended = scene.run(*training(scene.folder), NUMBA_CACHE_DIR=str(folder))
        if ended.status != 0:
            ended.require_one_line(USER_ERROR)
        resume(scene)


def _closed_cache(scene: Scene) -> None:
    """Let the folder for compiled code be one that cannot be written."""
    folder = scene.folder / "numba"
    folder.mkdir()
    with mounted(folder, "--bind", str(folder)):
        require(remount(folder, "ro"), "cannot make the folder read-only")
        ended = scene.run(*training(scene.folder), NUMBA_CACHE_DIR=str(folder))
    if ended.status != 0:
        ended.require_one_line(USER_ERROR)
    resume(scene)


def _installed_read_only(scene: Scene) -> None:
    """Let the package, and the home folder too, be where nothing can be written."""
    copy = scene.folder / "installed"
    copy.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "softhebb_spiking", copy / "softhebb_spiking", ignore=ignored)
    with mounted(copy, "--bind", str(copy)):
        require(remount(copy, "ro"), "cannot make the folder read-only")
        closed = {"HOME": "/proc", "XDG_CACHE_HOME": "/proc"}
        # The copy has to come before the working directory and an editable install.
        command = f"""import sys
sys.path[0], sys.argv[1:] = {str(copy)!r}, ["--version"]
from softhebb_spiking import cli
assert cli.__file__.startswith(sys.path[0]), cli.__file__
cli.main()"""
        ended = scene.run("-c", command, **closed)
        if ended.status != 0:
            ended.require_one_line(USER_ERROR)
    resume(scene)


FAULTS = [
    Fault("compiled code of another version", _stale_cache),
    Fault("compiled code that is cut off", _torn_cache),
    Fault("cache folder read-only", _closed_cache, cannot_mount),
    Fault("package and home read-only", _installed_read_only, cannot_mount),
]
