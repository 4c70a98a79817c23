"""Models on disk: the same model comes back, foreign files do not, nothing half-written stays."""

import fcntl
import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from softhebb_spiking import SoftHebb, SpikingSoftHebb, load_model
from softhebb_spiking._pages import write_together
from softhebb_spiking.mixture import SoftHebbMixture
from softhebb_spiking.serialization import (
    check_writable_file,
    remove_scratch_files,
    whole_file,
    write_whole,
)

RNG = np.random.default_rng(0)
WEIGHTS, LOG_PRIOR = RNG.random((3, 5)), np.log([0.5, 0.3, 0.2])
X = RNG.random((20, 5)) + 0.1


def rate_model() -> SoftHebb:
    return SoftHebb.from_weights(
        WEIGHTS, LOG_PRIOR, temperature=np.float64(0.07), batch_size=np.int64(3), random_state=4
    ).partial_fit(X)


def spiking_model() -> SpikingSoftHebb:
    return SpikingSoftHebb.from_weights(
        WEIGHTS, LOG_PRIOR, inhibition="graded", n_steps=10, settle_steps=3, random_state=None
    ).partial_fit(X)


@pytest.mark.parametrize("make", [rate_model, spiking_model])
def test_round_trip(make: Any, tmp_path: Path) -> None:
    model = make()
    model.save(tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert type(loaded) is type(model)
    assert loaded.get_params() == model.get_params()
    np.testing.assert_array_equal(loaded.weights_, model.weights_)
    np.testing.assert_array_equal(loaded.log_prior_, model.log_prior_)
    assert (loaded.n_samples_seen_, loaded.n_features_in_) == (20, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    np.testing.assert_array_equal(loaded.score_samples(X), model.score_samples(X))


def test_a_loaded_model_goes_on_as_the_saved_one(tmp_path: Path) -> None:
    model = spiking_model().set_params(random_state=5)
    model.save(tmp_path / "m")
    loaded = load_model(str(tmp_path / "m"))
    np.testing.assert_array_equal(loaded.partial_fit(X).weights_, model.partial_fit(X).weights_)


def test_others_may_read_the_file_as_the_umask_says(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        rate_model().save(tmp_path / "m")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o644


def test_a_generator_cannot_be_saved(tmp_path: Path) -> None:
    model = rate_model().set_params(random_state=np.random.default_rng(0))
    with pytest.raises(TypeError, match=r"random_state must be an integer or None .* Generator"):
        model.save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_saving_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m"
    rate_model().save(path)
    before = path.read_bytes()

    def disk_full(handle: int) -> None:
        os.ftruncate(handle, 100)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    for target in (path, tmp_path / "other"):
        with pytest.raises(OSError, match="No space left"):
            rate_model().save(target)
    assert [file.name for file in tmp_path.iterdir()] == ["m"]
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["missing folder", "file as folder", "is a folder"])
def test_places_that_cannot_be_written(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    target = {
        "missing folder": tmp_path / "nowhere" / "m",
        "file as folder": tmp_path / "file" / "m",
        "is a folder": tmp_path / "folder",
    }[kind]
    with pytest.raises(OSError, match="cannot write") as caught:
        rate_model().save(target)
    assert str(target) in str(caught.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            rate_model().save(tmp_path / "m")
        assert list(tmp_path.iterdir()) == []
    finally:
        tmp_path.chmod(0o700)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no model file at .*missing.*model\.save"):
        load_model(tmp_path / "missing")
    (tmp_path / "text").write_text("not a model, but long enough to be read as a header")
    with pytest.raises(ValueError, match="text is not a safetensors file"):
        load_model(tmp_path / "text")
    save_file({"weights": WEIGHTS}, tmp_path / "foreign")
    with pytest.raises(ValueError, match=r"not a model of this package.*softhebb-spiking model"):
        load_model(tmp_path / "foreign")
    metadata = {"format": "softhebb-spiking model 1", "class": "Pickle", "params": json.dumps({})}
    save_file({"weights": WEIGHTS}, tmp_path / "class", metadata)
    with pytest.raises(ValueError, match="not a model of this package"):
        load_model(tmp_path / "class")


@pytest.mark.parametrize("keep", [4, 100, -8])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "m"
    rate_model().save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="is not a safetensors file"):
        load_model(path)


WRITER = """
import sys, time
from softhebb_spiking import serialization
serialization.os.fsync = lambda _: (print("writing", flush=True), time.sleep(60))
serialization.write_whole(sys.argv[1], b"half")
"""


def test_what_a_killed_writer_leaves_goes_with_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "model"
    writers = []
    for _ in range(2):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        writers.append(writer)
    killed, alive = writers
    try:
        assert len(list(tmp_path.iterdir())) == 2
        killed.kill()
        killed.wait(10)
        write_whole(path, b"whole")
        # That of the living writer stays: taking it away would make its write fail.
        assert sorted(len(one.name) > 5 for one in tmp_path.iterdir()) == [False, True]
    finally:
        alive.kill()
        alive.wait(10)
    write_whole(path, b"whole again")
    assert [one.name for one in tmp_path.iterdir()] == ["model"]
    assert path.read_bytes() == b"whole again"


FOLDER_WRITER = """
import sys, time
from pathlib import Path
from softhebb_spiking.serialization import whole_file
with whole_file(Path(sys.argv[1])) as path:
    path.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_so_does_what_a_killed_library_leaves(tmp_path: Path) -> None:
    path = tmp_path / "recording.nwb"
    writer = subprocess.Popen(
        [sys.executable, "-c", FOLDER_WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    with whole_file(path) as scratch:  # the first writer lives
        scratch.write_bytes(b"whole")
    assert len(list(tmp_path.iterdir())) == 2
    writer.kill()
    writer.wait(10)
    with whole_file(path) as scratch:
        scratch.write_bytes(b"whole again")
    assert [one.name for one in tmp_path.iterdir()] == ["recording.nwb"]
    assert path.read_bytes() == b"whole again"
    with pytest.raises(FileNotFoundError), whole_file(path):
        pass  # nothing was written
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"whole again"]


PAGE_WRITER = """
import sys, time
from pathlib import Path
from softhebb_spiking import _pages, serialization
serialization.os.fsync = lambda _: (print("writing", flush=True), time.sleep(60))
_pages.write_together({Path(sys.argv[1]): "half", Path(sys.argv[2]): "half"})
"""


def test_so_does_what_a_killed_report_leaves(tmp_path: Path) -> None:
    paths = [tmp_path / "report.html", tmp_path / "report.json"]
    for path in paths:
        path.write_text("old")
    writer = subprocess.Popen(
        [sys.executable, "-c", PAGE_WRITER, *map(str, paths)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    assert len(list(tmp_path.iterdir())) == 4
    writer.kill()
    writer.wait(10)
    assert [path.read_text() for path in paths] == ["old", "old"]
    write_together({path: "whole" for path in paths})
    assert sorted(tmp_path.iterdir()) == paths
    assert [path.read_text() for path in paths] == ["whole", "whole"]


@pytest.mark.parametrize("failing", [0, 1])
def test_a_report_is_written_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """The disk is full while one of the two files is written."""
    paths = [tmp_path / "report.html", tmp_path / "report.json"]
    write_together({path: "old" for path in paths})
    texts: dict[Path, Any] = {path: "new" for path in paths}

    class Full(str):
        def encode(self, *_: Any) -> bytes:
            raise OSError(28, "No space left on device")

    texts[paths[failing]] = Full()
    with pytest.raises(OSError, match=r"cannot write the report to .*No space left"):
        write_together(texts)
    assert sorted(tmp_path.iterdir()) == paths
    assert [path.read_text() for path in paths] == ["old", "old"]


@pytest.mark.parametrize("when", ["before it is opened", "before it is locked"])
def test_a_folder_that_another_writer_takes_away_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """What cleans up cannot tell a folder that is not locked yet from one that was left."""
    path, made, locked = tmp_path / "recording.nwb", tempfile.mkdtemp, fcntl.flock
    taken: list[str] = []

    def take_away(folder: str) -> None:
        if not taken:
            taken.append(folder)
            remove_scratch_files(path)

    def make(**options: Any) -> str:
        folder = made(**options)
        if when == "before it is opened":
            take_away(folder)
        return folder

    def lock(handle: int, operation: int) -> None:
        if when == "before it is locked" and operation == fcntl.LOCK_EX:
            take_away("")
        locked(handle, operation)

    monkeypatch.setattr(tempfile, "mkdtemp", make)
    monkeypatch.setattr(fcntl, "flock", lock)
    with whole_file(path) as scratch:
        assert len(taken) == 1
        scratch.write_bytes(b"whole")
    assert [one.name for one in tmp_path.iterdir()] == ["recording.nwb"]


def _write(path: Path, how: str) -> None:
    if how == "whole_file":
        with whole_file(path) as scratch:
            scratch.write_bytes(b"new")
    elif how == "write_whole":
        write_whole(path, b"new")
    else:
        write_together({path: "new"})


WRITERS = ("write_whole", "whole_file", "write_together")


@pytest.mark.parametrize("how", WRITERS)
def test_links_and_permissions_outlive_what_they_lead_to(tmp_path: Path, how: str) -> None:
    target, link = tmp_path / "deep" / "file", tmp_path / "link"
    target.parent.mkdir()
    target.write_bytes(b"old")
    target.chmod(0o600)
    link.symlink_to(target)
    _write(link, how)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [one.name for one in target.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("how", WRITERS)
def test_pipes_and_devices_are_not_replaced(tmp_path: Path, how: str) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="pipe or a device; name a file"):
        _write(path, how)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert [one.name for one in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize("n_letters", [200, 237, 238, 255])
def test_names_that_are_too_long_are_told_before(tmp_path: Path, n_letters: int) -> None:
    """Of 255 letters, 18 are for the name of the file beside it."""
    path = tmp_path / ("x" * n_letters)
    if n_letters <= 237:
        check_writable_file(path)
        write_whole(path, b"new")
        return
    with pytest.raises(OSError, match="name too long"):
        check_writable_file(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_units": 7}, "n_units=7 was set after 3 units"),
        ({"learning_rate": 5.0}, "learning_rate"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """A good file stays."""
    model = SoftHebb.from_weights(np.eye(3))
    model.save(tmp_path / "model")
    model.set_params(**change)
    with pytest.raises(ValueError, match=message):
        model.save(tmp_path / "model")
    assert load_model(tmp_path / "model").n_units == 3
    model = SoftHebb.from_weights(np.eye(3))
    model.weights_[0, 0] = np.nan
    with pytest.raises(ValueError, match="weights_ must be finite"):
        model.save(tmp_path / "model")


def test_parameters_of_any_precision_are_saved(tmp_path: Path) -> None:
    model = SoftHebb.from_weights(np.eye(3), temperature=np.longdouble(0.25))
    model.save(tmp_path / "model")
    assert load_model(tmp_path / "model").temperature == 0.25


def test_both_estimators_are_models() -> None:
    assert all(isinstance(make(), SoftHebbMixture) for make in (rate_model, spiking_model))
