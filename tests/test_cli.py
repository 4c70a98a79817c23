"""The command line: user errors are one line on stderr and exit 2, a failed check is exit 1."""

from __future__ import annotations

import ctypes
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import typer

from softhebb_spiking import cli, load_model, verification_commands
from softhebb_spiking.verification import Check, ladder, report


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
        (
            ["train", "--rung", "rate", "--n-steps", "9", "--rounding", "shared", "--output", "m"],
            "the rate rung has no --rounding, --n-steps; leave that out",
        ),
        (
            ["train", "--rung", "lava", "--threads", "2", "--output", "m"],
            "lava rung has no --threads",
        ),
        (["plan", "m", "--chip", "loihi2", "--samples", "5"], "--samples needs --dataset"),
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
    monkeypatch.setattr(ladder, "verify", lambda *_, **__: pytest.fail("the long run was started"))
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
    monkeypatch.setattr(ladder, "verify", lambda *_, **__: found)
    monkeypatch.setattr(report, "write_report", lambda _, directory, **__: directory / "v.html")
    assert _run(monkeypatch, "verify", "--rungs", "event", "--output", tmp_path / "r") == status
    printed = capsys.readouterr().out
    assert f"{1 - status} of 1 checks passed" in printed
    assert ("FAILED a/b (event): s is 1.5, must be ≤ 1 (theory)" in printed) == bool(status)


def test_an_interrupt_is_one_line(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(verification_commands, "load_dataset", interrupted)
    assert _run(monkeypatch, "verify", "--rungs", "event") == 130
    assert _error_line(capsys) == "softhebb-spiking: interrupted"


def test_a_termination_is_one_line_whatever_the_command(monkeypatch, capsys):
    def terminated(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10.0)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(verification_commands, "load_dataset", terminated)
    assert _run(monkeypatch, "verify", "--rungs", "event") == 143
    assert _error_line(capsys) == "softhebb-spiking: terminated"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_not_lost_where_python_ignores_exceptions(monkeypatch, capsys, number, status):
    """LLVM calls Python back when it loads compiled code."""

    def signal_in_callback(*_, **__):
        def call_back():
            os.kill(os.getpid(), number)
            time.sleep(0.01)

        ctypes.CFUNCTYPE(None)(call_back)()
        time.sleep(10.0)

    monkeypatch.setattr(verification_commands, "load_dataset", signal_in_callback)
    # Brian2 has a handler of its own, and shells let programs in the background ignore SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert _run(monkeypatch, "verify", "--rungs", "event") == status
    finally:
        signal.signal(signal.SIGINT, before)
    _error_line(capsys)


def test_a_forked_child_is_terminated_as_ever(monkeypatch, capsys):
    statuses = []

    def fork(*_, **__):
        pid = os.fork()
        if pid == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10.0)
            os._exit(0)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        raise ValueError("planted")

    monkeypatch.setattr(verification_commands, "load_dataset", fork)
    assert _run(monkeypatch, "verify", "--rungs", "event") == 2
    assert _error_line(capsys) == "softhebb-spiking: planted"
    assert statuses == [-signal.SIGTERM]


def test_outside_the_main_thread_there_are_no_signals(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["softhebb-spiking", "--version"])
    statuses = []

    def run():
        try:
            cli.main()
        except SystemExit as ending:
            statuses.append(ending.code)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert statuses == [0]


@pytest.mark.parametrize("streams", ["stdout", "stdout stderr"])
@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["bench", "taste"]])
def test_nobody_reads_the_output(arguments, streams):
    """What is printed last is still in a buffer when the command ends."""
    reader, writer = os.pipe()
    os.close(reader)
    code = "from softhebb_spiking import cli; cli.main()"
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdout=writer,
        stderr=writer if "stderr" in streams else subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    if arguments[0] == "bench" and "stderr" not in streams:
        assert ended.returncode == 2
        assert len(ended.stderr.splitlines()) == 1
    else:
        assert ended.returncode == 1
        assert not ended.stderr


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


# --- every command --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def help_of():
    group = typer.main.get_command(cli.app)

    def text(name):
        context = group.make_context("softhebb-spiking", [name, "--help"], resilient_parsing=True)
        command = group.commands[name]
        return command, command.make_context(name, [], parent=context, resilient_parsing=True)

    return text


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda one: one.name)
def test_help_has_an_example_that_parses(help_of, monkeypatch, capsys, command):
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    assert _run(monkeypatch, command.name, "--help") == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"Example: softhebb-spiking {command.example}" in shown
    found, context = help_of(command.name)
    name, *arguments = shlex.split(command.example)
    assert name == command.name
    found.parse_args(context, arguments)
    for parameter in found.params:
        assert getattr(parameter, "help", None), (
            f"{command.name}: {parameter.name} is not explained"
        )


def test_an_unknown_option_in_an_example_would_be_found(help_of):
    found, context = help_of("train")
    context.resilient_parsing = False
    with pytest.raises(typer.TyperException):
        found.parse_args(context, ["--output", "m", "--colour", "red"])


def test_main_help_tells_the_exit_status_and_the_version(monkeypatch, capsys):
    assert _run(monkeypatch, "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for words in ("Exit status: 0 done", "--install-completion", "--version"):
        assert words in shown
    assert _run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"softhebb-spiking {cli.__version__}\n"


def test_json_stands_alone_on_stdout(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def found(*arguments):
        assert _run(monkeypatch, *arguments, "--json") == 0
        return json.loads(capsys.readouterr().out)

    trained = found("train", "--units", 10, "--samples", 200, "--output", "m.safetensors")
    assert trained["samples"] == 200
    assert trained["model"] == str((tmp_path / "m.safetensors").resolve())
    evaluated = found("evaluate", "m.safetensors", "--readout", "units,linear")
    assert set(evaluated) > {"accuracy_units", "accuracy_linear", "cross_entropy_nats"}
    # Reading has a key of its own: another seed, other spikes; the same seed, the same.
    again = found("evaluate", "m.safetensors", "--seed", 0)
    other = found("evaluate", "m.safetensors", "--seed", 1)
    assert again["prior_distance"] == evaluated["prior_distance"] != other["prior_distance"]
    assert found("quantise", "m.safetensors")["clipped_weights"] == 0
    assert found("plan", "m.safetensors", "--chip", "loihi2")
    written = found("export", "m.safetensors", "--format", "npz", "--output", "m.npz")
    assert written == {"written": str((tmp_path / "m.npz").resolve())}
    assert found("import", "m.npz", "--output", "again.safetensors")["written"]
    measured = found("bench", "speed", "--dataset", "digits", "--units", 10, "--seeds", 1)
    assert "samples/s learning" in " ".join(measured["speed"])
