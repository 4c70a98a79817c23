"""The report says what the checks say, stands alone, and is written whole or not at all."""

import builtins
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from softhebb_spiking import SpikingSoftHebb, _pages, load_dataset, plots, serialization
from softhebb_spiking.backends import event
from softhebb_spiking.theory import cross_entropy
from softhebb_spiking.verification import Verification, figures, report, verify

COMMAND = "softhebb-spiking verify --rungs event --quick <& more>"
FIGURES = ("raster", "fields", "posterior", "update", "convergence", "likelihood")


class Page(HTMLParser):
    """Text, ids, classes of rows and addresses of a page, and whether its tags are balanced."""

    VOID = frozenset({"meta", "img", "col", "br", "link"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.ids, self.addresses, self.alts = "", [], [], []
        self.rows: list[tuple[str, str]] = []
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.addresses += [(tag, given[name]) for name in ("src", "href") if name in given]
        self.alts += [given.get("alt")] if tag == "img" else []
        if tag == "tr":
            self.rows.append((given.get("class") or "", ""))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            assert "url(" not in data
            assert "@import" not in data
            return
        self.text += data
        if "tr" in self.open:
            style, text = self.rows[-1]
            self.rows[-1] = (style, f"{text} {data}")


@pytest.fixture(scope="module")
def found() -> Verification:
    return verify(load_dataset("digits"), rungs=("event",), quick=True)


def write(found: Verification, folder: Path) -> tuple[dict[str, Any], Page]:
    html = report.write_report(found, folder, elapsed_s=83.4, command=COMMAND)
    assert html == folder / "verify.html"

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    text = (folder / "verify.json").read_text(encoding="utf-8")
    return json.loads(text, parse_constant=refuse), Page(html.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def written(
    found: Verification, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Page]:
    return write(found, tmp_path_factory.mktemp("report") / "new" / "folder")


def with_values(found: Verification, values: dict[str, float]) -> Verification:
    """Return the verification with other values of the named checks."""
    checks = [replace(check, value=values.get(check.name, check.value)) for check in found.checks]
    return replace(found, checks=tuple(checks))


def test_json_holds_the_checks(found: Verification, written: tuple[dict[str, Any], Page]) -> None:
    document, _ = written
    assert document["checks"] == [check.as_dict() for check in found.checks]
    assert set(document["checks"][0]) == {
        "name", "rungs", "statistic", "value", "bound", "bound_from", "passed",
    }  # fmt: skip
    assert document["passed"] is found.passed
    assert document["passed"] == all(check["passed"] for check in document["checks"])


def test_json_says_how_it_came_about(written: tuple[dict[str, Any], Page]) -> None:
    document, _ = written
    assert document["dataset"] == "digits"
    assert document["rungs"] == ["event"]
    assert document["seed"] == 0
    assert document["command"] == COMMAND
    assert document["elapsed_s"] == 83.4
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", document["date"])
    assert document["versions"]["numpy"] == np.__version__
    assert {"python", "softhebb-spiking", "numba"} <= set(document["versions"])


def test_page_needs_nothing_else(written: tuple[dict[str, Any], Page]) -> None:
    _, page = written
    assert not page.tags & {"script", "link", "iframe", "object"}
    for tag, address in page.addresses:
        if tag == "a":
            assert address.startswith(("#", "https://arxiv.org/abs/2107.05747"))
        else:
            assert address.startswith("data:image/svg+xml;base64,")


def test_page_has_every_check_and_picture(
    found: Verification, written: tuple[dict[str, Any], Page]
) -> None:
    _, page = written
    rows = [" ".join(text.split()) for _, text in page.rows]
    for check in found.checks:
        row = f"{check.name} {check.statistic} {', '.join(check.rungs)} {check.value:.4g} "
        assert any(text.startswith(row.replace("-", "−")) for text in map(_minus, rows)), row
    assert set(FIGURES) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert len(page.alts) == len(FIGURES)
    assert all(page.alts)
    assert COMMAND in page.text  # escaped, and shown as it was typed


def _minus(text: str) -> str:
    return text.replace("-", "−")


def test_only_rungs_that_took_part_have_a_row(written: tuple[dict[str, Any], Page]) -> None:
    document, page = written
    assert {rung for check in document["checks"] for rung in check["rungs"]} == {"rate", "event"}
    prose = page.text.split("How to repeat")[0].lower()
    assert "lava" not in prose
    assert "brian2" not in prose


def test_verdict_of_a_passed_verification(found: Verification, tmp_path: Path) -> None:
    kept = tuple(check for check in found.checks if check.passed)
    document, page = write(replace(found, checks=kept), tmp_path)
    assert document["passed"] is True
    text = " ".join(page.text.split())
    assert f"✓ Passed: {len(kept)} of {len(kept)} checks" in text
    assert "✗" not in text
    assert "FAILED" not in text


def test_failed_checks_come_first(found: Verification, tmp_path: Path) -> None:
    values = {"posterior/drive": float("nan"), "Bayes/norms": float("inf")}
    failing = with_values(found, values)
    document, page = write(failing, tmp_path)
    failed = [check for check in failing.checks if not check.passed]
    assert document["passed"] is False
    assert {"posterior/drive", "Bayes/norms"} <= {
        check["name"] for check in document["checks"] if not check["passed"]
    }
    nulls = [check["name"] for check in document["checks"] if check["value"] is None]
    assert nulls == list(values)
    text = " ".join(page.text.split())
    names = "; ".join(f"{check.name} ({', '.join(check.rungs)})" for check in failed)
    n_passed = len(failing.checks) - len(failed)
    assert f"✗ Failed: {names}. {n_passed} of {len(failing.checks)} checks passed." in text
    assert text.index("✗ Failed") < text.index("Checks")
    assert sum("✗ FAILED" in row for style, row in page.rows if style == "bad") == len(failed)
    assert not any("FAILED" in row for style, row in page.rows if style != "bad")


def test_markup_in_a_check_is_text(found: Verification, tmp_path: Path) -> None:
    name = "learning/<script>alert(1)</script>"
    checks = (replace(found.checks[0], name=name, statistic="a < b & c"),)
    _, page = write(replace(found, checks=checks), tmp_path)
    assert "script" not in page.tags
    assert name in page.text
    assert "a < b & c" in page.text


def test_whole_course_is_the_presentation_itself(found: Verification) -> None:
    run, probed = found.runs["posterior", "event"], found.results["posterior", "event"]
    sample = 7
    result = event.simulate(figures.whole_course(run.network, run, sample))
    for name in ("input_spikes", "output_spikes"):
        rows = getattr(probed, name)
        own = rows[rows[:, 0] == sample, 1:]
        assert np.array_equal(getattr(result, name)[:, 1:], own)
        assert own[:, 0].min() < run.network.settle_steps
    for name in ("drive", "inhibition"):
        read = result.probes[name][0, run.network.settle_steps :]
        # The run has other weights and gains, of the same product to a rounding of 24 bits.
        np.testing.assert_allclose(read, probed.probes[name][sample], rtol=1e-5, atol=1e-5)


def test_learning_course_ends_where_the_verification_ended(found: Verification) -> None:
    shown, states = figures.learning_course(found)
    run, result = found.runs["learning", "event"], found.results["learning", "event"]
    assert shown[0] == 0
    assert shown[-1] == len(run.samples)
    assert set(states) == {"rate", "event"}
    np.testing.assert_allclose(states["event"][-1][0], result.weights, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(states["event"][-1][1], result.log_prior, rtol=1e-9)
    for course in states.values():
        assert np.array_equal(course[0][0], run.weights)
        first, last = (cross_entropy(run.samples, *course[i], 0.03) for i in (0, -1))
        assert last < first


def test_folder_that_cannot_be_is_named(found: Verification, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("keep me")
    folder = blocked / "report"
    with pytest.raises(OSError, match=re.escape(str(folder))):
        report.check_writable(folder)
    with pytest.raises(OSError, match=re.escape(str(folder))):
        report.write_report(found, folder, elapsed_s=1.0, command=COMMAND)
    assert blocked.read_text() == "keep me"


def test_folder_without_permission_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionError, match=f"{re.escape(str(tmp_path))}: Permission denied"):
        report.check_writable(tmp_path)


def test_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "verify.html").mkdir()
    with pytest.raises(IsADirectoryError, match=r"verify\.html"):
        report.check_writable(tmp_path)


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    report.check_writable(tmp_path / "deep" / "folder")
    assert list((tmp_path / "deep" / "folder").iterdir()) == []


@pytest.mark.parametrize("culprit", ["figures", "json", "write", "replace"])
def test_failure_leaves_the_old_report_whole(
    culprit: str, found: Verification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {"verify.json": "old json", "verify.html": "old html"}
    for name, text in old.items():
        (tmp_path / name).write_text(text)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    @contextmanager
    def fill_up(target: Path) -> Iterator[Any]:
        """Let the second file be the one for which there is no room."""
        with serialization.scratch_file(target) as file:
            yield SimpleNamespace(write=fail) if "html" in target.name else file

    places = {
        "figures": (report, "figures", fail),
        "json": (json, "dumps", fail),
        "write": (_pages, "scratch_file", fill_up),
        "replace": (os, "replace", fail),
    }
    monkeypatch.setattr(*places[culprit])
    with pytest.raises(OSError, match="No space left"):
        report.write_report(found, tmp_path, elapsed_s=1.0, command=COMMAND)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == old


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_missing_extra_is_said_before_the_run(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_ = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == library:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return import_(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    message = re.escape(f'needs {library}: pip install "softhebb-spiking[report]"')
    with pytest.raises(ImportError, match=message):
        report.check_writable(tmp_path)


def test_diverged_rung_gets_a_report(found: Verification, tmp_path: Path) -> None:
    results = {
        key: replace(result, weights=np.full_like(result.weights, 1e6))
        for key, result in found.results.items()
    }
    _, page = write(replace(found, results=results), tmp_path)
    assert set(FIGURES) <= set(page.ids)


def test_rung_without_event_gets_a_report(found: Verification, tmp_path: Path) -> None:
    def renamed(name: str) -> str:
        return name.replace("event", "lava")

    checks = tuple(replace(c, rungs=tuple(map(renamed, c.rungs))) for c in found.checks)
    other = replace(
        found,
        ladder=replace(found.ladder, rungs=("lava",)),
        runs={(group, renamed(rung)): run for (group, rung), run in found.runs.items()},
        results={(group, renamed(rung)): result for (group, rung), result in found.results.items()},
        checks=checks,
    )
    _, page = write(other, tmp_path)
    assert set(FIGURES) - set(page.ids) == {"raster", "convergence"}
    assert not any("event" in text for _, text in page.rows)


def test_same_pictures_every_time(found: Verification, written: tuple[Any, Page]) -> None:
    _, page = written
    images = [address for tag, address in page.addresses if tag == "img"]
    again = Page(report.render(found, report.summary(found, elapsed_s=1.0, command="x")))
    assert [address for tag, address in again.addresses if tag == "img"] == images


def test_error_lost_in_noise_has_no_fitted_line() -> None:
    from matplotlib.figure import Figure

    for errors, n_lost in (([0.1, 0.05, 0.025], 0), ([0.1, 0.05, 1e-150], 1), ([1e-150] * 3, 3)):
        axes = Figure().subplots()
        loads = np.array([2.0, 4.0, 8.0])
        plots.convergence(loads, np.array(errors), order=-1.0, rung="event", ax=axes)
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        assert ("event, lost in sampling noise" in labels) == (n_lost > 0)
        assert ("event, fitted order −1.00" in labels) == (n_lost == 0)
        low, high = axes.get_ylim()
        assert 1e-3 < low < high < 10


def test_demo_figure(tmp_path: Path) -> None:
    data = load_dataset("digits")
    model = SpikingSoftHebb(20, random_state=0).fit(data.X_train[:100])
    path = tmp_path / "demo.png"
    plots.demo_figure(model, data).savefig(path)
    assert path.stat().st_size > 10_000
