"""Experiments as they are run: whole, interrupted, refused; report, and numbers in documents."""

import builtins
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

pytest.importorskip("art")
pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from softhebb_spiking.experiments import EXPERIMENTS, Findings, Plan, run, run_experiments
from softhebb_spiking.experiments.insertion import insert
from softhebb_spiking.experiments.report import interval_text, write_report
from softhebb_spiking.experiments.run import Outcome, Task
from softhebb_spiking.experiments.settings import settings_of
from softhebb_spiking.experiments.statistics import Measure

ROOT = Path(__file__).resolve().parent.parent
RUNGS = ("rate", "event", "fixed")
CLI = "import sys; from softhebb_spiking.cli import main; sys.argv[0] = 'softhebb-spiking'; main()"


def softhebb(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CLI, *args], capture_output=True, text=True, cwd=cwd, timeout=280
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all experiments have been run, quickly, by the command."""
    folder = tmp_path_factory.mktemp("whole")
    options = ["--quick", "--seeds", "2", "--jobs", "2", "--output", "report"]
    done = softhebb("experiment", "all", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "7. A soft winner-take-all" in done.stdout
    return folder / "report"


@pytest.mark.slow
def test_every_claim_has_a_verdict_on_every_rung(whole: Path) -> None:
    found = json.loads((whole / "claims.json").read_text())
    assert [(one["claim"], one["network"]) for one in found["claims"]] == [
        (number, rung) for number in range(1, 8) for rung in RUNGS
    ]
    for claim in found["claims"]:
        deciding = [one for one in claim["measures"] if one["must_exceed"] is not None]
        assert deciding
        for one in claim["measures"]:
            assert len(one["values"]) == 2
            assert np.isfinite(one["values"]).all()
            assert one["low"] <= np.mean(one["values"]) <= one["high"]
        above = [one["low"] > one["must_exceed"] for one in deciding]
        below = [one["high"] < one["must_exceed"] for one in deciding]
        expected = "does not hold" if any(below) else "holds" if all(above) else "undecided"
        assert claim["verdict"] == expected
    assert found["failed"] == []


@pytest.mark.slow
def test_measurements_make_sense(whole: Path) -> None:
    found = json.loads((whole / "measurements.json").read_text())
    assert set(found) == set(EXPERIMENTS)
    for seed in ("0", "1"):
        one = found["cross-entropy"][seed]
        for rung in RUNGS:
            # EM goes down from the same start and is not beaten by much: it sees all samples.
            course = one["generative"][rung]
            assert course[0] > course[-1] > one["best"] - 0.2
        curves = found["convergence"][seed]["linear"]
        assert all(curves[rung][-1] > 0.85 for rung in RUNGS)
        noise = found["noise"][seed]
        assert all(noise["noise"][rung][0] > noise["noise"][rung][-1] + 0.2 for rung in RUNGS)
        faults = noise["faults"]
        assert set(faults["rate"]) == {"dead populations", "stuck synapses"}
        for rung in ("event", "fixed"):
            assert len(faults[rung]) == 5
            lost, stuck = faults[rung]["dropped input spikes"], faults[rung]["stuck synapses"]
            assert lost[0] > lost[-1] + 0.2
            assert stuck[0] > stuck[-1]
        attacked = found["adversarial"][seed]
        assert all(error < 1e-4 for error in attacked["gradient_error"].values())
        for curve in attacked["white_box"]["rate"].values():
            assert curve[0] > curve[-1] + 0.5
        # Strong attacks on back-propagation leave nothing at half of the range of pixels.
        assert attacked["white_box"]["backprop"]["linf"][-1] < 0.05


@pytest.mark.slow
def test_report_stands_alone(whole: Path) -> None:
    page = (whole / "report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#|https://arxiv)', page)
    for name in ("convergence", "noise", "faults", "adversarial", "attacked-images", "soft-hard"):
        assert f'<figure id="{name}">' in page
        assert (whole / f"{name}.png").stat().st_size > 5000
    for number in range(1, 8):
        assert f'id="claim-{number}"' in page
    assert "experiment all --quick --seeds 2" in page


@pytest.mark.slow
def test_what_is_there_is_not_found_again(whole: Path) -> None:
    tasks = {path: path.stat().st_mtime_ns for path in (whole / "tasks").iterdir()}
    started = time.monotonic()
    options = ["--quick", "--seeds", "2", "--output", str(whole)]
    assert softhebb("experiment", "all", *options, cwd=whole).returncode == 0
    assert time.monotonic() - started < 30
    assert {path: path.stat().st_mtime_ns for path in (whole / "tasks").iterdir()} == tasks


@pytest.mark.slow
def test_a_killed_run_goes_on_and_finds_the_same(whole: Path, tmp_path: Path) -> None:
    options = ["noise", "--quick", "--seeds", "2", "--jobs", "1", "--output", "report"]
    process = subprocess.Popen(
        [sys.executable, "-c", CLI, "experiment", *options],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    tasks = tmp_path / "report" / "tasks"
    deadline = time.monotonic() + 120
    while not list(tasks.glob("noise-seed-0-*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert workers
    assert alive == []
    [first] = tasks.glob("noise-seed-0-*.json")
    kept = first.stat().st_mtime_ns
    assert not (tmp_path / "report" / "claims.json").exists()
    done = softhebb("experiment", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert first.stat().st_mtime_ns == kept
    found = json.loads((tmp_path / "report" / "measurements.json").read_text())
    expected = json.loads((whole / "measurements.json").read_text())
    assert found["noise"] == expected["noise"]
    assert not [path for path in (tmp_path / "report").rglob(".*")]


def fast_plan(**changes: Any) -> Plan:
    options: dict[str, Any] = {"experiments": ("noise",), "dataset": "digits", "quick": True}
    return Plan(**options | {"seeds": (0, 1), "rungs": ("rate",)} | changes)


def test_a_failing_seed_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_this_process(n_jobs: int, tasks: Any, work: Any) -> Any:
        return ((task, work(task)) for task in tasks)

    def fails_once(trial: Any) -> dict[str, Any]:
        if trial.seed == 1:
            raise RuntimeError("planted")
        return {"value": trial.seed}

    monkeypatch.setattr(run, "run_in_workers", in_this_process)
    monkeypatch.setattr(EXPERIMENTS["noise"], "run", fails_once)
    seen: list[tuple[str, int, int]] = []
    found = run_experiments(fast_plan(), tmp_path, progress=lambda *what: seen.append(what))
    assert [one.data for one in found.outcomes] == [{"value": 0}, None]
    assert [one.error for one in found.failed] == ["RuntimeError: planted"]
    assert seen == [("", 0, 2), ("noise-seed-0", 1, 2), ("noise-seed-1", 2, 2)]
    [kept] = (tmp_path / "tasks").iterdir()
    assert re.fullmatch(r"noise-seed-0-[0-9a-f]{8}\.json", kept.name)
    # Only what failed is tried again; other rungs are other results.
    monkeypatch.setattr(EXPERIMENTS["noise"], "run", lambda trial: {"value": 10 + trial.seed})
    again = run_experiments(fast_plan(), tmp_path)
    assert [one.data for one in again.outcomes] == [{"value": 0}, {"value": 11}]
    other = run_experiments(fast_plan(rungs=("event",)), tmp_path)
    assert [one.data for one in other.outcomes] == [{"value": 10}, {"value": 11}]
    back = run_experiments(fast_plan(), tmp_path)  # what was found before is still there
    assert [one.data for one in back.outcomes] == [{"value": 0}, {"value": 11}]
    kept.write_text("{damaged")
    mended = run_experiments(fast_plan(), tmp_path)
    assert [one.data for one in mended.outcomes] == [{"value": 10}, {"value": 11}]
    monkeypatch.setattr(run, "code_digest", lambda *_: "other code")
    monkeypatch.setattr(EXPERIMENTS["noise"], "run", lambda trial: {"value": 20})
    changed = run_experiments(fast_plan(), tmp_path)
    assert [one.data for one in changed.outcomes] == [{"value": 20}, {"value": 20}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"experiments": ("noize",)}, "experiment must be one of"),
        ({"dataset": "cifar"}, "dataset must be one of"),
        ({"rungs": ("rate", "loihi")}, "rung must be one of"),
        ({"rungs": ()}, "rungs must be different and at least one"),
        ({"rungs": ("rate", "rate")}, "rungs must be different and at least one"),
        ({"seeds": (-1,)}, "seed must be"),
    ],
    ids=str,
)
def test_what_is_not_known_is_refused_with_what_is(changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fast_plan(**changes)


@pytest.mark.parametrize(
    ("args", "fragments"),
    [
        (["noize"], ["noize", "cross-entropy", "soft-hard", "all"]),
        (["noise", "--rungs", "rate,loihi"], ["loihi", "rate", "event", "fixed", "brian2", "lava"]),
        (["noise", "--dataset", "cifar"], ["cifar", "digits", "mnist", "fashion-mnist"]),
        (["noise", "--seeds", "0"], ["seeds must be"]),
        (["noise", "--jobs", "0"], ["jobs must be"]),
    ],
    ids=str,
)
def test_the_command_names_what_is_valid(
    args: list[str], fragments: list[str], tmp_path: Path
) -> None:
    done = softhebb("experiment", *args, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert all(fragment in done.stderr for fragment in fragments)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_library_is_said_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    import_ = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "art" or name.startswith("art."):
            raise ModuleNotFoundError(f"No module named {name!r}", name="art")
        return import_(name, *rest)

    monkeypatch.delitem(sys.modules, "softhebb_spiking.experiments._art_estimators", raising=False)
    monkeypatch.delattr("softhebb_spiking.experiments._art_estimators", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    message = re.escape('pip install "softhebb-spiking[experiments]"')
    with pytest.raises(ImportError, match=message):
        fast_plan(experiments=("adversarial",))
    fast_plan(experiments=("noise",))  # needs none of it


# --- numbers in documents ------------------------------------------------------------------------


def planted_findings() -> Findings:
    results = [
        {
            "sigmas": [0.0, 0.5],
            "noise": {
                "rate": [0.9, 0.8 + 0.01 * seed],
                "backprop": [0.95, 0.6],
                "hard": [0.9, 0.7],
            },
            "faults": {"rate": {}},
            "images": {"shape": [2, 4], "bytes": "AAAAAAAAAAA="},
            "image_shape": [2, 2],
        }
        for seed in range(5)
    ]
    plan = fast_plan(seeds=tuple(range(5)))
    outcomes = tuple(
        Outcome(task=Task(experiment="noise", seed=seed), data=data, elapsed_s=3.0)
        for seed, data in enumerate(results)
    )
    return Findings(plan=plan, outcomes=outcomes)


MARKED = "before\n<!-- results: {} digits -->\nold\n<!-- end of results -->\nafter\n"


def test_numbers_are_those_of_the_json(tmp_path: Path) -> None:
    findings = planted_findings()
    [claim] = findings.claims()
    # 100 × (0.8 + 0.01 × (0 … 4) − 0.6): mean 22, t = 2.776, standard error sqrt(2.5 / 5).
    assert claim.verdict == "holds"
    assert claim.measures[0].interval.mean == pytest.approx(22.0)
    text = interval_text(claim.measures[0].as_dict())
    assert text == "22.0 [20.0, 24.0] points"


@pytest.mark.parametrize("block", ["claims", "measures", "reproducing"])
def test_insertion_replaces_what_is_between_marks(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("softhebb_spiking.experiments.noise.figures", lambda *_: {})
    write_report(planted_findings(), tmp_path, elapsed_s=90.0, command="softhebb-spiking x")
    page = tmp_path / "page.md"
    page.write_text(MARKED.format(block))
    assert insert([tmp_path / "claims.json"], [page], write=False) == [page]
    assert page.read_text() == MARKED.format(block)
    assert insert([tmp_path / "claims.json"], [page]) == [page]
    after = page.read_text()
    assert after.startswith("before\n<!-- results:")
    assert after.endswith("<!-- end of results -->\nafter\n")
    assert "\nold\n" not in after
    assert "22.0 [20.0, 24.0] points" in after
    assert "seeds 0 to 4" in after
    assert insert([tmp_path / "claims.json"], [page]) == []
    rows = [line for line in after.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1


def test_insertion_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softhebb_spiking.experiments.noise.figures", lambda *_: {})
    write_report(planted_findings(), tmp_path, elapsed_s=90.0, command="softhebb-spiking x")
    results, page = [tmp_path / "claims.json"], tmp_path / "page.md"
    page.write_text("nothing here")
    with pytest.raises(ValueError, match="has no marks"):
        insert(results, [page])
    page.write_text(MARKED.format("verdict"))
    with pytest.raises(ValueError, match="block must be one of claims, measures, reproducing"):
        insert(results, [page])
    page.write_text(MARKED.format("claims").replace("digits", "mnist"))
    with pytest.raises(ValueError, match="asks for results of 'mnist'; given were digits"):
        insert(results, [page])
    with pytest.raises(ValueError, match=r"is no claims\.json"):
        insert([page], [page])


def test_intervals_show_two_digits_of_their_width() -> None:
    wide = Measure(name="", unit="points", values=(-10.0, 20.0, 5.0))
    assert interval_text(wide.as_dict()) == "5.0 [−32.3, 42.3] points"
    narrow = Measure(name="", unit="", values=(0.5, 0.501, 0.499))
    assert interval_text(narrow.as_dict()) == "0.500 [0.498, 0.502]"
    assert interval_text(Measure(name="", unit="%", values=(3.14159,)).as_dict()) == "3.14 %"


DOCUMENTS = ("README.md", "REPRODUCING.md", "docs/experiments.md")


def test_documents_have_the_numbers_of_the_committed_results() -> None:
    results = sorted((ROOT / "docs" / "experiments").glob("*.json"))
    assert results
    for path in results:
        found = json.loads(path.read_text())
        # Whole runs, with the settings of today.
        assert found["settings"] == json.loads(json.dumps(settings_of(path.stem).as_dict()))
        assert (found["dataset"], found["quick"], found["failed"]) == (path.stem, False, [])
        assert len(found["seeds"]) >= 5
        assert found["rungs"] == list(RUNGS)
        assert {one["claim"] for one in found["claims"]} == set(range(1, 8))
    assert insert(results, [ROOT / name for name in DOCUMENTS], write=False) == []
