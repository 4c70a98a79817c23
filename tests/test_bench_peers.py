"""The benchmark of peers: the same work for all, what is absent is named, reports are whole."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from softhebb_spiking.cli import app
from softhebb_spiking.peers import PEERS, measure, run, write_report
from softhebb_spiking.peers.limits import N_ROWS, sum_bytes, sum_floats
from softhebb_spiking.peers.report import ratios, tables
from softhebb_spiking.peers.workload import (
    INPUT_RATE,
    Workload,
    input_rate,
    max_probability,
    strokes,
)

HAS_BINDSNET = importlib.util.find_spec("bindsnet") is not None


def test_strokes_have_as_many_pixels_as_digits() -> None:
    images = strokes(200, np.random.default_rng(0))
    assert images.shape == (200, 784)
    assert images.dtype == np.uint8
    assert 0.12 < (images > 0).mean() < 0.24  # MNIST: 0.19
    assert (images > 0).any(axis=1).all()
    assert 0.0 < max_probability(images) < 1.0


def test_the_work_is_what_it_says() -> None:
    work = Workload(n_units=20, n_images=100)
    model, X = work.model(), work.images()
    # 100 images × 100 steps of a Poisson-like count of mean 21, and its spread between images.
    assert abs(input_rate(model, X) - INPUT_RATE) < 2.0
    net = model.network_params()
    assert (net.presentation_steps, net.total_rate, net.inhibition) == (100, 0.2, "exact")
    assert Workload(n_units=20, inhibition="feedback").model().total_rate == 8.0


@pytest.mark.parametrize("n_units", [1, 7, 100])
def test_the_limits_sum_rows(n_units: int) -> None:
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, 784, (1, N_ROWS))
    rows = rng.integers(0, 256, (784, n_units)).astype(np.uint8)
    total = np.zeros(n_units, np.uint16)
    sum_bytes(rows, chosen, total)
    np.testing.assert_array_equal(total, rows[chosen[0]].sum(axis=0, dtype=int))
    floats = np.zeros(n_units, np.float32)
    sum_floats(rows.astype(np.float32), chosen, floats)
    np.testing.assert_array_equal(floats, total)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """A quick run of what needs no compiler."""
    peers = ("event", "limits", "rate", "bindsnet", "threads", "growth")
    return measure([20], peers=peers, quick=True, time_limit_s=120.0)


def test_every_peer_has_a_row_or_a_reason(found: dict[str, Any]) -> None:
    rows = [(row["peer"], row["inhibition"], row["learn"]) for row in found["rows"]]
    for learn in (True, False):
        for arithmetic in ("float", "fixed"):
            for inhibition in ("exact", "feedback"):
                assert (f"event, {arithmetic}", inhibition, learn) in rows
        for batch_size in (1, 64):
            assert (f"rate, numpy, batch {batch_size}", "exact", learn) in rows
    for row in found["rows"]:
        assert 0.0 < row["quartiles"][0] <= row["images_per_s"] <= row["quartiles"][1]
        if row["peer"].startswith("event") and row["inhibition"] == "exact":
            assert abs(row["output_rate"] - 0.2) < 0.1  # 1200 spikes: 5 sigma are 0.03
    if not HAS_BINDSNET:
        assert len(found["absent"]) == 2
        assert all("No module named" in reason for reason in found["absent"].values())
    assert all(row["same_bits"] for row in found["threads"])
    assert [row["what"] for row in found["growth"]] == ["n_units", "n_steps", "active inputs"]
    assert found["conditions"]["versions"]["numpy"] == np.__version__


def test_report_is_whole(found: dict[str, Any], tmp_path: Path) -> None:
    paths = write_report(found, tmp_path)
    assert json.loads(paths[0].read_text(encoding="utf-8")) == found
    assert [path.name for path in paths] == ["benchmark.json", "speed.png", "growth.png"]
    assert all(path.stat().st_size > 5000 for path in paths[1:])
    titles = [table.title for table in tables(found)]
    assert {"limits", "growth"} <= set(titles)


def test_ratios_are_of_the_same_work() -> None:
    def row(peer: str, pace: float, learn: bool = True) -> dict[str, Any]:
        work = {"n_units": 100, "inhibition": "exact", "learn": learn}
        return {"peer": peer, "images_per_s": pace, **work}

    rows = [
        row("event, float", 5000.0),
        row("event, float", 8000.0, learn=False) | {"gather_us": 0.5},
        row("Brian2, cpp_standalone", 200.0),
        row("Brian2, cpp_standalone", 400.0, learn=False),
    ]
    found = {"rows": rows}
    assert ratios(found, rows[0]) == {"to_brian2_cpp": 25.0}
    # 8000 images of 100 steps in a second are 1.25 µs a step; the rows alone take 0.5.
    assert ratios(found, rows[1]) == {"to_brian2_cpp": 20.0, "of_gather_limit": 0.4}


def test_what_takes_too_long_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measure([20], peers=("event",), quick=True, time_limit_s=0.05)
    assert found["rows"] == []
    assert set(found["absent"].values()) == {"it took longer than 0.05 s"}


@pytest.mark.brian2
@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "inhibition"), [("cpp_standalone", "exact"), ("cython", "feedback")]
)
def test_brian2_does_the_same_work(target: str, inhibition: str) -> None:
    """Output spikes per step are ours, to the noise of 6 images and of draws of its own."""
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler")
    rates = []
    for name, options in (("brian2", {"target": target}), ("event", {})):
        work = {"n_units": 50, "inhibition": inhibition, "learn": True, "n_images": 6, "seed": 0}
        result, reason = run._in_process(name, {"work": work, **options}, 250.0)
        assert reason == ""
        rates.append(result["output_rate"])
    # Exact: 120 spikes in Brian2, in cython 600; 4 sigma of the fewer are 37 %.
    assert abs(rates[0] / rates[1] - 1.0) < (0.4 if inhibition == "exact" else 0.25)


def test_command(tmp_path: Path) -> None:
    options = ["--units", "20", "--only", "limits", "--quick", "--output", str(tmp_path)]
    result = CliRunner().invoke(app, ["bench", "peers", *options])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "benchmark.json").exists()
    for wrong in (["--units", "x"], ["--units", "20", "--only", "nest"]):
        assert CliRunner().invoke(app, ["bench", "peers", *wrong]).exit_code != 0
    assert set(PEERS) >= {
        "event",
        "brian2-cpp",
        "brian2-cython",
        "lava",
        "bindsnet",
        "rate",
        "limits",
    }
