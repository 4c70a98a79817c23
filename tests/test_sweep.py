"""Sweeps: what is refused, what is found again; a killed process or worker loses nothing."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deadly_task
import psutil
import pytest

import softhebb_spiking
from softhebb_spiking.sweep import read_spec, run_sweep
from softhebb_spiking.sweep.results import ResultFolder
from softhebb_spiking.sweep.spec import make_sweep

PACKAGE = Path(softhebb_spiking.__file__).parent
SMALL: dict[str, Any] = {
    "samples": 300,
    "seeds": 2,
    "fixed": {"n_steps": 20, "n_units": 10},
    "grid": {"temperature": [0.02, 0.05], "total_rate": [4.0]},
}
ENVIRONMENT = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}


def written(folder: Path, text: str) -> Path:
    path = folder / "spec.toml"
    path.write_text(text, encoding="utf-8")
    return path


SPEC = """
samples = 300
seeds = 2
[fixed]
n_units = 10
n_steps = 20
[grid]
temperature = [0.02, 0.05]
total_rate = [4.0]
"""


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = ("elapsed_s", "samples_per_s", "host", "date")
    return [{k: v for k, v in row.items() if k not in names} for row in rows]


# --- specifications ------------------------------------------------------------------------------


def test_tasks_are_grid_times_seeds(tmp_path: Path) -> None:
    sweep = read_spec(written(tmp_path, SPEC))
    assert sweep == make_sweep(SMALL)
    assert sweep.varied == ("temperature", "total_rate")
    assert [(task.params["temperature"], task.seed) for task in sweep.tasks] == [
        (0.02, 0),
        (0.02, 1),
        (0.05, 0),
        (0.05, 1),
    ]
    assert len({task.key for task in sweep.tasks}) == 4
    assert {task.held_out for task in sweep.tasks} == {300}
    assert [t.seed for t in make_sweep({"seeds": [5, 3]}).tasks] == [5, 3]


@pytest.mark.parametrize(
    ("spec", "error", "fragment"),
    [
        ({"sampels": 3}, ValueError, "unknown key 'sampels'; did you mean 'samples'?"),
        ({"grid": {"temprature": [1.0]}}, ValueError, "did you mean 'temperature'?"),
        ({"fixed": {"zzz": 1}}, ValueError, "it may have arithmetic"),
        ({"fixed": {"random_state": 1}}, ValueError, "unknown key 'random_state'"),
        ({"rung": "rate", "grid": {"n_steps": [1]}}, ValueError, "unknown key 'n_steps'"),
        ({"rung": "loihi"}, ValueError, "rung must be"),
        ({"dataset": "cifar"}, ValueError, "dataset must be"),
        ({"score": "train"}, ValueError, "score must be"),
        ({"readouts": ["svm"]}, ValueError, "readouts must be"),
        ({"readouts": "units"}, TypeError, "readouts must be a list"),
        ({"held_out": 0}, ValueError, "needs held_out"),
        ({"samples": 0}, ValueError, "samples must be"),
        ({"seeds": []}, ValueError, "seeds must be"),
        ({"seeds": [1, 1]}, ValueError, "seeds must be"),
        ({"grid": {"n_units": 5}}, TypeError, "grid.n_units must be a list"),
        ({"grid": {"n_units": [5, 0]}}, ValueError, "'n_units': 0} is refused: n_units"),
        ({"grid": {"n_units": [5]}, "fixed": {"n_units": 5}}, ValueError, "in fixed and in grid"),
        ({"fixed": 3}, TypeError, "fixed must be a table"),
    ],
    ids=str,
)
def test_specifications_that_are_refused(
    spec: dict[str, Any], error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=re.escape(fragment)):
        make_sweep(spec)


def test_files_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no sweep specification"):
        read_spec(tmp_path / "none.toml")
    with pytest.raises(ValueError, match="is not TOML"):
        read_spec(written(tmp_path, "samples = = 3"))


# --- results -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What an uninterrupted sweep finds."""
    rows = run_sweep(make_sweep(SMALL), tmp_path_factory.mktemp("whole"))
    return without_times(rows)


def test_results_are_scores_of_what_is_held_out(expected: list[dict[str, Any]]) -> None:
    assert [row["seed"] for row in expected] == [0, 1, 0, 1]
    # Ten classes: chance is 0.1, and 10 units find about as many clusters.
    assert all(0.2 < row["units"] < 0.9 for row in expected)
    task = make_sweep(SMALL).tasks[1]
    data = softhebb_spiking.load_dataset("digits")
    n_train = len(data.X_train) - 300
    model = softhebb_spiking.SpikingSoftHebb(
        10, n_steps=20, temperature=0.02, total_rate=4.0, random_state=1
    ).fit(data.X_train[:300])
    reader = softhebb_spiking.UnitLabelClassifier(model)
    reader.fit(data.X_train[:300], data.y_train[:300])
    share = (reader.predict(data.X_train[n_train:]) == data.y_train[n_train:]).mean()
    assert task.seed == 1
    assert expected[1]["units"] == share


def test_what_is_there_is_not_found_again(tmp_path: Path, expected: list[dict[str, Any]]) -> None:
    sweep = make_sweep(SMALL)
    run_sweep(sweep, tmp_path)
    files = sorted((tmp_path / "tasks").iterdir())
    files[0].write_text("{", encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in files}
    told: list[tuple[int, int]] = []
    rows = run_sweep(sweep, tmp_path, progress=lambda *n: told.append(n))
    assert told == [(3, 4), (4, 4)]
    assert without_times(rows) == expected
    assert [path.stat().st_mtime_ns != before[path] for path in files] == [True] + 3 * [False]
    table = (tmp_path / "results.csv").read_text(encoding="utf-8").splitlines()
    assert len(table) == 5
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8")) == rows
    with pytest.raises(ValueError, match="results of another sweep"):
        run_sweep(make_sweep(SMALL | {"seeds": 3}), tmp_path)


