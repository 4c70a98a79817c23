"""What long use leaves behind, in small: memory, norms, processes; and what is refused."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from softhebb_spiking import SoftHebb, SpikingSoftHebb, _memory

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "load.py"
needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("load", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["load"] = module  # where typer looks up annotations
    spec.loader.exec_module(module)
    return module


LOAD = load_script()


def run(*arguments: str, seconds: float = 120.0) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)


# --- trends --------------------------------------------------------------------------------------


def test_a_trend_is_seen_and_noise_is_none() -> None:
    """Noise alone is taken for a trend once in a thousand times; the seed is fixed."""
    at, rng = np.arange(400.0), np.random.default_rng(0)
    noise = rng.normal(size=400)
    assert LOAD.trend(at, noise).is_zero
    growing = LOAD.trend(at, noise + 0.05 * at)
    assert not growing.is_zero
    assert abs(growing.slope - 0.05) < 5.0 * growing.standard_error
    assert not LOAD.trend(at, noise - 0.05 * at).is_zero
    assert LOAD.trend(at, noise - 0.05 * at, only_growth=True).is_zero
    assert LOAD.trend(at, np.full(400, 3.0)) == (0.0, 0.0, True)


def test_less_than_a_grain_is_no_trend() -> None:
    at = np.arange(400.0)
    step = np.where(at > 300.0, 4096.0, 0.0)
    assert not LOAD.trend(at, step).is_zero
    assert LOAD.trend(at, step, grain=2.0 * 4096.0).is_zero


# --- presentations -------------------------------------------------------------------------------

LONG = """
import json, sys
sys.path.insert(0, {folder!r})
import load
found = load.train_long(100000, arithmetic={arithmetic!r})
print(json.dumps([found.resident.tolist(), found.norms.tolist()]))
"""


@needs_proc
@pytest.mark.parametrize("arithmetic", ["float", "fixed"])
def test_many_presentations_take_no_memory_and_leave_the_norms(arithmetic: str) -> None:
    """Samples that were kept would take 128 bytes each: 6.4 MB in the second half.

    Pages that the allocator takes late were 0.4 MB at most. Norms fluctuate about their mean with
    an autocorrelation that looks, a thousand samples apart at least, do not see; five standard
    errors of the difference of two means.
    """
    script = LONG.format(folder=str(SCRIPT.parent), arithmetic=arithmetic)
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    resident, norms = (np.array(values) for values in json.loads(done.stdout.splitlines()[-1]))
    assert len(resident) == 100
    assert resident[-1] - resident[50] < 1e6
    means = norms.mean(axis=1)
    error = np.sqrt(2.0 / 50.0) * means.std()
    assert abs(means[:50].mean() - means[50:].mean()) < 5.0 * error
    assert abs(means.mean() - 1.0) < 0.05


# --- lava ----------------------------------------------------------------------------------------

SIX = """
import json, sys
sys.path.insert(0, {folder!r})
import load
load.CRASH_EVERY = 3
endings, found = load.count_leftovers(6)
print(json.dumps([endings, found]))
"""


@needs_proc
@pytest.mark.lava
@pytest.mark.slow
def test_networks_that_run_or_crash_leave_nothing() -> None:
    """The third crashes in a model, the sixth loses one to a kill."""
    command = [sys.executable, "-c", SIX.format(folder=str(SCRIPT.parent))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)
    endings, found = json.loads(done.stdout.splitlines()[-1])
    assert endings == ["ran", "ran", "crashed", "ran", "ran", "crashed"]
    for children, segments, files, threads in found:
        assert (children, segments) == (0, 0)
        assert (files, threads) == tuple(found[0][2:])


# --- large layers --------------------------------------------------------------------------------


def test_memory_is_what_the_machine_or_the_container_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(_memory, "_CGROUP", tmp_path)
    assert _memory.available_bytes() is None
    _memory.check_memory(10**9, 10**9, 1)  # nobody knows, nothing is refused
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:   3000 kB\n")
    assert _memory.available_bytes() == 3000 * 1024
    (tmp_path / "memory.current").write_text("500000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert _memory.available_bytes() == 3000 * 1024
    (tmp_path / "memory.max").write_text("1500000\n")
    assert _memory.available_bytes() == 1_000_000


@pytest.mark.parametrize("rung", [SoftHebb, SpikingSoftHebb])
def test_a_refused_layer_leaves_the_estimator(rung: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten units of five features and ten samples: 24 bytes each."""
    model, X = rung(10, random_state=0), np.ones((10, 5))
    monkeypatch.setattr(_memory, "available_bytes", lambda: 1199)
    with pytest.raises(MemoryError, match="10 units of 5 features need"):
        model.fit(X)
    assert not hasattr(model, "weights_")
    monkeypatch.setattr(_memory, "available_bytes", lambda: 1200)
    model.fit(X)
    monkeypatch.setattr(_memory, "available_bytes", lambda: 1599)
    with pytest.raises(MemoryError, match="10 units of 5 features"):
        model.fit(X[:9])
    assert model.n_samples_seen_ == 10


@needs_proc
def test_a_layer_that_does_not_fit_is_refused_with_its_size() -> None:
    done = run("large", "--units", "1000000", "--features", "1000000")
    assert done.returncode == 2
    assert "refused: 1000000 units of 1000000 features need 32000.00 GB" in done.stdout


@needs_proc
def test_a_layer_takes_what_it_is_said_to_take() -> None:
    """Beside the weights there are drives, samples, thresholds and compiled code: 50 MB."""
    done = run("large", "--units", "3000", "--features", "3000", "--samples", "3")
    assert done.returncode == 0, done.stderr
    peak, before = (float(gb) for gb in re.findall(r"([0-9.]+) GB", done.stdout)[-2:])
    needed = LOAD.bytes_of_learning(3000, 3000, 3) / 1e9
    assert 0.9 * needed < peak - before < needed + 0.06  # two digits are printed
