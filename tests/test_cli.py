"""The command line: user errors are one line on stderr and exit 2, a failed check is exit 1."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from softhebb_spiking import cli, load_model
from softhebb_spiking.verification import Check, report


def _run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["softhebb-spiking", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    return exit_info.value.code


def _error_line(capsys):
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("softhebb-spiking: ")
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["verify", "--dataset", "cifar"], "name must be one of 'digits', 'mnist'"),
        (["verify", "--rungs", "event,loihi"], "rungs must be one of 'event', 'lava', 'brian2'"),
        (["verify", "--seed", "-1", "--rungs", "event"], "seed must be an integer in"),
        (["verify", "--seed", "x"], "Invalid value for '--seed'"),
        (["verify", "--nonsense"], "--nonsense"),
        (["climb"], "climb"),
        (["train", "--units", "0", "--output", "m.safetensors"], "n_units must be an integer >= 1"),
        (["train", "--rung", "loihi", "--output", "m.safetensors"], "rung must be one of 'rate'"),
        (["train", "--temperature", "0", "--output", "m.safetensors"], "temperature must be"),
        (["train", "--output", "nowhere/m.safetensors"], "cannot write nowhere/m.safetensors"),
        (["evaluate", "nothing.safetensors"], "no model file at nothing.safetensors"),
        (["bench", "taste"], "'bits', 'lava', 'budget'; got 'taste'"),
        (
            ["train", "--rung", "rate", "--arithmetic", "fixed", "--output", "m.safetensors"],
            "the rate rung is floating point; --arithmetic fixed needs event or lava",
        ),
        (
            [
                "train",
                "--arithmetic",
                "fixed",
                "--temperature",
                "1e-6",
                "--output",
                "m.safetensors",
            ],
            "temperature=1e-06 does not fit",
        ),
        (["verify", "--dataset", "mnist", "--data-root", "."], "found no file train-images"),
    ],
)
def test_user_errors_are_one_line_and_exit_2(monkeypatch, capsys, tmp_path, arguments, fragment):
    monkeypatch.chdir(tmp_path)
    assert _run(monkeypatch, *arguments) == 2
    assert fragment in _error_line(capsys)
    assert list(tmp_path.iterdir()) == []  # nothing half-written


def test_an_output_that_cannot_be_written_is_found_before_the_long_run(
    monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr(cli, "verify", lambda *_, **__: pytest.fail("the long run was started"))
    occupied = tmp_path / "report"
    occupied.write_text("a file", encoding="utf-8")
    assert _run(monkeypatch, "verify", "--rungs", "event", "--output", occupied) == 2
    assert "report" in _error_line(capsys)


@pytest.mark.parametrize(("value", "status"), [(0.5, 0), (1.5, 1)])
def test_exit_status_says_whether_the_checks_passed(monkeypatch, capsys, tmp_path, value, status):
    check = Check(
        name="a/b", rungs=("event",), statistic="s", value=value, high=1.0, bound_from="theory"
    )
    found = SimpleNamespace(checks=(check,), passed=check.passed)
    monkeypatch.setattr(cli, "verify", lambda *_, **__: found)
    monkeypatch.setattr(report, "write_report", lambda _, directory, **__: directory / "v.html")
    assert _run(monkeypatch, "verify", "--rungs", "event", "--output", tmp_path / "r") == status
    printed = capsys.readouterr().out
    assert f"{1 - status} of 1 checks passed" in printed
    assert ("FAILED a/b (event): s is 1.5, must be ≤ 1 (theory)" in printed) == bool(status)


def test_an_interrupt_is_one_line(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "load_dataset", interrupted)
    assert _run(monkeypatch, "verify", "--rungs", "event") == 130
    assert _error_line(capsys) == "softhebb-spiking: interrupted"


@pytest.mark.parametrize("rung", ["rate", "event"])
def test_train_then_evaluate(monkeypatch, capsys, tmp_path, rung):
    path = tmp_path / "model.safetensors"
    options = ["--rung", rung, "--units", 20, "--samples", 300, "--seed", 3, "--output", path]
    assert _run(monkeypatch, "train", *options) == 0
    assert load_model(path).n_samples_seen_ == 300
    assert _run(monkeypatch, "evaluate", path) == 0
    printed = capsys.readouterr().out
    for fact in ("test accuracy", "norms of the weights", "sum of the priors", "nats"):
        assert fact in printed


def test_demo_draws_a_picture(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "demo.png"
    assert _run(monkeypatch, "demo", "--output", picture) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("what", ["speed", "accuracy"])
def test_bench_prints_numbers(monkeypatch, capsys, what):
    options = ["--dataset", "digits", "--units", 10, "--seeds", 1]
    assert _run(monkeypatch, "bench", what, *options) == 0
    printed = capsys.readouterr().out
    assert "K=10" in printed
    assert ("samples/s learning" in printed) == (what == "speed")
