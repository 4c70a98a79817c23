"""A recording survives its file, tells its size before it is made, and may come in parts."""

import json
import os
import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softhebb_spiking import Recording, SpikingSoftHebb
from softhebb_spiking._recording_size import check_size, expected_bytes
from softhebb_spiking.encoding import input_probabilities
from softhebb_spiking.recording_parts import RecordingParts, record_in_parts


@pytest.fixture
def recording() -> Recording:
    rng = np.random.default_rng(0)
    model = SpikingSoftHebb.from_weights(
        rng.random((3, 5)),
        temperature=0.1,
        n_steps=8,
        settle_steps=np.int64(4),  # as a grid of parameters gives it
        dt_ms=0.5,
        learning_rate=0.3,
        random_state=0,
    )
    X = rng.random((4, 5)) + 0.1
    return model.record(X, learn=True, probes=("drive", "psp"))


@pytest.mark.parametrize("name", ["run.npz", "run", "run.v2"])
def test_a_file_holds_all_of_it(recording: Recording, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    recording.save(path)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    loaded = Recording.load(path)
    for item in fields(Recording):
        value, original = getattr(loaded, item.name), getattr(recording, item.name)
        if isinstance(original, np.ndarray):
            np.testing.assert_array_equal(value, original)
            assert value.dtype == original.dtype
        else:
            assert value == original
    assert loaded.inhibition is None
    assert loaded.seed > 2**53  # more than a float holds
    assert loaded.seed == recording.seed


def test_a_file_is_replaced_whole_or_not_at_all(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.npz"
    recording.save(path)
    before = path.read_bytes()

    def disk_full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)  # the scratch file has been written by then
    with pytest.raises(OSError, match="No space left"):
        recording.save(path)
    with pytest.raises(OSError, match="No space left"):
        recording.save(tmp_path / "other.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["run.npz"]
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there(recording: Recording, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot write .*run\.npz.*nowhere"):
        recording.save(tmp_path / "nowhere" / "run.npz")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError, match=r"missing\.npz"):
        Recording.load(tmp_path / "missing.npz")


def test_counts_are_the_spikes_of_the_steps_read(recording: Recording) -> None:
    read = recording.output_spikes[recording.output_spikes[:, 1] >= 4]
    counts = np.zeros((4, 3), int)
    np.add.at(counts, (read[:, 0], read[:, 2]), 1)
    np.testing.assert_array_equal(counts, recording.spike_counts)
    assert len(read) < len(recording.output_spikes)


def test_neo_holds_a_spike_in_the_last_step() -> None:
    pytest.importorskip("neo")
    model = SpikingSoftHebb.from_weights(np.eye(2), n_steps=7, settle_steps=0, dt_ms=0.1)
    recording = model.record(np.ones((1, 2)), output_spikes=[[0, 6, 1]])
    train = recording.to_neo().segments[0].spiketrains[1]
    assert len(train) == 1
    assert float(train[0].rescale("ms")) == pytest.approx(0.7, rel=1e-12)


class Trap:
    """Writes a file if it is ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def archive(path: Path, **changes: Any) -> None:
    """Change members of an archive; None takes one out."""
    with np.load(path) as file:
        members = {name: file[name] for name in file.files} | changes
    with path.open("wb") as target:
        np.savez(target, **{name: value for name, value in members.items() if value is not None})


def header_with(path: Path, **changes: Any) -> str:
    with np.load(path) as file:
        header = json.loads(str(file["header"])) | changes
    return json.dumps({name: value for name, value in header.items() if value is not None})


def test_damaged_files_say_what_is_wrong(recording: Recording, tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    recording.save(path)
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0xFF
    for damaged in (b"", b"PK", b"cat" * 100, content[:-30], content[: len(content) // 3], flipped):
        path.write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"run\.npz is no \.npz file of plain arrays, or a dam"
        ):
            Recording.load(path)
    np.save(tmp_path / "run.npy", np.ones(3))
    with pytest.raises(ValueError, match=r"run\.npy is no \.npz file"):
        Recording.load(tmp_path / "run.npy")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"weights": None}, r"it lacks weights"),
        ({"header": None, "psp": None, "cat": np.ones(2)}, r"it lacks header and holds cat"),
        ({"log_prior": np.zeros(4)}, r"log_prior must have shape \(3,\) .* got shape \(4,\)"),
        ({"spike_counts": np.zeros((4, 3))}, r"spike_counts must .* integers, got .* float64"),
        ({"drive": np.zeros((4, 7, 3))}, r"drive must have shape \(4, 8, 3\)"),
        ({"output_spikes": np.zeros((2, 2), int)}, r"output_spikes must have shape \(2, 3\)"),
        ({"header": np.array("{")}, r"in its header"),
        ({"header": np.array("[1]")}, r"in its header"),
        ({"header": np.array('{"seed": 1}')}, r"in its header it lacks backend, params"),
    ],
)
def test_foreign_archives_say_what_is_missing(
    recording: Recording, tmp_path: Path, members: dict[str, Any], message: str
) -> None:
    path = tmp_path / "run.npz"
    recording.save(path)
    archive(path, **members)
    with pytest.raises(ValueError, match=rf"run\.npz .*{message}"):
        Recording.load(path)


def test_headers_of_others_are_refused(recording: Recording, tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    for changes, message in (
        ({"format": "softhebb-spiking recording 9"}, "its format is .*recording 9"),
        ({"params": {"n_units": 3}}, "n_features"),
        ({"params": {"n_units": 3, "n_features": 5, "cat": 1}}, "cat"),
    ):
        recording.save(path)
        archive(path, header=np.array(header_with(path, **changes)))
        with pytest.raises(ValueError, match=rf"run\.npz .*header.*{message}"):
            Recording.load(path)
    recording.save(path)
    archive(path, header=np.array(header_with(path, format=None)))  # before it was written
    assert Recording.load(path).seed == recording.seed


def test_nothing_is_ever_unpickled(recording: Recording, tmp_path: Path) -> None:
    path, touched = tmp_path / "run.npz", tmp_path / "touched"
    recording.save(path)
    archive(path, weights=np.array([Trap(touched)], dtype=object))
    with pytest.raises(ValueError, match=r"run\.npz is no \.npz file of plain arrays"):
        Recording.load(path)
    path.write_bytes(pickle.dumps(Trap(touched)))
    with pytest.raises(ValueError, match=r"run\.npz is no \.npz file of plain arrays"):
        Recording.load(path)
    assert not touched.exists()


def large_model(**changes: Any) -> SpikingSoftHebb:
    rng = np.random.default_rng(2)
    options = {"inhibition": "exact", "n_steps": 20, "random_state": 1, "temperature": 0.1}
    return SpikingSoftHebb.from_weights(rng.random((6, 30)), **(options | changes))


@pytest.mark.statistical
def test_the_size_is_known_before_the_run() -> None:
    model = large_model()
    X = np.random.default_rng(3).random((200, 30))
    run = model.make_run(X, probes=("drive", "psp", "inhibition"))
    recording = model.record(X, probes=("drive", "psp", "inhibition"))
    arrays = [value for value in vars(recording).values() if isinstance(value, np.ndarray)]
    deviation = sum(array.nbytes for array in arrays) - expected_bytes(run, 8.0)
    # Rows of 24 bytes, one for a spike. Inputs are Bernoulli(p_i); the spikes of a step that the
    # layer fires have mean r = 8, and a variance below r since they are sums of Bernoulli draws
    # (with `exact`, and as here without a saturated population). 4.5 σ: one of 150 000 seeds fails.
    p = input_probabilities(run.samples, 0.3)
    steps = run.network.presentation_steps
    sigma = 24 * np.sqrt(steps * (p * (1 - p)).sum() + 8.0 * steps * len(X))
    assert abs(deviation) < 4.5 * sigma, deviation / sigma
    assert 4.5 * sigma < 0.02 * expected_bytes(run, 8.0)


def test_given_spikes_count_as_they_are() -> None:
    rows = [[0, 1, 2], [0, 2, 3], [1, 2, 3]]
    run = large_model().make_run(np.ones((2, 30)), input_spikes=rows, output_spikes=rows[:1])
    assert expected_bytes(run, 1e9) == 24 * 4 + 8 * (2 * 6 + 6 * 30 + 6)


@pytest.mark.parametrize("inhibition", ["exact", "feedback"])
def test_too_large_a_recording_is_refused_before_it_is_run(
    inhibition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = large_model(inhibition=inhibition)
    X = np.ones((50, 30))
    before = model.weights_.copy()
    run = model.make_run(X)
    rows = len(model.record(X).output_spikes)  # the burst at onset is part of it
    size = expected_bytes(run, rows / (50 * 40)) / 1e9
    assert (size > 1.5 * expected_bytes(run, 8.0) / 1e9) == (inhibition == "feedback")
    model.record(X, max_gb=1.1 * size)
    run_samples: list[int] = []
    simulate = model._simulate

    def noted(run: Any) -> Any:
        run_samples.append(len(run.samples))
        return simulate(run)

    monkeypatch.setattr(model, "_simulate", noted)
    message = r"50 samples would take about [\d.e-]+ GB, more than max_gb=.*record_in_parts"
    with pytest.raises(MemoryError, match=message):
        model.record(X, learn=True, max_gb=0.9 * size)
    assert run_samples == ([8] if inhibition == "feedback" else [])
    np.testing.assert_array_equal(model.weights_, before)
    assert model.n_samples_seen_ == 0
    with pytest.raises(ValueError, match="max_gb"):
        model.record(X, max_gb=0.0)


def test_a_small_recording_needs_no_trial_run(monkeypatch: pytest.MonkeyPatch) -> None:
    model = large_model(inhibition="feedback")
    run = model.make_run(np.ones((50, 30)))
    check_size(run, expected_bytes(run, 6 * 32) / 1e9, lambda run: pytest.fail("it was run"))


def joined(parts: RecordingParts) -> dict[str, Any]:
    """The arrays of all parts, as one recording has them."""
    recordings = list(parts)
    found: dict[str, Any] = {}
    for name in ("input_spikes", "output_spikes"):
        found[name] = np.concatenate(
            [
                getattr(part, name) + np.array([first, 0, 0])
                for first, part in zip(parts.first_samples, recordings, strict=True)
            ]
        )
    for name in ("spike_counts", "drive", "psp"):
        found[name] = np.concatenate([getattr(part, name) for part in recordings])
    last = recordings[-1]
    return found | {"weights": last.weights, "log_prior": last.log_prior, "seed": last.seed}


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("inhibition", ["feedback", "exact"])
@pytest.mark.parametrize("arithmetic", ["float", "fixed"])
def test_parts_are_one_recording_to_the_last_bit(
    tmp_path: Path, learn: bool, inhibition: str, arithmetic: str
) -> None:
    X = np.random.default_rng(4).random((11, 30)) + 0.01
    options = {"inhibition": inhibition, "arithmetic": arithmetic, "learning_rate": 0.5}
    options |= {"prior_learning_rate": 0.1}
    for size in (1, 4, 20):
        whole, parted = large_model(**options), large_model(**options)
        for model in (whole, parted):
            model.partial_fit(X[:3])  # so that the numbers of samples do not start from zero
        start = whole.weights_.copy()
        recording = whole.record(X, learn=learn, probes=("drive", "psp"))
        parts = record_in_parts(
            parted,
            X,
            tmp_path / str(size),
            samples_per_part=size,
            learn=learn,
            probes=("drive", "psp"),
        )
        for name, value in joined(parts).items():
            np.testing.assert_array_equal(value, getattr(recording, name), err_msg=name)
        np.testing.assert_array_equal(parted.weights_, whole.weights_)
        assert parted.n_samples_seen_ == whole.n_samples_seen_
        assert learn == bool((whole.weights_ != start).any())
        assert len(parts) == -(-11 // size)
        assert (parts.n_samples, parts.complete) == (11, True)


def test_batches_and_generators_give_the_same_parts(tmp_path: Path) -> None:
    X = np.random.default_rng(4).random((11, 30)) + 0.01
    model = large_model(random_state=np.random.default_rng(5))
    expected = large_model(random_state=np.random.default_rng(5)).record(X)
    parts = record_in_parts(model, iter([X[:5], X[5:6], X[6:]]), tmp_path, samples_per_part=3)
    counts = np.concatenate([part.spike_counts for part in parts])
    np.testing.assert_array_equal(counts, expected.spike_counts)


def test_parts_are_loaded_when_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_in_parts(large_model(), np.ones((7, 30)), tmp_path, samples_per_part=2)
    asked: list[str] = []
    load = Recording.load

    def noted(path: Path) -> Recording:
        asked.append(path.name)
        return load(path)

    monkeypatch.setattr(Recording, "load", noted)
    parts = RecordingParts(tmp_path)
    assert (len(parts), parts.first_samples, parts.n_samples) == (4, [0, 2, 4, 6], 7)
    assert asked == []
    assert len(parts[-1].spike_counts) == 1
    assert len(next(iter(parts)).spike_counts) == 2
    assert [len(part.spike_counts) for part in parts[1:3]] == [2, 2]
    assert asked == [f"part-00000{number}.npz" for number in (3, 0, 1, 2)]
    with pytest.raises(IndexError):
        parts[4]
    assert "7 samples, 4 parts" in repr(parts)


def test_what_was_done_before_an_interruption_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = large_model()
    before = model.weights_.copy()
    save = Recording.save

    def disk_full(recording: Recording, path: Path) -> None:
        if path.name == "part-000002.npz":
            monkeypatch.setattr(os, "fsync", fails)
        save(recording, path)

    def fails(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Recording, "save", disk_full)
    with pytest.raises(OSError, match="No space left"):
        record_in_parts(model, np.ones((8, 30)), tmp_path, samples_per_part=2, learn=True)
    np.testing.assert_array_equal(model.weights_, before)
    assert model.n_samples_seen_ == 0
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["part-000000.npz", "part-000001.npz", "parts.json"]
    parts = RecordingParts(tmp_path)
    assert (len(list(parts)), parts.n_samples, parts.complete) == (2, 4, False)


def test_folders_that_hold_something_else(tmp_path: Path) -> None:
    model, X = large_model(), np.ones((4, 30))
    with pytest.raises(FileNotFoundError, match=r"has no parts\.json"):
        RecordingParts(tmp_path)
    record_in_parts(model, X, tmp_path, samples_per_part=2)
    with pytest.raises(FileExistsError, match="has a recording in it already"):
        record_in_parts(model, X, tmp_path)
    model.record(X[:1]).save(tmp_path / "part-000001.npz")
    with pytest.raises(ValueError, match=r"part-000001\.npz has 1 samples, but .* says 2"):
        RecordingParts(tmp_path)[1]
    (tmp_path / "part-000000.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"part-000000\.npz"):
        RecordingParts(tmp_path)[0]
    for content, message in (
        ("{", "is damaged"),
        ("[]", "is no list of parts"),
        ('{"format": 1}', "is no list"),
    ):
        (tmp_path / "parts.json").write_text(content)
        with pytest.raises(ValueError, match=rf"parts\.json {message}"):
            RecordingParts(tmp_path)
    with pytest.raises(ValueError, match="samples_per_part"):
        record_in_parts(model, X, tmp_path / "new", samples_per_part=0)
    assert not (tmp_path / "new").exists()
