"""The command line: which commands there are, an example of each, and how they end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Annotated, Any, NamedTuple, NoReturn

import typer

from softhebb_spiking import __version__
from softhebb_spiking.bench_command import bench
from softhebb_spiking.deployment_commands import (
    calibrate_command,
    export_command,
    import_command,
    plan,
    programs,
    quantise,
)
from softhebb_spiking.experiment_commands import experiment, insert_results
from softhebb_spiking.show_command import show
from softhebb_spiking.sweep_command import sweep
from softhebb_spiking.training_commands import evaluate, train
from softhebb_spiking.verification_commands import demo, verify

FAILED = 1
USAGE_ERROR = 2
INTERRUPTED = 128 + signal.SIGINT  # as shells say it
TERMINATED = 128 + signal.SIGTERM
_SAFE_PATH = "PYTHONSAFEPATH"
_AGAIN_S = 0.05
EXIT_CODES = (
    "Exit status: 0 done; 1 a check or a task failed, a plan does not fit its chip, or nobody "
    "reads the output any more; 2 wrong use or bad input, told in one line on stderr; "
    "130 interrupted; 143 terminated. Results go to stdout, progress to stderr."
)


class Command(NamedTuple):
    """A command and how it is called."""

    name: str
    function: Callable[..., Any]
    example: str


COMMANDS = (
    Command("demo", demo, "demo --output demo.png"),
    Command("train", train, "train --dataset digits --units 20 --output digits.safetensors"),
    Command("evaluate", evaluate, "evaluate digits.safetensors --readout units,linear --json"),
    Command("show", show, "show digits.safetensors --labels digits"),
    Command("verify", verify, "verify --dataset digits --rungs event,brian2 --quick"),
    Command("sweep", sweep, "sweep spec.toml --output results --jobs 2"),
    Command("experiment", experiment, "experiment noise --dataset digits --quick --seeds 2"),
    Command(
        "insert-results",
        insert_results,
        "insert-results docs/experiments/mnist.json --into README.md --check",
    ),
    Command("bench", bench, "bench peers --units 100,400 --only event,brian2-cpp,limits"),
    Command("plan", plan, "plan digits.safetensors --chip loihi2 --picture core-map.png"),
    Command("programs", programs, "programs digits.safetensors --output programs.md"),
    Command("quantise", quantise, "quantise digits.safetensors --json"),
    Command("export", export_command, "export digits.safetensors --format npz --output model.npz"),
    Command("import", import_command, "import model.npz --output again.safetensors"),
    Command("calibrate", calibrate_command, "calibrate --temperature 0.05 --backend brian2"),
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="SoftHebb in spikes: verify, train, evaluate and deploy soft winner-take-all networks.",
    epilog=EXIT_CODES,
)
for command in COMMANDS:
    add = app.command(command.name, epilog=f"Example: softhebb-spiking {command.example}")
    add(command.function)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"softhebb-spiking {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="print the version and exit"
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; user errors are one line on stderr and exit status 2."""
    try:
        with _ending_on_signals(), _safe_path():
            status = _run()
            sys.stdout.flush()
    except BrokenPipeError:  # as with `| head`, which has read enough
        status = FAILED
        _silence()
    except KeyboardInterrupt:
        status = INTERRUPTED
        _tell("interrupted")
    except SystemExit as ending:
        if ending.code == TERMINATED:
            _tell("terminated")
        raise
    sys.exit(status)


def _run() -> int:
    """Run a command; return the exit status, or raise SystemExit."""
    try:
        status: int | None = app(standalone_mode=False)
    except typer.TyperException as error:
        _fail(getattr(error, "format_message", error.__str__)())
    except BrokenPipeError:
        raise
    except (ArithmeticError, ValueError, TypeError, OSError, ImportError, MemoryError) as error:
        _fail(str(error))
    if status == INTERRUPTED:  # typer's own reading of Ctrl-C
        raise KeyboardInterrupt
    return status or 0


@contextlib.contextmanager
def _safe_path() -> Iterator[None]:
    """Let processes that libraries start not look for modules in the folder where one works."""
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = before or "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE_PATH]


@contextlib.contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Let SIGTERM end the command with one line, after half-written files have been removed.

    As with Ctrl-C, the chunk that is being learned is learned to its end first. Neither gets lost.
    """
    if threading.current_thread() is not threading.main_thread():  # only that one gets signals
        yield
        return
    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a child that was forked; it has nothing to tidy up
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough while things are tidied up
        sys.exit(TERMINATED)

    def hear_again(unraisable: sys.UnraisableHookArgs) -> None:
        """Send a signal once more whose exception came where Python ignores exceptions.

        Such a place is a callback from C, as when LLVM loads compiled code.
        """
        error = unraisable.exc_value
        if isinstance(error, KeyboardInterrupt):
            number = signal.SIGINT
        elif isinstance(error, SystemExit) and error.code == TERMINATED:
            number = signal.SIGTERM
            signal.signal(signal.SIGTERM, end)
        else:
            hook(unraisable)
            return
        again = threading.Timer(_AGAIN_S, os.kill, (owner, number))
        again.daemon = True
        again.start()

    hook, before = sys.unraisablehook, signal.signal(signal.SIGTERM, end)
    sys.unraisablehook = hear_again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGTERM, before)


def _silence() -> None:
    """Let what is still to be written at the end of the process go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
            continue
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())


def _tell(message: str) -> None:
    print(f"softhebb-spiking: {message}", file=sys.stderr)  # noqa: T201


def _fail(message: str) -> NoReturn:
    _tell(" ".join(message.split()))
    sys.exit(USAGE_ERROR)
