"""One seed, the same bits: in another process, and with other numbers of threads."""

import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
QUICK = ("event-exact", "event-feedback", "event-graded", "fixed", "fixed-shared")


def load_script() -> ModuleType:
    """Return benchmarks/determinism.py as a module; it imports a neighbour by its bare name."""
    spec = importlib.util.spec_from_file_location("determinism", BENCHMARKS / "determinism.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return module


SCRIPT = load_script()


@cache
def hash_in_process(rung: str, n_threads: int, number: int = 0) -> str:
    """Return the hash that a process of its own prints; `number` tells processes apart."""
    found: str = SCRIPT.hash_elsewhere(sys.executable, rung, n_threads)
    assert len(found) == 64
    return found


@pytest.mark.parametrize("rung", QUICK)
def test_processes_and_threads_give_the_same_bits(rung: str) -> None:
    """Two threads read, in the event engine; numpy, BLAS and numba are told the same number."""
    one = hash_in_process(rung, 1)
    assert hash_in_process(rung, 1, number=1) == one
    assert hash_in_process(rung, 2) == one


@pytest.mark.brian2
def test_brian2_gives_the_same_bits_in_each_process() -> None:
    assert hash_in_process("brian2", 1) == hash_in_process("brian2", 2)


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.parametrize("rung", ["lava", "lava-fixed"])
def test_lava_gives_the_same_bits_in_each_process(rung: str) -> None:
    assert hash_in_process(rung, 1) == hash_in_process(rung, 2)


@pytest.mark.parametrize("rung", ["rate", "rate-wide"])
def test_rates_give_the_same_bits_in_each_process(rung: str) -> None:
    assert hash_in_process(rung, 1) == hash_in_process(rung, 1, number=1)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="BLAS needs a second processor")
@pytest.mark.parametrize("rung", ["rate", "rate-wide"])
def test_rates_give_the_same_bits_with_more_threads_of_blas(rung: str) -> None:
    assert hash_in_process(rung, 1) == hash_in_process(rung, 2)


def test_a_hash_tells_one_bit_and_one_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    ones = np.ones(3)
    assert SCRIPT.hash_of(ones) == SCRIPT.hash_of(ones.copy())
    assert SCRIPT.hash_of(ones) != SCRIPT.hash_of(np.nextafter(ones, 2.0))
    assert SCRIPT.hash_of(ones) != SCRIPT.hash_of(ones.reshape(3, 1))
    expected = SCRIPT.hash_rung("event-exact", 1)
    assert expected == hash_in_process("event-exact", 1)
    monkeypatch.setitem(SCRIPT.SPIKING, "random_state", 1)
    assert SCRIPT.hash_rung("event-exact", 1) != expected


def test_the_table_tells_which_rung_differs(capsys: pytest.CaptureFixture[str]) -> None:
    same = dict.fromkeys(SCRIPT.RUNGS, "0123")
    assert SCRIPT.print_table({"3.10": same, "3.11": same, "3.12": {}})
    assert not SCRIPT.print_table({"3.10": same, "3.11": same | {"fixed": "4567"}})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.endswith("NO")] == ["fixed"]
    assert not SCRIPT.print_table({"3.10": {}})
