"""A recording survives its file and becomes Neo objects."""

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softhebb_spiking import Recording, SpikingSoftHebb


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

    def disk_full(file: Any, **arrays: Any) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", disk_full)
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


def test_neo_has_every_output_spike_at_the_end_of_its_step(recording: Recording) -> None:
    pytest.importorskip("neo")
    block = recording.to_neo()
    assert "event" in block.name
    assert block.annotations["seed"] == recording.seed
    assert [segment.name for segment in block.segments] == [f"sample {m}" for m in range(4)]
    rows = []
    for m, segment in enumerate(block.segments):
        assert [train.name for train in segment.spiketrains] == ["unit 0", "unit 1", "unit 2"]
        for k, train in enumerate(segment.spiketrains):
            assert float(train.t_start.rescale("ms")) == 0.0
            assert float(train.t_stop.rescale("ms")) == 6.0  # 12 steps of half a millisecond
            times = train.rescale("ms").magnitude
            # Steps of half a millisecond are exact floats.
            rows += [(m, int(time * 2) - 1, k) for time in times]
            assert (times * 2 == np.rint(times * 2)).all()
    assert sorted(rows) == [tuple(row) for row in recording.output_spikes.tolist()]


def test_neo_holds_a_spike_in_the_last_step() -> None:
    pytest.importorskip("neo")
    model = SpikingSoftHebb.from_weights(np.eye(2), n_steps=7, settle_steps=0, dt_ms=0.1)
    recording = model.record(np.ones((1, 2)), output_spikes=[[0, 6, 1]])
    train = recording.to_neo().segments[0].spiketrains[1]
    assert len(train) == 1
    assert float(train[0].rescale("ms")) == pytest.approx(0.7, rel=1e-12)


def test_without_neo_the_message_says_how_to_get_it(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "neo", None)
    with pytest.raises(ImportError, match=r'pip install "softhebb-spiking\[neo\]"'):
        recording.to_neo()
