"""The command line: which commands there are, an example of each, and how they end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

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

USAGE_ERROR = 2
INTERRUPTED = 130
EXIT_CODES = (
    "Exit status: 0 done; 1 a check or a task failed, or a plan does not fit its chip; 2 wrong use "
    "or bad input, told in one line on stderr; 130 interrupted. Results go to stdout, progress to "
    "stderr."
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
    status: int | None
    try:
        status = app(standalone_mode=False)
    except typer.TyperException as error:
        _fail(getattr(error, "format_message", error.__str__)())
    except (ArithmeticError, ValueError, TypeError, OSError, ImportError, MemoryError) as error:
        _fail(str(error))
    if status == INTERRUPTED:  # typer's own reading of Ctrl-C
        print("softhebb-spiking: interrupted", file=sys.stderr)  # noqa: T201
    sys.exit(status or 0)


def _fail(message: str) -> None:
    print(f"softhebb-spiking: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    sys.exit(USAGE_ERROR)
