"""The campaign notices what goes wrong, and the cheap faults do no harm, twice each.

Twenty times each, and all of them: ``make faults``.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pytest
from faults import training_faults
from faults.__main__ import BEGIN, END, FAULTS, insert, run, status
from faults.campaign import CHILDREN, Fault, LostError, Scene, run_fault

from softhebb_spiking import Checkpoint, SpikingSoftHebb
from softhebb_spiking import _checkpoint_keeper as keeper

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
CHEAP = [fault for fault in training_faults.FAULTS if fault.cheap]


def _loses(scene: Scene) -> None:
    raise LostError("planted")


def _leaves_a_process(scene: Scene) -> None:
    scene.start("-c", "import time; time.sleep(60)")


def _leaves_a_file(scene: Scene) -> None:
    (scene.folder / ".model.partial-1").touch()


def _leaves_a_temporary_file(scene: Scene) -> None:
    scene.run("-c", "import tempfile; tempfile.mkstemp()")


def _hangs(scene: Scene) -> None:
    scene.limit_s = 0.2
    scene.run("-c", "import time; time.sleep(60)")


@pytest.mark.parametrize(
    ("inject", "column"),
    [
        (_loses, "lost"),
        (_leaves_a_process, "left"),
        (_leaves_a_file, "left"),
        (_leaves_a_temporary_file, "left"),
        (_hangs, "hangs"),
        (lambda scene: None, None),
    ],
)
def test_the_campaign_counts_what_goes_wrong(
    inject: Callable[[Scene], None], column: str | None
) -> None:
    row = run_fault(Fault("planted", inject), 1, 0, grace_s=0.3)
    counts = {name: row[name] for name in ("lost", "left", "hangs")}
    assert counts == {name: int(name == column) for name in counts}, row
    assert row["tries"] == 1


def test_moments_and_victims_follow_from_the_seed() -> None:
    drawn: list[float] = []
    fault = Fault("planted", lambda scene: drawn.append(scene.moment(10.0)))
    for seed in (0, 0, 1):
        run_fault(fault, 2, seed)
    assert drawn[:2] == drawn[2:4]
    assert len(set(drawn)) == 4
    assert 0.0 <= min(drawn) <= max(drawn) <= 10.0


@pytest.mark.slow
@pytest.mark.parametrize("fault", CHEAP, ids=lambda fault: fault.name)
def test_nothing_is_lost_or_left(fault: Fault) -> None:
    row = run_fault(fault, 2, 0)
    if "skipped" in row:
        pytest.skip(row["skipped"])
    assert row["failures"] == []


@pytest.mark.slow
@pytest.mark.lava
def test_a_model_that_cannot_be_built_leaves_no_open_files(tmp_path: Path) -> None:
    pytest.importorskip("lava", reason="Lava is not installed")
    scene = Scene(tmp_path, np.random.default_rng(0))
    # In a folder with a short path, as sockets need.
    ended = scene.run(str(CHILDREN), "lava", "init", "0", "1.0", TMPDIR=gettempdir())
    assert ended.status == 0, ended.err
    found = json.loads(ended.out.splitlines()[-1])
    assert "ZeroDivisionError: planted" in found["error"]
    assert found["files"][1] <= found["files"][0]
    assert found["again"]


@pytest.mark.slow
@pytest.mark.lava
def test_a_temporary_folder_with_too_long_a_path_is_named(tmp_path: Path) -> None:
    pytest.importorskip("lava", reason="Lava is not installed")
    scene = Scene(tmp_path, np.random.default_rng(0))
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    ended = scene.run(str(CHILDREN), "lava_undisturbed", TMPDIR=str(folder))
    told = ended.err.strip().splitlines()[-1]
    assert told.startswith(f"OSError: Lava cannot open a socket in {folder}: ")
    assert told.endswith("Set TMPDIR to a shorter path.")


def test_a_clock_that_is_set_back_does_not_put_checkpoints_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look at the clock finds it an hour earlier; every chunk is written."""
    now, written = [0.0], []

    def backwards() -> float:
        now[0] -= 3600.0
        return now[0]

    monkeypatch.setattr(keeper.time, "monotonic", backwards)
    monkeypatch.setattr(keeper, "write_checkpoint", lambda path, record: written.append(record))
    X = np.random.default_rng(0).random((2500, 4))
    model = SpikingSoftHebb(2, n_steps=2, settle_steps=1, random_state=0)
    model.fit(X, checkpoint=Checkpoint(tmp_path / "ckpt", interval_s=60.0))
    assert len(written) == 3


def test_each_row_of_the_table_is_one_fault() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names)


def test_the_campaign_ends_in_time_and_goes_on(tmp_path: Path) -> None:
    output, drawn = tmp_path / "build" / "faults.json", []

    def inject(scene: Scene) -> None:
        drawn.append(scene.moment(1.0))
        time.sleep(0.2)
        if len(drawn) == 2:
            raise LostError("planted")

    faults = [Fault(name, inject) for name in ("first", "second")]
    rows = run(faults, 20, 0, 0.7 / 60.0, output)
    assert 1 <= rows[1]["tries"] <= rows[0]["tries"] <= 2
    assert json.loads(output.read_text())["rows"] == rows
    assert status([rows[0]], 20) == 1  # too few tries
    assert status([rows[0]], rows[0]["tries"]) == 0
    assert status([rows[1]], rows[1]["tries"]) == 1  # something was lost

    again = run(faults, 3, 0, 1.0, output)
    assert [row["tries"] for row in again] == [3, 3]
    assert [row["lost"] for row in again] == [0, 1]
    assert len(set(drawn)) == len(drawn) == 6
    assert [row["tries"] for row in run(faults, 1, 1, 1.0, output)] == [1, 1]  # another seed


def test_the_table_is_put_into_a_page(tmp_path: Path) -> None:
    page, results = tmp_path / "page.md", tmp_path / "faults.json"
    page.write_text(f"Before\n{BEGIN}\nOUTDATED\n{END}\nAfter\n")
    about = {"left": 1, "hangs": 0, "median_s": 2.5, "seed": 0, "date": "2026-11-27", "cores": 2}
    rows = [{"fault": fault.name, "tries": 20, "lost": 0} | about for fault in FAULTS[1::-1]]
    results.write_text(json.dumps({"rows": rows}))
    for _ in range(2):
        insert(page, [results])
        text = page.read_text()
        assert text.startswith(f"Before\n{BEGIN}\n")
        assert text.endswith(f"{END}\nAfter\n")
        assert "OUTDATED" not in text
        assert f"| {FAULTS[0].name} | 20 | 0 | 1 | 0 | 2.5 |\n| {FAULTS[1].name} |" in text
        assert "| **all 2** | **40** | **0** | **2** | **0** | |" in text
        assert f"Not tried: {FAULTS[2].name}; " in text
