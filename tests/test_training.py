"""Learning in chunks: the same bits from any source, through interruptions, in little memory."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

import softhebb_spiking
from softhebb_spiking import Checkpoint, Progress, SoftHebb, SpikingSoftHebb, load_model
from softhebb_spiking.checkpoint import read_checkpoint

PACKAGE = Path(softhebb_spiking.__file__).parent
ENVIRONMENT = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
N = 2300  # two chunks and a part of one
SPIKING: dict[str, Any] = {
    "inhibition": "exact",
    "n_steps": 6,
    "settle_steps": 2,
    "total_rate": 2.0,
    "prior_learning_rate": 0.05,
    "random_state": 3,
}


def images(n: int = N, n_features: int = 12) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(1, 256, (n, n_features)).astype(np.uint8)


def models() -> dict[str, Any]:
    return {
        "rate": SoftHebb(5, batch_size=7, prior_learning_rate=0.05, random_state=3),
        "event": SpikingSoftHebb(5, **SPIKING),
        "fixed": SpikingSoftHebb(5, arithmetic="fixed", **SPIKING),
    }


RUNGS = ("rate", "event", "fixed")


def state(model: Any) -> dict[str, Any]:
    names = ("weights_", "log_prior_", "weight_scales_", "n_samples_seen_", "n_features_in_")
    return {name: getattr(model, name) for name in names if hasattr(model, name)}


def assert_same_state(one: Any, other: Any) -> None:
    assert state(one).keys() == state(other).keys()
    for name, value in state(one).items():
        np.testing.assert_array_equal(value, state(other)[name], err_msg=name)


def batches(X: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    for start in range(0, len(X), size):
        yield X[start : start + size]


# --- sources -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rung", RUNGS)
def test_memory_maps_and_other_types_give_the_same_bits(rung: str, tmp_path: Path) -> None:
    X = images()
    expected = models()[rung].fit(X)
    mapped = np.memmap(tmp_path / "images", np.uint8, "w+", shape=X.shape)
    mapped[:] = X
    for source in (mapped, X.astype(np.float64), X.astype(np.int16), np.asfortranarray(X)):
        assert_same_state(models()[rung].fit(source), expected)
    np.testing.assert_array_equal(
        models()[rung].fit(mapped).predict_proba(mapped), expected.predict_proba(X)
    )
    X[0] = X[0][::-1]
    assert (models()[rung].fit(X).weights_ != expected.weights_).any()


@pytest.mark.parametrize("rung", RUNGS)
def test_how_a_stream_is_cut_changes_nothing(rung: str) -> None:
    X = images()
    start = np.random.default_rng(0).random((5, 12)) / 2.0
    expected = models()[rung].fit(X, initial_weights=start)
    for size in (1, 999, 1000, 1001, N):
        model = models()[rung].fit(batches(X, size), initial_weights=start, n_samples=N)
        assert_same_state(model, expected)
    # Without weights to start from, those of the first chunk; the same for all streams.
    one, other = (models()[rung].fit(batches(X, size), n_samples=N) for size in (1, 1500))
    assert_same_state(one, other)


@pytest.mark.parametrize("rung", RUNGS)
def test_partial_fit_goes_on_with_a_stream(rung: str) -> None:
    X = images()
    expected = models()[rung].fit(X[:500]).partial_fit(X)
    assert_same_state(models()[rung].fit(X[:500]).partial_fit(batches(X, 300)), expected)


def test_streams_with_several_epochs() -> None:
    X = images(1200)
    start = X[:5] / np.linalg.norm(X[:5].astype(float), axis=1, keepdims=True)
    expected = SpikingSoftHebb(5, n_epochs=2, **SPIKING).fit(X, initial_weights=start)
    again = SpikingSoftHebb(5, n_epochs=2, **SPIKING)
    again.fit(list(batches(X, 500)), initial_weights=start, n_samples=1200)
    assert_same_state(again, expected)


@pytest.mark.parametrize(
    ("source", "options", "fragment"),
    [
        (lambda X: batches(X, 100), {}, "needs n_samples"),
        (lambda X: batches(X, 100), {"n_samples": N + 1}, f"ended after {N} samples"),
        (lambda X: batches(X, 100), {"n_samples": N - 1}, "more samples than"),
        (lambda X: iter([]), {"n_samples": 3}, "X is empty"),
        (lambda X: batches(X, 100), {"n_samples": N, "n_epochs": 2}, "gives its batches once"),
        (lambda X: iter([X, X[:, :5]]), {"n_samples": N}, "batch 1 of X has 5 features"),
        (lambda X: iter([X, (X, X)]), {"n_samples": N}, "batch 1 of X is no array"),
        (lambda X: iter([X[:1500], -1.0 * X[:800]]), {"n_samples": N}, "row 1500, feature 0"),
        (lambda X: X, {"n_samples": 7}, "leave n_samples out"),
    ],
)
def test_streams_that_are_refused(source: Any, options: dict[str, Any], fragment: str) -> None:
    n_epochs = options.pop("n_epochs", 1)
    model = SpikingSoftHebb(5, **SPIKING).fit(images(100))
    before = {name: np.copy(value) for name, value in state(model).items()}
    model.set_params(n_epochs=n_epochs)
    with pytest.raises((TypeError, ValueError), match=fragment):
        model.fit(source(images()), **options)
    for name, value in state(model).items():
        np.testing.assert_array_equal(value, before[name])


# --- progress ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rung", RUNGS)
def test_progress_is_told_after_each_chunk(rung: str) -> None:
    told: list[Progress] = []
    model = models()[rung].fit(images(), callback=told.append)
    size = 1001 if rung == "rate" else 1000  # whole batches of 7
    assert [p.samples_done for p in told] == [size, 2 * size, N]
    assert {p.n_total for p in told} == {N}
    assert all(p.images_per_s > 0 for p in told)
    assert told[-1].seconds_left == 0.0
    if rung == "rate":
        assert told[0].spikes_per_image is None
    else:  # 2 in each of 6 steps; the mean of 1000 Poisson variates, to 5 sigma
        assert abs(told[0].spikes_per_image - 12.0) < 5.0 * math.sqrt(12.0 / 1000)
    assert model.n_samples_seen_ == N


def test_a_failing_callback_stops_the_training_and_leaves_the_state() -> None:
    model = SpikingSoftHebb(5, **SPIKING).fit(images(100))
    before = {name: np.copy(value) for name, value in state(model).items()}

    def fail(progress: Progress) -> None:
        raise RuntimeError("the user's own")

    for learn in (model.fit, model.partial_fit):
        with pytest.raises(RuntimeError, match="the user's own"):
            learn(images(), callback=fail)
        for name, value in state(model).items():
            np.testing.assert_array_equal(value, before[name])


# --- checkpoints ---------------------------------------------------------------------------------


def stop_at(n_samples: int) -> Any:
    def callback(progress: Progress) -> None:
        if progress.samples_done >= n_samples:
            raise KeyboardInterrupt

    return callback


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("streamed", [False, True])
def test_resumed_training_ends_with_the_same_bits(
    rung: str, streamed: bool, tmp_path: Path
) -> None:
    X, path = images(), tmp_path / "ckpt"

    def learn(model: Any, **options: Any) -> Any:
        model.set_params(n_epochs=2)
        if streamed:
            return model.fit(list(batches(X, 300)), n_samples=N, **options)
        return model.fit(X, **options)

    expected = learn(models()[rung])
    checkpoint = Checkpoint(path, every_samples=1, resume=True)
    for n_samples in (1000, 2000, 3000):
        with pytest.raises(KeyboardInterrupt):
            learn(models()[rung], checkpoint=checkpoint, callback=stop_at(n_samples))
        assert read_checkpoint(path).state["n_samples_seen_"] >= n_samples
    assert_same_state(learn(models()[rung], checkpoint=checkpoint), expected)
    # The training is at its end: there is nothing more to learn.
    assert_same_state(learn(models()[rung], checkpoint=checkpoint), expected)
    assert [item.name for item in tmp_path.iterdir()] == ["ckpt"]


def test_a_seed_that_was_drawn_is_gone_on_with(tmp_path: Path) -> None:
    X, path = images(), tmp_path / "ckpt"
    params = SPIKING | {"random_state": None}
    checkpoint = Checkpoint(path, every_samples=1000, resume=True)
    with pytest.raises(KeyboardInterrupt):
        SpikingSoftHebb(5, **params).fit(X, checkpoint=checkpoint, callback=stop_at(1000))
    begun = path.read_bytes()
    ends = []
    for _ in range(2):
        path.write_bytes(begun)
        ends.append(SpikingSoftHebb(5, **params).fit(X, checkpoint=checkpoint))
    assert_same_state(*ends)


def test_checkpoints_come_when_they_are_due(tmp_path: Path) -> None:
    written: list[int] = []

    def look(progress: Progress) -> None:
        found = tmp_path / "ckpt"
        written.append(read_checkpoint(found).position.sample if found.exists() else 0)

    checkpoint = Checkpoint(tmp_path / "ckpt", every_samples=1500)
    SpikingSoftHebb(5, **SPIKING).fit(images(4500), checkpoint=checkpoint, callback=look)
    assert written == [0, 2000, 2000, 4000, 4500]
    written.clear()
    (tmp_path / "ckpt").unlink()
    checkpoint = Checkpoint(tmp_path / "ckpt", interval_s=1e-9)
    SpikingSoftHebb(5, **SPIKING).fit(images(2500), checkpoint=checkpoint, callback=look)
    assert written == [1000, 2000, 2500]


def begun(path: Path) -> Path:
    SpikingSoftHebb(5, **SPIKING).fit(images(), checkpoint=Checkpoint(path))
    return path


OTHER = images()
OTHER[1234, 5] ^= 1


@pytest.mark.parametrize(
    ("X", "params", "fragment"),
    [
        (OTHER, {}, "the hash of X was"),
        (images()[:2000], {}, r"the shape of X was \[2300, 12\] and is \[2000, 12\]"),
        (images()[:, :6], {}, "the shape of X was"),
        (images().astype(np.float64), {}, "the dtype of X was"),
        (images(), {"temperature": 0.03}, "parameter temperature was 0.02 and is 0.03"),
        (images(), {"random_state": 4}, "parameter random_state was 3 and is 4"),
        (images(), {"n_units": 6}, "parameter n_units was 5 and is 6"),
    ],
)
def test_checkpoints_of_another_training_are_refused(
    X: NDArray[Any], params: dict[str, Any], fragment: str, tmp_path: Path
) -> None:
    path = begun(tmp_path / "ckpt")
    content = path.read_bytes()
    model = SpikingSoftHebb(5, **SPIKING).set_params(**params)
    with pytest.raises(ValueError, match=fragment):
        model.fit(X, checkpoint=Checkpoint(path, resume=True))
    assert not hasattr(model, "weights_")
    assert path.read_bytes() == content


def test_a_stream_that_began_differently_is_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "ckpt", every_samples=1, resume=True)
    with pytest.raises(KeyboardInterrupt):
        SpikingSoftHebb(5, **SPIKING).fit(
            batches(images(), 90), n_samples=N, checkpoint=checkpoint, callback=stop_at(2000)
        )
    with pytest.raises(ValueError, match="the hash of X was"):
        SpikingSoftHebb(5, **SPIKING).fit(batches(OTHER, 90), n_samples=N, checkpoint=checkpoint)


def test_checkpoints_of_another_version_and_other_files_are_refused(tmp_path: Path) -> None:
    path = begun(tmp_path / "ckpt")
    record = {"format": "softhebb-spiking checkpoint 1", "record": ""}
    tensors = load_file(path)
    training = read_checkpoint(path).training | {"version": "0.0.9"}
    counts = {"n_features_in_": tensors["weights_"].shape[1], "n_samples_seen_": 1000}
    record["record"] = json.dumps(
        {"training": training, "state": counts, "position": [0, 1000], "key": 1}
    )
    save_file(tensors, path, record)
    resume = Checkpoint(path, resume=True)
    with pytest.raises(ValueError, match=r"the package version was '0\.0\.9'"):
        SpikingSoftHebb(5, **SPIKING).fit(images(), checkpoint=resume)
    save_file(tensors, path, record | {"record": "{"})
    with pytest.raises(ValueError, match="is damaged"):
        SpikingSoftHebb(5, **SPIKING).fit(images(), checkpoint=resume)
    SpikingSoftHebb(5, **SPIKING).fit(images()).save(path)
    with pytest.raises(ValueError, match="not a checkpoint of this package"):
        SpikingSoftHebb(5, **SPIKING).fit(images(), checkpoint=resume)
    path.write_bytes(b"no such thing")
    with pytest.raises(ValueError, match="not a safetensors file"):
        SpikingSoftHebb(5, **SPIKING).fit(images(), checkpoint=resume)
    with pytest.raises(FileExistsError, match="resume=True"):
        SpikingSoftHebb(5, **SPIKING).fit(images(), checkpoint=Checkpoint(path))
    with pytest.raises(TypeError, match="random_state must be an integer or None"):
        SpikingSoftHebb(5, random_state=np.random.default_rng()).fit(
            images(), checkpoint=Checkpoint(tmp_path / "other")
        )


def test_a_full_disk_loses_no_earlier_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ckpt"
    model = SpikingSoftHebb(5, **SPIKING)
    expected = SpikingSoftHebb(5, **SPIKING).fit(images())
    before = b""

    def fill_the_disk(progress: Progress) -> None:
        nonlocal before
        before = path.read_bytes()

        def refuse(handle: int) -> None:
            os.ftruncate(handle, 10)
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", refuse)

    checkpoint = Checkpoint(path, every_samples=1, resume=True)
    with pytest.raises(OSError, match=r"No space left on device.*the one before is whole"):
        model.fit(images(), checkpoint=checkpoint, callback=fill_the_disk)
    assert not hasattr(model, "weights_")
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["ckpt"]
    monkeypatch.undo()
    assert_same_state(model.fit(images(), checkpoint=checkpoint), expected)


TRAINER = """
import sys
import numpy as np
import softhebb_spiking
from softhebb_spiking import Checkpoint, SpikingSoftHebb
X = np.random.default_rng(1).integers(1, 256, (12_000, 100)).astype(np.uint8)
model = SpikingSoftHebb(60, n_steps=30, random_state=5)
checkpoint = Checkpoint(sys.argv[1], every_samples=1, resume=True)
model.fit(X, checkpoint=checkpoint, callback=lambda p: print(p.samples_done, flush=True))
model.save(sys.argv[2])
"""


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    """kill -9 between the first and the last chunk, four times; twenty by benchmarks/."""
    script = tmp_path / "trainer.py"
    script.write_text(TRAINER, encoding="utf-8")
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()

    def start(folder: str) -> subprocess.Popen[str]:
        paths = [str(tmp_path / folder / name) for name in ("ckpt", "model")]
        return subprocess.Popen(
            [sys.executable, str(script), *paths],
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )

    with start("whole") as process:
        process.communicate(timeout=120)
    rng = np.random.default_rng(0)
    n_kills = 0
    for _ in range(4):
        with start("killed") as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.3))
            n_kills += process.poll() is None
            os.kill(process.pid, signal.SIGKILL)
        assert first
        read_checkpoint(tmp_path / "killed" / "ckpt")
    with start("killed") as process:
        process.communicate(timeout=120)
    assert n_kills >= 3
    ends = [load_model(tmp_path / folder / "model") for folder in ("whole", "killed")]
    assert_same_state(*ends)
    names = sorted(item.name for item in (tmp_path / "killed").iterdir())
    assert names == ["ckpt", "model"]


# --- memory --------------------------------------------------------------------------------------

# scikit-learn imports pandas, 28 MB that this package has no use for, wherever it is installed.
FRUGAL = """
import sys
from pathlib import Path
sys.modules["pandas"] = None
import numpy as np
from softhebb_spiking import SpikingSoftHebb
X = np.full((int(sys.argv[1]), 784), 7, np.uint8)
SpikingSoftHebb(20, n_steps=1, settle_steps=1, random_state=0).fit(X)
lines = Path("/proc/self/status").read_text().splitlines()
print(next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_sixty_thousand_images_take_300_mb_with_everything() -> None:
    """Interpreter, libraries, images and all; as floats the images alone would take 376 MB.

    A first process compiles, which takes some hundred MB once. The peak is the kernel's for this
    program alone: getrusage's would start at what the parent, pytest, takes when it forks.
    """
    for n_images in ("30", "60000"):
        found = subprocess.run(
            [sys.executable, "-c", FRUGAL, n_images],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=250,
            check=True,
        )
    assert float(found.stdout) < 300.0
