"""Pictures and report of a verification get the numbers that its checks have.

`tests/test_report.py` writes whole reports of a whole verification. Here one of a few samples is
drawn by stand-ins for the functions of `plots`, which keep what they are given.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

import matplotlib
from hand_made import a_check, made_ladder
from matplotlib.figure import Figure

from softhebb_spiking import plots
from softhebb_spiking.backends import event
from softhebb_spiking.theory import cross_entropy
from softhebb_spiking.verification import (
    Verification,
    expected_update,
    figures,
    learning,
    posterior,
    report,
)
from softhebb_spiking.verification._statistics import sampling_floor
from softhebb_spiking.verification.budget import Row

DRAWERS = (
    "raster",
    "receptive_fields",
    "posterior_scatter",
    "update_regression",
    "convergence",
    "likelihood",
    "budget",
)
ROWS = tuple(
    Row(name=name, total_variation=tv, slope=1.01, slope_error=0.02, cosine=0.99, accuracy=0.75)
    for name, tv in (("floating point", 0.05), ("+ 8-bit weights", 0.06))
)


@pytest.fixture(scope="module")
def found() -> Verification:
    """A verification of the event rung, and of "lava", which is the same with other draws."""
    made = made_ladder(("event", "lava"))
    runs = {
        (part, variant): run
        for part, comparison in (("learning", learning), ("posterior", posterior))
        for (_, variant), run in comparison.plan(made, {}).items()
    } | expected_update.plan(made, {})
    results = {
        key: event.simulate(replace(run, seed=run.seed + key[1].startswith("lava")))
        for key, run in runs.items()
    }
    checks = (
        a_check(name="posterior/x", value=0.25, high=0.5),
        a_check(name="learning/y", value=math.nan, low=0.5),
        a_check(name="posterior/z", rungs=("rate", "lava"), value=7.5, high=0.5),
    )
    return Verification(ladder=made, runs=runs, results=results, checks=checks, budget=ROWS)


class Drawn:
    """What each function of `plots` was given, in order, and the look at that time."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.looks: list[dict[str, Any]] = []

    def of(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(args, given) for called, args, given in self.calls if called == name]

    def once(self, name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        ((args, given),) = self.of(name)
        return args, given


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    kept = Drawn()

    def stand_in(name: str) -> Any:
        def draw(*args: Any, **given: Any) -> None:
            kept.calls.append((name, args, given))
            kept.looks.append({key: matplotlib.rcParams[key] for key in plots.STYLE})

        return draw

    for name in DRAWERS:
        monkeypatch.setattr(plots, name, stand_in(name))
    return kept


def test_there_is_a_picture_for_all_that_took_part(found: Verification, drawn: Drawn) -> None:
    names = ["fields", "posterior", "update", "raster", "convergence", "likelihood", "budget"]
    pictures = figures.figures(found)
    assert list(pictures) == names
    assert all(isinstance(figure, Figure) for figure in pictures.values())
    # Each is drawn on Axes of its own picture, one panel a rung.
    for name, drawer, n_panels in (
        ("fields", "receptive_fields", 1),
        ("posterior", "posterior_scatter", 2),
        ("update", "update_regression", 2),
        ("raster", "raster", 1),
        ("convergence", "convergence", 1),
        ("likelihood", "likelihood", 1),
        ("budget", "budget", 3),
    ):
        assert [given["ax"] for _, given in drawn.of(drawer)] == pictures[name].axes
        assert len(pictures[name].axes) == n_panels
    assert all(look == drawn.looks[0] for look in drawn.looks)
    with matplotlib.rc_context(plots.STYLE):
        assert drawn.looks[0] == {key: matplotlib.rcParams[key] for key in plots.STYLE}
    assert list(figures.figures(replace(found, budget=()))) == names[:-1]
    lava = replace(found, ladder=replace(found.ladder, rungs=("lava",)))
    assert list(figures.figures(lava)) == ["fields", "posterior", "update", "likelihood", "budget"]


def test_pictures_have_room_for_what_is_in_them(found: Verification, drawn: Drawn) -> None:
    pictures = figures.figures(found)
    size = {name: tuple(figure.get_size_inches()) for name, figure in pictures.items()}
    alone = replace(found, ladder=replace(found.ladder, rungs=("event",)), budget=ROWS * 2)
    narrow = {name: figure.get_size_inches() for name, figure in figures.figures(alone).items()}
    assert size["posterior"][0] - narrow["posterior"][0] == pytest.approx(3.6)  # a panel
    assert size["fields"][1] - narrow["fields"][1] == pytest.approx(0.5)  # a line of images
    assert narrow["budget"][1] - size["budget"][1] == pytest.approx(0.3 * 2)  # two rows
    for name, (width, height) in size.items():  # inches
        assert 5.0 < width < 11.0, name
        assert 1.5 < height < 7.0, name


def test_places_in_a_picture_are_rounded() -> None:
    """Six digits of a page are a thousandth of a dot; the layout is not made again."""
    figure = Figure(figsize=(3.0, 2.0), layout="constrained")
    axes = figure.subplots(1, 2)
    axes[0].set_aspect(1.0)  # the place it takes is not the place it was given
    axes[1].set_ylabel("a label that the layout must leave room for")
    before = [one.get_position(original=True).bounds for one in axes]
    assert figures._laid_out(figure) is figure
    for one, place in zip(axes, before, strict=True):
        bounds = one.get_position(original=True).bounds
        assert bounds == pytest.approx(np.round(bounds, 6), abs=1e-15)
        assert bounds != place  # it has been laid out
    bounds = axes[1].get_position().bounds
    assert bounds == pytest.approx(np.round(bounds, 6), abs=1e-15)
    given, taken = (axes[0].get_position(original=which).bounds for which in (True, False))
    assert given != taken
    axes[1].set_ylabel("one\nof\nmore\nlines")
    laid_out = [one.get_position().bounds for one in axes]
    figure.draw_without_rendering()
    assert [one.get_position().bounds for one in axes] == laid_out


def test_posteriors_are_drawn_rung_by_rung(found: Verification, drawn: Drawn) -> None:
    figures.figures(found)
    for rung, (args, given) in zip(("event", "lava"), drawn.of("posterior_scatter"), strict=True):
        n = 6 if rung == "event" else 4
        y = found.ladder.rate.predict_proba(found.ladder.X_test[:n])
        counts = found.results["posterior", rung].spike_counts
        shares = counts / counts.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(args[0], y, rtol=1e-12)
        np.testing.assert_allclose(args[1], shares, rtol=1e-12)
        distance = 0.5 * np.abs(shares - y).sum(axis=1).mean()
        floor = sampling_floor(y, counts.sum(axis=1)).mean()
        assert given["rung"] == rung
        assert given["title"] == (
            f"{rung}, {n} samples\nmean TV {distance:.3f}, sampling alone {floor:.3f}"
        )


def test_updates_are_drawn_per_presentation(found: Verification, drawn: Drawn) -> None:
    figures.figures(found)
    for rung, (args, given) in zip(("event", "lava"), drawn.of("update_regression"), strict=True):
        n_blocks, n = (10, 100) if rung == "event" else (1, 15)
        blocks = [found.results["update", f"{rung}:feedback:{i}"] for i in range(n_blocks)]
        target, measured, _, _ = expected_update.mean_update(found.ladder, rung, blocks)
        np.testing.assert_allclose(args[0], target / n, rtol=1e-12)
        np.testing.assert_allclose(args[1], measured / n, rtol=1e-12)
        assert given["slope"] == pytest.approx((target * measured).sum() / (target**2).sum())
        assert (given["rung"], given["title"]) == (rung, f"{rung}, {n} presentations")


def test_convergence_is_drawn_as_it_was_measured(found: Verification, drawn: Drawn) -> None:
    figures.figures(found)
    measured = expected_update.convergence(found.ladder, "event", found.results)
    args, given = drawn.once("convergence")
    np.testing.assert_array_equal(args[0], measured.spikes_per_psp)
    np.testing.assert_array_equal(args[1], measured.errors)
    assert (given["order"], given["rung"]) == (measured.order, "event")


def test_the_budget_is_drawn_row_by_row(found: Verification, drawn: Drawn) -> None:
    figures.figures(found)
    names = ["floating point", "+ 8-bit weights"]
    values = [(tuple(args[0]), args[1]) for args, _ in drawn.of("budget")]
    assert values == [
        (tuple(names), [0.05, 0.06]),
        (tuple(names), [1.01, 1.01]),
        (tuple(names), [75.0, 75.0]),
    ]
    measures = [given["measure"] for _, given in drawn.of("budget")]
    assert [measure.split()[0] for measure in measures] == ["TV", "slope", "accuracy"]
    first, *others = [given["ax"] for _, given in drawn.of("budget")]
    assert all(first.get_shared_y_axes().joined(first, other) for other in others)


def test_fields_are_those_of_matched_units(found: Verification, drawn: Drawn) -> None:
    figures.figures(found)
    args, given = drawn.once("receptive_fields")
    run, result = found.runs["learning", "event"], found.results["learning", "event"]
    rate = learning.rate_reference(run, result)
    fields, shape = args
    assert list(fields) == ["rate", "event", "lava"]
    assert shape == (2, 5)
    np.testing.assert_array_equal(fields["rate"], rate.weights_)
    for rung in ("event", "lava"):
        own = learning.learned(rate, found.results["learning", rung]).weights
        np.testing.assert_array_equal(fields[rung], own)
    np.testing.assert_allclose(given["prior"], np.exp(rate.log_prior_), rtol=1e-12)


@pytest.mark.parametrize("sample", [1, 4])
def test_the_sample_drawn_is_the_one_whose_winner_has_the_share_wanted(
    found: Verification, drawn: Drawn, monkeypatch: pytest.MonkeyPatch, sample: int
) -> None:
    run = found.runs["posterior", "event"]
    winner = found.ladder.rate.predict_proba(run.samples).max(axis=1)
    assert figures._SHARE_OF_WINNER == 0.6
    monkeypatch.setattr(figures, "_SHARE_OF_WINNER", winner[sample])
    figures.figures(found)
    (recording,), _ = drawn.once("raster")
    own = found.results["posterior", "event"].output_spikes
    np.testing.assert_array_equal(recording.output_spikes[:, 1:], own[own[:, 0] == sample][:, 1:])
    assert recording.params == run.network
    assert recording.backend == "event"


def test_cross_entropies_are_drawn_on_the_way(found: Verification, drawn: Drawn) -> None:
    figures.figures(found)
    (curves, ends), _ = drawn.once("likelihood")
    shown, states = figures.learning_course(found)
    X = found.ladder.X_test
    assert list(curves) == ["rate", "event"]
    for rung, (samples, values) in curves.items():
        np.testing.assert_array_equal(samples, shown)
        expected = [cross_entropy(X, *state, 0.03) for state in states[rung]]
        np.testing.assert_allclose(values, expected, rtol=1e-12)
    result = found.results["learning", "lava"]
    assert list(ends) == ["lava"]
    at, value = ends["lava"]
    assert at == 24
    assert value == pytest.approx(cross_entropy(X, result.weights, result.log_prior, 0.03))


def test_of_the_test_samples_two_thousand_are_enough(
    found: Verification, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert figures._MAX_HELD_OUT == 2000
    monkeypatch.setattr(figures, "_MAX_HELD_OUT", 5)
    figures._likelihood(found)
    (curves, _), _ = drawn.once("likelihood")
    run = found.runs["learning", "event"]
    start = cross_entropy(found.ladder.X_test[:5], run.weights, run.log_prior, 0.03)
    assert curves["rate"][1][0] == pytest.approx(start)


def test_the_way_of_learning_is_cut_where_most_is_learned(found: Verification) -> None:
    """Rate and event rung by hand, piece by piece; the pieces grow, and their end is the end."""
    shown, states = figures.learning_course(found)
    run, result = found.runs["learning", "event"], found.results["learning", "event"]
    squares = {round(24 * (i / 20) ** 2) for i in range(21)}
    assert shown.tolist() == sorted(squares)
    assert list(states) == ["rate", "event"]
    for course in states.values():
        assert len(course) == len(shown)
        np.testing.assert_array_equal(course[0][0], run.weights)
        np.testing.assert_array_equal(course[0][1], run.log_prior)
    np.testing.assert_allclose(states["event"][-1][0], result.weights, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(states["event"][-1][1], result.log_prior, rtol=1e-9)
    whole = learning.rate_reference(run, result)
    np.testing.assert_allclose(states["rate"][-1][0], whole.weights_, rtol=1e-9)
    np.testing.assert_allclose(states["rate"][-1][1], whole.log_prior_, rtol=1e-9)
    # Half-way, each is where a shorter run ends.
    middle = len(shown) // 2
    stop = int(shown[middle])
    half = replace(
        run,
        samples=run.samples[:stop],
        learning_rates=run.learning_rates[:stop],
        prior_learning_rates=run.prior_learning_rates[:stop],
    )
    np.testing.assert_allclose(states["event"][middle][0], event.simulate(half).weights, rtol=1e-9)
    own = learning.rate_reference(half, replace(result, spike_counts=result.spike_counts[:stop]))
    np.testing.assert_allclose(states["rate"][middle][0], own.weights_, rtol=1e-9)
    lava = replace(found, ladder=replace(found.ladder, rungs=("lava",)))
    assert list(figures.learning_course(lava)[1]) == ["rate"]


def test_the_whole_course_of_a_presentation_is_the_presentation(found: Verification) -> None:
    run, probed = found.runs["posterior", "event"], found.results["posterior", "event"]
    learned = replace(run, learning_rates=run.learning_rates + 0.1, keep_spikes=False, probes=())
    for sample in (0, 3):
        course = figures.whole_course(run.network, learned, sample)
        assert not course.learn
        assert len(course.samples) == 1
        result = event.simulate(course)
        for name in ("input_spikes", "output_spikes"):
            rows = getattr(probed, name)
            own = rows[rows[:, 0] == sample, 1:]
            np.testing.assert_array_equal(getattr(result, name)[:, 1:], own)
        settling = run.network.settle_steps
        assert set(result.probes) == {"drive", "inhibition"}
        for name in result.probes:
            read = result.probes[name][0]
            assert len(read) == run.network.presentation_steps
            # The run has other weights and gains, of the same product to a rounding of 24 bits.
            np.testing.assert_allclose(
                read[settling:], probed.probes[name][sample], rtol=1e-5, atol=1e-5
            )


# --- the report ----------------------------------------------------------------------------------

COMMAND = "softhebb-spiking verify <this>"


def test_a_summary_by_hand(found: Verification) -> None:
    document = report.summary(found, elapsed_s=12.34567, command=COMMAND)
    date = datetime.fromisoformat(document.pop("date"))
    assert date.utcoffset() is not None
    assert abs((datetime.now(timezone.utc) - date).total_seconds()) < 60
    assert date.microsecond == 0
    assert document.pop("versions")["numpy"] == np.__version__
    assert document.pop("checks") == [check.as_dict() for check in found.checks]
    assert document == {
        "passed": False,
        "dataset": "made",
        "seed": 5,
        "rungs": ["event", "lava"],
        "command": COMMAND,
        "elapsed_s": 12.346,
        "budget": [asdict(row) for row in ROWS],
    }


@pytest.fixture
def page(found: Verification, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page, with one picture, tags taken out."""
    looks: list[Any] = []

    def one(verification: Verification) -> dict[str, Figure]:
        assert verification is found
        looks.append(matplotlib.rcParams["svg.fonttype"])
        return {"fields": Figure(figsize=(1, 1))}

    monkeypatch.setattr(report, "figures", one)
    document = report.summary(found, elapsed_s=83.4, command=COMMAND)
    html = report.render(found, document)
    with matplotlib.rc_context(plots.STYLE):
        assert looks == [matplotlib.rcParams["svg.fonttype"]]
    return html


def test_a_page_of_a_few_checks(found: Verification, page: str) -> None:
    text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    assert "✗ Failed: learning/y (x); posterior/z (rate, lava). 1 of 3 checks passed." in text
    # In groups, in the order in which they first come.
    assert "✗ posterior 1 of 2 · ✗ learning 0 of 1" in text
    assert page.count("data:image/svg+xml") == 1
    assert "after 24 samples from the same start" in text
    for row in ROWS:
        assert row.name in text
    assert "floating point 0.05" in text.replace("0.050", "0.05")
    # The networks of the three comparisons; the first of each stands for it.
    for temperature in (0.3, 0.03):
        assert str(temperature) in text
    networks = report._networks(found)
    assert networks == {
        group: asdict(found.runs[group, first].network)
        for group, first in (
            ("learning", "event"),
            ("posterior", "event"),
            ("update", "event:feedback:0"),
        )
    }


def test_files_are_written_and_told(found: Verification, tmp_path: Path, page: str) -> None:
    folder = tmp_path / "a" / "b"
    path = report.write_report(found, str(folder), elapsed_s=83.4, command="ü")
    assert path == folder / "verify.html"
    assert path.read_text(encoding="utf-8").lstrip().startswith("<!DOCTYPE html>")
    text = (folder / "verify.json").read_text(encoding="utf-8")
    assert '"command": "ü"' in text
    assert text.endswith("}\n")
    assert text.startswith('{\n  "passed": false')
    assert json.loads(text)["checks"][1]["value"] is None
    lost = replace(found, budget=(replace(ROWS[0], slope=math.nan, cosine=math.inf),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "figures", lambda _: {})
        report.write_report(lost, folder, elapsed_s=1.0, command="x")
    (row,) = json.loads((folder / "verify.json").read_text(encoding="utf-8"))["budget"]
    assert row == asdict(ROWS[0]) | {"slope": None, "cosine": None}
    (tmp_path / "verify.json").mkdir()
    with pytest.raises(IsADirectoryError, match=r"verify\.json"):
        report.check_writable(tmp_path)