def test_an_error_is_a_row_and_the_rest_goes_on(tmp_path: Path) -> None:
    sweep = make_sweep(SMALL | {"held_out": 1400, "samples": 30, "seeds": 1})
    rows = run_sweep(sweep, tmp_path)
    assert all("units" in row for row in rows)
    bad = make_sweep(SMALL | {"held_out": 10_000, "seeds": 1})
    rows = run_sweep(bad, tmp_path / "bad")
    assert all(row["error"].startswith("ValueError: held_out=10000 leaves none") for row in rows)
    assert len(ResultFolder(tmp_path / "bad", bad).to_do()) == 2


def _changed(**changes: Any) -> Callable[[dict[str, Any]], str]:
    return lambda found: json.dumps(found | changes)


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: "[" * 10**5,
        lambda found: "NaN",
        _changed(scores=[1]),
        _changed(scores={}),
        _changed(scores={"units": "x"}),
        _changed(scores={"units": math.inf}),
        _changed(samples_per_s="x"),
        _changed(host=3),
        _changed(error=None, scores={"units": None}),
    ],
)
def test_a_damaged_result_is_found_again(
    damage: Callable[[dict[str, Any]], str], tmp_path: Path
) -> None:
    sweep = make_sweep(SMALL | {"seeds": 1})
    expected = without_times(run_sweep(sweep, tmp_path))
    path = sorted((tmp_path / "tasks").iterdir())[0]
    found = json.loads(path.read_text(encoding="utf-8"))
    assert len(ResultFolder(tmp_path, sweep).to_do()) == 0
    path.write_text(damage(found), encoding="utf-8")
    assert len(ResultFolder(tmp_path, sweep).to_do()) == 1
    assert without_times(run_sweep(sweep, tmp_path)) == expected


@pytest.mark.parametrize("text", ["{", "[" * 10**5, "3"])
def test_a_folder_with_a_damaged_specification_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="results of another sweep"):
        ResultFolder(tmp_path, make_sweep(SMALL))


# --- killed --------------------------------------------------------------------------------------

LONG = SPEC.replace("samples = 300", "samples = 1000").replace("seeds = 2", "seeds = 4")


def start(spec: Path, folder: Path, *options: str) -> subprocess.Popen[str]:
    command = "from softhebb_spiking.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", command, "sweep", str(spec), "--output", str(folder), *options],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_results(folder: Path, n: int, limit_s: float = 90.0) -> None:
    end = time.monotonic() + limit_s
    while len(list((folder / "tasks").glob("*.json")) if folder.exists() else ()) < n:
        assert time.monotonic() < end
        time.sleep(0.02)


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "LokyProcess" in " ".join(child.cmdline())]


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(tmp_path: Path) -> None:
    spec, folder = written(tmp_path, LONG), tmp_path / "killed"
    with start(spec, folder) as process:
        wait_for_results(folder, 2)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    psutil.wait_procs(children, timeout=30)
    assert [child for child in children if child.is_running()] == []
    kept = {p: p.stat().st_mtime_ns for p in (folder / "tasks").glob("*.json")}
    sweep = read_spec(spec)
    rows = run_sweep(sweep, folder)
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert without_times(rows) == without_times(run_sweep(sweep, tmp_path / "whole"))


def test_a_worker_whose_parent_is_gone_before_it_begins_ends() -> None:
    command = "import time; from softhebb_spiking._workers import _die_with_parent; "
    command += "_die_with_parent(2**22 + 1); time.sleep(60)"
    assert subprocess.run([sys.executable, "-c", command], timeout=50, check=False).returncode == 1


@pytest.mark.slow
def test_a_killed_worker_costs_nothing(tmp_path: Path) -> None:
    spec, folder = written(tmp_path, LONG), tmp_path / "killed"
    with start(spec, folder, "--jobs", "2") as process:
        wait_for_results(folder, 1)
        victims = workers_of(process)
        assert victims
        victims[0].send_signal(signal.SIGKILL)
        process.communicate(timeout=120)
    assert process.returncode == 0
    sweep = read_spec(spec)
    rows = ResultFolder(folder, sweep).rows()
    assert len(rows) == 8
    assert without_times(rows) == without_times(run_sweep(sweep, tmp_path / "whole"))


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_finds_the_same(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    spec, folder = written(tmp_path, LONG), tmp_path / "cluster"
    sweep = read_spec(spec)
    with distributed.LocalCluster(
        n_workers=2, processes=True, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        pids = [worker.pid for worker in cluster.workers.values()]
        with start(spec, folder, "--scheduler", cluster.scheduler_address) as process:
            wait_for_results(folder, 1)
            os.kill(pids[0], signal.SIGKILL)
            _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
    rows = ResultFolder(folder, sweep).rows()
    assert without_times(rows) == without_times(run_sweep(sweep, tmp_path / "whole"))


@pytest.mark.slow
def test_a_task_that_kills_its_worker_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = make_sweep(SMALL)
    monkeypatch.setattr("softhebb_spiking.sweep.run.run_task", deadly_task.run_task)
    rows = run_sweep(sweep, tmp_path, n_jobs=2)
    errors = [row.get("error") for row in rows]
    assert errors == [None, "its worker died 3 times (killed, or out of memory)", None, None]


def test_a_scheduler_that_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("softhebb_spiking.sweep.run._CONNECT_TIMEOUT_S", 0.5)
    with pytest.raises(OSError, match=r"127\.0\.0\.1:9"):
        run_sweep(make_sweep(SMALL), tmp_path, scheduler="tcp://127.0.0.1:9")
