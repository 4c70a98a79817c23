"""The commands behind the published numbers run, on little data."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from softhebb_spiking import bench, load_dataset


@pytest.fixture(scope="module")
def few():
    data = load_dataset("digits")
    return replace(
        data,
        X_train=data.X_train[:120],
        y_train=data.y_train[:120],
        X_test=data.X_test[:60],
        y_test=data.y_test[:60],
    )


def test_accuracy_names_every_network(few):
    lines = list(bench.accuracy(few, 10, 2))
    assert len(lines) == 2 * 4 + 4
    for name in ("rate", "event, feedback", "integers, per_synapse", "integers, shared"):
        of_seeds = [float(re.search(r"([\d.]+) %", line)[1]) for line in lines[:8] if name in line]
        mean = next(line for line in lines[8:] if line.startswith(name))
        found = float(re.search(r"mean of 2 seeds: ([\d.]+) %", mean)[1])
        assert found == pytest.approx(sum(of_seeds) / 2, abs=0.011)  # both have two decimals


def test_updates_are_of_each_size(monkeypatch, few):
    monkeypatch.setattr(bench, "_LOG_STEPS", (-5,))
    lines = list(bench.updates(few, 10, 1))
    assert [line.split(",")[0] for line in lines] == ["per_synapse"] * 2 + ["shared"] * 2
    assert all("η' = 2^-5, every 1" in line for line in lines[::2])
    assert all("every 10 steps" in line for line in lines[1::2])


@pytest.mark.lava
def test_bits_and_speed_compare_lava_with_event(monkeypatch, few):
    pytest.importorskip("lava", reason="Lava is not installed")
    monkeypatch.setattr(bench, "_N_LAVA_SAMPLES", 2)
    monkeypatch.setattr(bench, "_N_EVENT_SAMPLES", 4)
    assert all(line.endswith("0 numbers differ") for line in bench.bits(few, 5, 0))
    lines = list(bench.lava(few, 5, 1))
    assert ["the same" in line for line in lines] == [True, False, True, False]
